import math
import random

import numpy as np


def algorithm(F, D, P):  # noqa: N803 - the names of the problem
    """Simulated annealing: 1000 steps, each tries to swap two facilities."""
    n = len(F)

    def cost(perm):
        return (F * D[perm][:, perm]).sum() - 0.5 * P[np.arange(n), perm].sum()

    perm = np.random.permutation(n)
    current = cost(perm)
    temperature = 10.0
    for _ in range(1000):
        i, j = random.sample(range(n), 2)
        perm[[i, j]] = perm[[j, i]]
        new = cost(perm)
        if new < current or random.random() < math.exp((current - new) / temperature):
            current = new
        else:
            perm[[i, j]] = perm[[j, i]]
        temperature *= 0.99
    return perm.tolist()
