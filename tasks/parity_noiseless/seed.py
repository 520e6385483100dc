import numpy as np


def algorithm(train_samples, train_parity, test_samples):
    """Guess every test label at random, without a look at the training data."""
    return np.random.randint(0, 2, len(test_samples))
