"""A sequential test of paired differences: looks at them in batches, and ends as soon as it can.

The null hypothesis is that the differences are symmetric around 0, as those of two improvers that
do equally well on the same cells. Given their sizes, all signs are then equally likely (R. A.
Fisher, The Design of Experiments, 1935); looking several times is paid for by spending the level
`alpha` in proportion to the pairs seen (K. K. G. Lan, D. L. DeMets, Biometrika 70, 1983). At each
look the test rejects what happens with at most the level spent so far, counted over the sign flips
that earlier looks would not have rejected. So the chance of a false success stays below `alpha`,
whatever the differences look like otherwise, and giving up early only makes it smaller.

The p-value orders outcomes by look, then by their sum (stagewise; S. S. Emerson, T. R. Fleming,
Biometrika 77, 1990).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOOKS = 4
"""Looks at most, evenly spaced: more of them cost power and save few improver runs."""
_LEAST_BATCH = 3
HOPELESS = 0.5
"""Gives up at a look with a p-value above this times the share of pairs not seen yet."""
_EXACT_PAIRS = 13
_FLIPS = 1 << 13
_FLIP_SEED = 1
_TIE = 1e-12

Decision = Literal["confirmed", "not confirmed", "go on"]


class Verdict(NamedTuple):
    """What the test says at a look.

    Attributes:
        decision: "confirmed", "not confirmed" or "go on".
        p: one-sided, of this look and the ones before.
    """

    decision: Decision
    p: float


def looks(most: int) -> tuple[int, ...]:
    """Returns after how many repetitions the test looks, the last being `most`."""
    number = max(1, min(LOOKS, most // _LEAST_BATCH))
    return tuple(-(-most * look // number) for look in range(1, number + 1))


def least_pairs(alpha: float) -> int:
    """Returns the number of pairs below which nothing can be confirmed at level `alpha`."""
    pairs = 1
    while 0.5**pairs > alpha:
        pairs += 1
    return pairs


def verdict(batches: Sequence[Sequence[float]], alpha: float, number: int) -> Verdict:
    """Tests whether differences are above 0, after the batches seen so far.

    Args:
        batches: the differences that each look added, in any unit, none of them empty.
        alpha: level of the whole test.
        number: of looks in all; those to come bring as many differences as those before.
    """
    import numpy as np  # noqa: PLC0415 - slow import

    values = np.concatenate([np.asarray(batch, dtype=float) for batch in batches])
    signs = _signs(len(values), alpha)
    left, spent, seen = np.ones(len(signs), dtype=bool), 0.0, 0
    for look, batch in enumerate(batches[:-1], 1):
        seen += len(batch)
        sums = signs[:, :seen] @ abs(values[:seen])
        rejected = left & (sums > _bound(sums[left], alpha * look / number - spent, len(signs)))
        left &= ~rejected
        spent += float(np.mean(rejected))
    share = len(batches) / number
    p = spent + float(np.mean(left & (signs @ abs(values) >= values.sum() - _TIE)))
    if p <= alpha * share:
        return Verdict("confirmed", p)
    return Verdict("not confirmed" if p > HOPELESS * (1 - share) else "go on", p)


def _bound(sums: NDArray[Any], level: float, flips: int) -> float:
    """The sum that at most this share of all flips exceeds, in a way that ties do not matter."""
    import numpy as np  # noqa: PLC0415 - slow import

    room = int(level * flips + _TIE)
    if room >= len(sums):
        return -np.inf
    return float(np.sort(sums)[::-1][room]) + _TIE


def _signs(pairs: int, alpha: float) -> NDArray[Any]:
    """All flips of a few signs, or random ones that include the signs seen."""
    import numpy as np  # noqa: PLC0415 - slow import

    if pairs <= _EXACT_PAIRS:
        bits = np.arange(1 << pairs)[:, None] >> np.arange(pairs)
        return 1 - 2 * (bits & 1)
    flips = max(_FLIPS, math.ceil(8 / alpha))  # so that the smallest p-value is below the level
    signs = np.random.default_rng(_FLIP_SEED).integers(0, 2, size=(flips, pairs)) * 2 - 1
    signs[0] = 1
    return signs
