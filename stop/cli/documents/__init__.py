"""The `--json` documents of commands that have no result class in another room."""
