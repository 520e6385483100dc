import numpy as np


def algorithm(adjacency_matrix):
    """Greedy: start with all nodes on side 0, move the node that gains most, once each."""
    weights = np.asarray(adjacency_matrix, dtype=float)
    n = len(weights)
    side = np.zeros(n)
    for _ in range(n):
        gain = weights @ (1 - 2 * side)  # what each node wins by a move to side 1
        gain[side == 1] = -1
        node = int(np.argmax(gain))
        if gain[node] <= 0:
            break
        side[node] = 1
    return side.astype(int).tolist()
