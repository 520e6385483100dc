"""Find a string at a given distance.

`algorithm(t, dist)` gets a string t over "AB" and returns a string s over "AB" of the same
length with distance(s, t) == dist. There always is one.
"""

from itertools import pairwise


def distance(s, t):
    mismatches = sum(a != b for a, b in zip(s, t, strict=True))
    changes = sum(a != b for string in (s, t) for a, b in pairwise(string))  # AB or BA
    return mismatches + changes


def make_instance(rng):
    length = int(rng.integers(1, 31))
    s, t = ("".join(rng.choice(["A", "B"], size=length).tolist()) for _ in range(2))
    return {"inputs": {"t": t, "dist": distance(s, t)}}


def score(instance, output):
    """1.0 for the right distance, else less than 0.5, the less the further away."""
    t, dist = instance["inputs"]["t"], instance["inputs"]["dist"]
    if type(output) is not str or len(output) != len(t) or not set(output) <= {"A", "B"}:
        raise ValueError(f"expected a string of {len(t)} letters, each A or B")
    miss = abs(distance(output, t) - dist)
    return 1.0 if miss == 0 else 0.5 - miss / (6 * len(t))
