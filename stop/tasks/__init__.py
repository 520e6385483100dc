"""Tasks: their files, their checks, the answers of programs and what scoring them gives."""
