"""The exact optimum of a knapsack instance. Not shown to the model: it would be the answer."""

import numpy as np


def optimum(weights, values, capacity):
    """Greatest total value, by dynamic programming over the capacity."""
    best = np.zeros(capacity + 1, dtype=np.int64)  # best[c]: the greatest value of weight <= c
    for weight, value in zip(weights, values, strict=True):
        if weight <= capacity:
            best[weight:] = np.maximum(best[weight:], best[: capacity + 1 - weight] + value)
    return int(best[capacity])
