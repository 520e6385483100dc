"""Who tried what against the sandbox: static rules and the hash-chained log."""
