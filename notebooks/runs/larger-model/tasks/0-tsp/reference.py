"""The yardstick of a tour: a lower bound rather than a good tour, so that no tour beats it."""

import numpy as np

_ITERATIONS = 120


def held_karp_bound(coordinates):
    """A lower bound on the length of any tour: minimum 1-trees under node prices.

    Subgradient ascent on the prices as in Held and Karp (1971), with the smoothed direction of
    Volgenant and Jonker (1982). Every iteration gives a valid bound; the best one counts.
    """
    x, y = coordinates.T
    distance = np.hypot(x[:, None] - x[None, :], y[:, None] - y[None, :])
    price = np.zeros(len(coordinates))
    best, previous, step = 0.0, 0.0, None
    for _ in range(_ITERATIONS):
        length, degree = _one_tree(distance + price[:, None] + price[None, :])
        best = max(best, length - 2 * price.sum())
        excess = degree - 2
        if not excess.any():
            break  # the 1-tree is a tour, hence the shortest
        step = 0.5 * length / len(coordinates) if step is None else 0.96 * step
        price = price + step * (0.7 * excess + 0.3 * previous)
        previous = excess
    return float(best) * (1 - 1e-9)  # rounding must not lift it above the shortest tour


def _one_tree(cost):
    """Length and degrees of a shortest spanning tree of cities 1.. plus two edges of city 0."""
    n = len(cost)
    degree = np.zeros(n, dtype=int)
    outside = cost[1].copy()  # the cheapest edge into the tree, from each city outside it
    outside[:2] = np.inf
    parent = np.ones(n, dtype=int)
    length = 0.0
    for _ in range(n - 2):
        city = int(outside.argmin())
        length += outside[city]
        degree[city] += 1
        degree[parent[city]] += 1
        closer = (cost[city] < outside) & (outside < np.inf)
        outside[closer] = cost[city][closer]
        parent[closer] = city
        outside[city] = np.inf
    first, second = np.argsort(cost[0, 1:])[:2] + 1
    degree[[0, first, second]] += [2, 1, 1]
    return length + cost[0, first] + cost[0, second], degree
