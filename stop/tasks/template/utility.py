"""Predict points on a hidden curve.

`algorithm(train_x, train_y, test_x)` gets 40 points of a curve, with noise, as two arrays, and
20 more x; it returns the y of the curve at these x, without noise.
"""

# This file runs outside the sandbox, and its text is what the language model reads: keep it short
# and say all that a solution must know. What it imports from this folder is not shown to the model.

import numpy as np
from reference import hidden_curve


def make_instance(rng):
    # All chance comes from rng: the same rng must give the same instance.
    x = rng.uniform(-1, 1, size=60)
    y = hidden_curve(rng, x)
    noisy = y + rng.normal(0, 0.1, size=60)
    # Only "inputs" goes to the solution, in the order of its parameters.
    inputs = {"train_x": x[:40], "train_y": noisy[:40], "test_x": x[40:]}
    return {"inputs": inputs, "truth": y[40:]}


def score(instance, output):
    """1.0 for a perfect prediction, 0.5 for an error as large as the spread of the curve."""
    truth = instance["truth"]
    # The answer comes from code nobody has read. Check type, shape and values, and raise
    # ValueError for whatever is wrong; the text is shown, so it must not tell the truth values.
    values = output.tolist() if isinstance(output, np.ndarray) else output
    if not isinstance(values, list | tuple) or len(values) != len(truth):
        raise ValueError(f"expected a flat list or array of {len(truth)} numbers")
    if not all(type(v) in (int, float) and abs(v) < 1e6 for v in values):  # NaN is not < 1e6
        raise ValueError("every prediction must be a number between -1e6 and 1e6")
    error = np.mean((np.array(values) - truth) ** 2)
    return float(1 / (1 + error / np.var(truth)))
