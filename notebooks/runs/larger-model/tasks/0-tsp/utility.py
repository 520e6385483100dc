"""Travelling salesman: a short closed tour through all cities, straight lines between them.

`algorithm(coordinates)` gets an array of shape (n, 2), n from 50 to 100, values from 0 to 1, and
returns the tour: a permutation of 0..n-1.
"""

import numpy as np
from reference import held_karp_bound


def make_instance(rng):
    coordinates = rng.random((int(rng.integers(50, 101)), 2))
    inputs = {"coordinates": coordinates}
    return {"inputs": inputs, "bound": held_karp_bound(coordinates)}


def score(instance, output):
    """A lower bound on the length of any tour, over the length of this tour. The bound lies
    about 1 or 2 % below the shortest tour, so the best possible score is about 0.98 to 0.99."""
    coordinates = instance["inputs"]["coordinates"]
    tour = output.tolist() if isinstance(output, np.ndarray) else output
    if not isinstance(tour, list | tuple) or any(type(city) is not int for city in tour):
        raise ValueError("expected a flat list or array of integers")
    if sorted(tour) != list(range(len(coordinates))):
        raise ValueError(f"expected a permutation of 0..{len(coordinates) - 1}")
    legs = coordinates[list(tour)] - np.roll(coordinates[list(tour)], -1, axis=0)
    return float(instance["bound"] / np.hypot(legs[:, 0], legs[:, 1]).sum())
