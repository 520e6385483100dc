import numpy as np


def algorithm(train_x, train_y, test_x):
    """The program to begin with. Simple is good: it must run and leave room above it."""
    return np.full(len(test_x), np.mean(train_y))
