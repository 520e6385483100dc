"""What the model is not to see: here, how the hidden curve is made. Delete it if not needed."""

import numpy as np


def hidden_curve(rng, x):
    """The values at x of a random cubic polynomial."""
    return np.polynomial.polynomial.polyval(x, rng.normal(size=4))
