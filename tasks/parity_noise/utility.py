"""Learning parity with noise.

A hidden subset of the 10 bits is chosen. The label of a sample is the parity (sum modulo 2) of
the bits in that subset. 5 % of the training labels are flipped, the test labels are not.
`algorithm(train_samples, train_parity, test_samples)` returns the labels of the test samples.
"""

import numpy as np

BITS, TRAIN, TEST, NOISE = 10, 100, 20, 0.05


def make_instance(rng):
    subset = rng.random(BITS) < 0.3
    samples = rng.integers(0, 2, size=(TRAIN + TEST, BITS))
    parity = samples[:, subset].sum(axis=1) % 2
    flips = (rng.random(TRAIN) < NOISE).astype(int)
    inputs = {
        "train_samples": samples[:TRAIN],  # shape (100, 10), values 0 and 1
        "train_parity": parity[:TRAIN] ^ flips,  # shape (100,)
        "test_samples": samples[TRAIN:],  # shape (20, 10)
    }
    return {"inputs": inputs, "test_parity": parity[TRAIN:]}


def score(instance, output):
    """The share of test labels that are right: 1.0 is perfect, guessing gives 0.5."""
    labels = output.tolist() if isinstance(output, np.ndarray) else output
    if not isinstance(labels, list | tuple) or len(labels) != TEST:
        raise ValueError(f"expected a flat list or array of {TEST} labels")
    if any(type(label) not in (bool, int, float) or label not in (0, 1) for label in labels):
        raise ValueError("every label must be 0 or 1")
    return float(np.mean(np.array(labels) == instance["test_parity"]))
