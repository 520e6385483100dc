"""Intervals for means and paired differences of improvers.

A meta-utility is a mean over tasks of means over repetitions; tasks are fixed strata, repetitions
are the sample. The interval is Student's t with the Welch-Satterthwaite degrees of freedom of a
stratified mean (F. E. Satterthwaite, Biometrics Bulletin 2, 1946).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval. Both ends are None when one value is all there is.

    `over` says what varied: "repetitions" (model, instances and program together) or "instances"
    (one repetition only: how the model's sampling varies is then not covered).
    """

    mean: float
    low: float | None
    high: float | None
    over: str

    @property
    def interval(self) -> tuple[float, float] | None:
        return None if self.low is None or self.high is None else (self.low, self.high)


@dataclass(frozen=True, slots=True)
class Cell:
    """One task × repetition: the score on the meta split, and the instances behind it."""

    task: str
    repetition: int
    score: float
    instances: tuple[float, ...] = ()


def stratified_mean(cells: Sequence[Cell]) -> Estimate:
    """The mean over tasks of the means over repetitions.

    With two or more repetitions of each task the repetitions are the sample; with one, its
    instances are, and the interval says so in `over`.
    """
    by_task: dict[str, list[Cell]] = {}
    for cell in cells:
        by_task.setdefault(cell.task, []).append(cell)
    repeated = all(len(group) > 1 for group in by_task.values())
    samples = {
        task: [c.score for c in group] if repeated else [s for c in group for s in c.instances]
        for task, group in by_task.items()
    }
    means = [_mean([c.score for c in group]) for group in by_task.values()]
    low, high = _interval(_mean(means), samples)
    return Estimate(_mean(means), low, high, "repetitions" if repeated else "instances")


def paired_difference(new: Sequence[Cell], old: Sequence[Cell]) -> Estimate:
    """Mean of new minus old, cell by cell on the same instances."""
    before = {(cell.task, cell.repetition): cell for cell in old}
    differences = []
    for cell in new:
        base = before[cell.task, cell.repetition]
        pairs = zip(cell.instances, base.instances, strict=False)
        instances = tuple(a - b for a, b in pairs)
        if len(cell.instances) != len(base.instances):
            instances = ()  # one of them has no program: its cell is a single value
        gain = cell.score - base.score
        differences.append(Cell(cell.task, cell.repetition, gain, instances or (gain,)))
    return stratified_mean(differences)


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a rate (E. B. Wilson, JASA 22, 1927); (0, 1) of no trials.

    Unlike the mean plus and minus its error it stays within 0 and 1, and is of use at 0 of n.
    """
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    rate, weight = successes / n, z * z / n
    centre = (rate + weight / 2) / (1 + weight)
    reach = z / (1 + weight) * math.sqrt(rate * (1 - rate) / n + weight / (4 * n))
    low = 0.0 if successes == 0 else max(0.0, centre - reach)
    high = 1.0 if successes == n else min(1.0, centre + reach)
    return low, high


def _interval(
    mean: float, samples: Mapping[str, Sequence[float]]
) -> tuple[float | None, float | None]:
    """Ends of the t interval; None when some stratum has fewer than two values."""
    if any(len(values) < 2 for values in samples.values()):
        return None, None
    parts = [(_variance(values) / len(values), len(values) - 1) for values in samples.values()]
    total = sum(part for part, _ in parts)
    if total == 0.0:
        return mean, mean
    freedom = total**2 / sum(part**2 / degrees for part, degrees in parts)
    error = math.sqrt(total) / len(samples)
    from scipy.special import stdtrit  # noqa: PLC0415 - slow import

    reach = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    return mean - reach, mean + reach


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _variance(values: Sequence[float]) -> float:
    centre = _mean(values)
    return math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1)
