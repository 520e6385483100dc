"""0/1 knapsack: choose items of the greatest total value whose weight does not exceed capacity.

`algorithm(weights, values, capacity)` gets two lists of positive integers and an integer, and
returns the list of the indices of the chosen items, each at most once.
"""

import numpy as np
from reference import optimum


def make_instance(rng):
    n = int(rng.integers(20, 61))
    weights = rng.integers(1, 51, size=n).tolist()
    values = rng.integers(1, 101, size=n).tolist()
    inputs = {"weights": weights, "values": values, "capacity": int(0.4 * sum(weights))}
    return {"inputs": inputs, "optimum": optimum(**inputs)}


def score(instance, output):
    """Total value of the chosen items over the greatest value possible."""
    weights, values, capacity = instance["inputs"].values()
    chosen = output.tolist() if isinstance(output, np.ndarray) else output
    if not isinstance(chosen, list | tuple) or any(type(i) is not int for i in chosen):
        raise ValueError("expected a flat list of integer indices")
    if any(not 0 <= i < len(weights) for i in chosen) or len(set(chosen)) < len(chosen):
        raise ValueError(f"indices must be distinct and from 0 to {len(weights) - 1}")
    if sum(weights[i] for i in chosen) > capacity:
        raise ValueError("the chosen items weigh more than the capacity")
    return sum(values[i] for i in chosen) / instance["optimum"]
