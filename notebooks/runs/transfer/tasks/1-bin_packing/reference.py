"""The yardstick of a packing."""


def lower_bound(sizes, capacity):
    """The bound L2 of Martello and Toth: no packing uses fewer bins.

    For each threshold k, items above capacity - k and above capacity / 2 need a bin each; the
    items from k to capacity / 2 fill what the latter leave, and the rest of them needs more bins.
    """
    best = -(-sum(sizes) // capacity)
    for k in {0, *(size for size in sizes if 2 * size <= capacity)}:
        large = sum(size > capacity - k for size in sizes)
        middle = [size for size in sizes if 2 * size > capacity and size <= capacity - k]
        small = sum(size for size in sizes if k <= size and 2 * size <= capacity)
        unfilled = small - (len(middle) * capacity - sum(middle))
        best = max(best, large + len(middle) + max(0, -(-unfilled // capacity)))
    return best
