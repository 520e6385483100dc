def priority(item, bins):
    """Best fit: the less room is left after packing, the better."""
    return -(bins - item)
