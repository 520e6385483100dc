"""One application of an improver to one program."""
