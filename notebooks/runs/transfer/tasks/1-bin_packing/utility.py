"""Online bin packing: items arrive one by one and each goes into a bin of capacity 150 for good.

`priority(item, bins)` is called for every item. `item` is its size (20 to 100), `bins` an array
with the room left in each bin that can take it; the last entry is a new, empty bin. It returns
one number per bin, and the item goes into the bin with the highest (the first one if equal).
"""

import math

import numpy as np
from reference import lower_bound

CAPACITY, ITEMS = 150, 120


def make_instance(rng):
    sizes = rng.integers(20, 101, size=ITEMS).tolist()
    first_call = {"item": sizes[0], "bins": np.array([CAPACITY])}
    return {"inputs": first_call, "sizes": sizes, "bound": lower_bound(sizes, CAPACITY)}


def play(instance):
    """Yields the arguments of each call, is sent the priorities, returns the bin of each item."""
    room, packed = [], []  # room left in each bin opened so far; the bin of each item
    for item in instance["sizes"]:
        fits = [b for b in range(len(room)) if room[b] >= item] + [len(room)]
        answer = yield item, np.array([room[b] for b in fits[:-1]] + [CAPACITY])
        numbers = answer.tolist() if isinstance(answer, np.ndarray) else answer
        if not isinstance(numbers, list | tuple) or len(numbers) != len(fits):
            raise ValueError(f"expected {len(fits)} priorities, one per bin, in a flat list")
        if not all(type(x) in (bool, int, float) and math.isfinite(x) for x in numbers):
            raise ValueError("every priority must be a finite number")
        chosen = fits[numbers.index(max(numbers))]
        if chosen == len(room):
            room.append(CAPACITY)
        room[chosen] -= item
        packed.append(chosen)
    return packed


def score(instance, output):
    """A lower bound on the number of bins that any packing needs, over the bins used."""
    if type(output) is not list or len(output) != ITEMS or any(type(b) is not int for b in output):
        raise ValueError(f"expected the bin of each of the {ITEMS} items")
    for b in set(output):
        if sum(s for s, c in zip(instance["sizes"], output, strict=True) if c == b) > CAPACITY:
            raise ValueError("a bin is overfull")
    return instance["bound"] / len(set(output))
