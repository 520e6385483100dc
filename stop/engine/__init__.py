"""Carries out one improver run and one evaluation, in a session of a run."""
