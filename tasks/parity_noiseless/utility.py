"""Learning parity without noise.

A hidden subset of the 10 bits is chosen. The label of a sample is the parity (sum modulo 2) of
the bits in that subset.
`algorithm(train_samples, train_parity, test_samples)` returns the labels of the test samples.
"""

import numpy as np

BITS, TRAIN, TEST = 10, 80, 20


def make_instance(rng):
    subset = rng.random(BITS) < 0.3
    samples = rng.integers(0, 2, size=(TRAIN + TEST, BITS))
    parity = samples[:, subset].sum(axis=1) % 2
    inputs = {
        "train_samples": samples[:TRAIN],  # shape (80, 10), values 0 and 1
        "train_parity": parity[:TRAIN],  # shape (80,)
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
