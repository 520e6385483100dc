def algorithm(t, dist):
    """Return the string itself, whatever the distance asked for."""
    return t
