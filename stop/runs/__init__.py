"""A run on disk: its folder, its provenance, its spending, its security events, its tables."""
