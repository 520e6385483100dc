import numpy as np


def algorithm(coordinates):
    """Nearest neighbour: from city 0, always go on to the closest city not yet visited."""
    tour = [0]
    left = set(range(1, len(coordinates)))
    while left:
        here = coordinates[tour[-1]]
        nearest = min(left, key=lambda city: np.hypot(*(coordinates[city] - here)))
        tour.append(nearest)
        left.remove(nearest)
    return tour
