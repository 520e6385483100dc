"""Maximum cut: split the nodes of a weighted graph into two sides.

`adjacency_matrix` is a symmetric integer array of shape (n, n), n from 50 to 200; entry (i, j) is
the weight of the edge between i and j, 0 where there is none.
`algorithm(adjacency_matrix)` returns the side of each node: n values, 0/1 (or -1/1).
"""

import numpy as np


def make_instance(rng):
    n = int(rng.integers(50, 201))
    edges = np.triu(rng.random((n, n)) < 0.4, k=1)
    upper = edges * rng.integers(1, 11, size=(n, n))
    return {"inputs": {"adjacency_matrix": upper + upper.T}, "upper": upper}


def score(instance, output):
    """Weight of the edges between the two sides over the weight of all edges."""
    upper = instance["upper"]
    sides = output.tolist() if isinstance(output, np.ndarray) else output
    if not isinstance(sides, list | tuple) or len(sides) != len(upper):
        raise ValueError(f"expected a flat list or array of {len(upper)} sides, one per node")
    if any(type(side) not in (bool, int, float) for side in sides):
        raise ValueError("every side must be a number")
    if not (set(sides) <= {0, 1} or set(sides) <= {-1, 1}):
        raise ValueError("sides must be all 0 or 1, or all -1 or 1")
    sides = np.array(sides)
    return float(upper[sides[:, None] != sides[None, :]].sum() / upper.sum())
