"""Quadratic assignment with preferences: put 15 facilities on 15 places.

F[i, j] is the flow between facilities i and j, D[a, b] the distance between places a and b,
P[i, a] how much facility i likes place a. All are arrays of shape (15, 15) with values in 0..1.
`algorithm(F, D, P)` returns perm, a permutation of 0..14: facility i goes to place perm[i].
"""

import numpy as np
from reference import mean_cost, strong_cost

N = 15


def cost(inputs, perm):  # to minimise
    flow, distance, liking = inputs.values()
    likings = sum(liking[i, perm[i]] for i in range(N))
    return np.sum(flow * distance[perm][:, perm]) - 0.5 * likings


def make_instance(rng):
    flow, distance, liking = rng.random((3, N, N))
    inputs = {"F": flow, "D": distance, "P": liking}
    marks = {"mean": mean_cost(*inputs.values()), "strong": strong_cost(*inputs.values())}
    return {"inputs": inputs, **marks}


def score(instance, output):
    """A lower cost always scores higher: 0.2 for the cost of an average permutation, 0.94 for
    the cost that a strong solver reaches; between 0 and 1 for every permutation."""
    perm = output.tolist() if isinstance(output, np.ndarray) else output
    if not isinstance(perm, list | tuple) or any(type(place) is not int for place in perm):
        raise ValueError("expected a flat list or array of integers")
    if sorted(perm) != list(range(N)):
        raise ValueError(f"expected a permutation of 0..{N - 1}")
    saved = instance["mean"] - cost(instance["inputs"], list(perm))
    gain = saved / (instance["mean"] - instance["strong"])  # 0 is average, 1 is strong
    return float(1 / (1 + 4 ** (1 - 3 * gain)))
