"""Rounds of self-improvement."""
