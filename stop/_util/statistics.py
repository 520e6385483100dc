"""Intervals for means and rates, paired differences of improvers, and tests of them.

A meta-utility is a mean over tasks of means over repetitions; tasks are fixed strata, repetitions
are the sample. Instances within a cell are a sample for one fixed program only, never for an
improver: how the model's responses vary is not in them. Intervals of means are Student's t with
the Welch-Satterthwaite degrees of freedom of a stratified mean (F. E. Satterthwaite, Biometrics
Bulletin 2, 1946), for which SciPy has no function, cut at the ends of the range of scores; the
distributions, Wilson's interval and Fisher's test are SciPy's. Every interval is 95 %, every
p-value two-sided. Each function names its method and the source of it.

SciPy is imported where it is used: it takes up to a second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

CONFIDENCE = 0.95
EXACT_PAIRS = 16
"""Most pairs of which all sign flips are tried; of more, random ones."""
_FLIPS, _AT_ONCE = 9_999, 1_111
_FLIP_SEED = 1
_TIE = 1e-12


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval.

    Attributes:
        mean: in the units of the scores.
        low, high: ends of the interval; both None when there is only one value, or when all are
            equal and their range is not known.
        over: what varied, "repetitions" (model, instances and program together) or "instances"
            (of one fixed program).
    """

    mean: float
    low: float | None
    high: float | None
    over: str

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends, or None."""
        return None if self.low is None or self.high is None else (self.low, self.high)


@dataclass(frozen=True, slots=True)
class Cell:
    """One task × repetition: the score on the meta split, and the instances behind it."""

    task: str
    repetition: int
    score: float
    instances: tuple[float, ...] = ()


Range = tuple[float, float]
"""The lowest and the highest score."""
UNIT = (0.0, 1.0)
"""The range of what averages over tasks: shares of each task's range of scores."""
UNKNOWN = (-math.inf, math.inf)
"""The range of scores whose ends are not known: no interval is cut."""


def stratified_mean(
    cells: Sequence[Cell], *, within: Range = UNIT, instances: bool = False
) -> Estimate:
    """Returns the mean over tasks of the means over repetitions.

    Repetitions are the sample; with only one of a task there is no interval. Student's t,
    Satterthwaite (1946), cut at the ends of the range.

    Args:
        cells: of one program, at least one.
        within: the range of the scores.
        instances: the cells are of one fixed program: where it has one repetition of a task, its
            instances are the sample, and the interval says so in `over`.
    """
    return _Sample.of(cells, instances).estimate(within)


def paired_difference(
    new: Sequence[Cell],
    old: Sequence[Cell],
    *,
    within: Range = UNIT,
    instances: bool = False,
    looks: int = 1,
) -> Estimate:
    """Returns the mean of new minus old, cell by cell on the same instances.

    The paired t interval (Student, Biometrika 6, 1908), stratified by task as `stratified_mean`.

    Args:
        new, old: with the same tasks and repetitions; see `common_cells`.
        within: the range of the scores.
        instances: as of `stratified_mean`, for two fixed programs.
        looks: how often the differences were looked at in order to stop; the intervals of all
            looks together hold the truth with 95 % (Bonferroni).
    """
    sample = _Sample.of(_differences(new, old), instances)
    return sample.estimate(_differences_within(within), 1 - (1 - CONFIDENCE) / looks)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A difference of two means with its test.

    Attributes:
        difference: new minus old.
        p: two-sided; None where there are too few values for the method.
        method: of the interval and of `p`.
        n: pairs, or, where nothing is paired, values on both sides together.
        p_sign_flip: of a paired one, by `sign_flip_test`, which does not assume normality.
        p_holm: `p` after `corrected`; None before.
    """

    difference: Estimate
    p: float | None
    method: str
    n: int
    p_sign_flip: float | None = None
    p_holm: float | None = None


def compare_paired(
    new: Sequence[Cell], old: Sequence[Cell], *, within: Range = UNIT, instances: bool = False
) -> Comparison:
    """Tests new against old on the same instances: the paired t-test, stratified by task.

    `p` goes with the interval of `paired_difference`. Where all differences are equal the t-test
    sees no error and would be certain of anything: there `p` is that of the sign flips.

    Args:
        new, old: with the same tasks and repetitions; see `common_cells`.
        within, instances: as of `paired_difference`.
    """
    sample = _Sample.of(_differences(new, old), instances)
    if sample.error() is None:
        return Comparison(sample.estimate(UNIT), None, "", sample.count)
    flips = sign_flip_test(list(sample.strata.values()))
    p, method = sample.p_value(), "paired t"
    if sample.error() == 0.0:
        p, method = flips, "sign flips"
    estimate = sample.estimate(_differences_within(within))
    return Comparison(estimate, p, method, sample.count, flips)


def compare_unpaired(
    new: Sequence[Cell], old: Sequence[Cell], *, within: Range = UNIT, instances: bool = False
) -> Comparison:
    """Tests new against old on instances of their own: Welch's t-test, stratified by task.

    B. L. Welch, Biometrika 34, 1947. Variances need not be equal.

    Args:
        new, old: with the same tasks.
        within, instances: as of `paired_difference`.
    """
    sides = _Sample.of(new, instances), _Sample.of(old, instances)
    mean = sides[0].mean - sides[1].mean
    over = sides[0].over if sides[0].over == sides[1].over else "instances"
    strata: dict[object, Sequence[float]] = {
        (side, task): v for side in (0, 1) for task, v in sides[side].strata.items()
    }
    both = _Sample(mean, strata, over, len(sides[0].strata))
    estimate = both.estimate(_differences_within(within))
    return Comparison(estimate, both.p_value(), "Welch's t", both.count)


def common_cells(
    new: Sequence[Cell], old: Sequence[Cell]
) -> tuple[tuple[Cell, ...], tuple[Cell, ...]]:
    """Returns the cells of both whose task and repetition both have, in the order of `new`."""
    before = {(cell.task, cell.repetition): cell for cell in old}
    after = {(cell.task, cell.repetition): cell for cell in new}
    places = [place for place in after if place in before]
    return tuple(after[p] for p in places), tuple(before[p] for p in places)


def sign_flip_test(strata: Sequence[Sequence[float]]) -> float | None:
    """Returns the p-value of paired differences by flipping their signs; None without any.

    R. A. Fisher, The Design of Experiments, 1935. The statistic is the mean over strata of their
    means. Up to `EXACT_PAIRS` differences all flips are tried; above, 9,999 random ones of a fixed
    seed, counted with the one seen (B. Phipson, G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 9,
    2010). Of n pairs the smallest exact value is 2 / 2**n: below 6 pairs nothing is significant.

    `scipy.stats.permutation_test` gives the same exact values, but makes each flip in Python: of
    16 pairs it takes a second, which a run of many rounds needs for each candidate.

    Args:
        strata: the differences, by task; none of them empty.
    """
    import numpy as np  # noqa: PLC0415 - slow import

    parts = np.array([value / len(group) / len(strata) for group in strata for value in group])
    if not parts.size:
        return None
    seen = abs(math.fsum(parts)) - _TIE
    if parts.size <= EXACT_PAIRS:
        sums = parts[:1]  # the first sign may stay: both sides count
        for part in parts[1:]:
            sums = np.concatenate((sums + part, sums - part))
        return float((abs(sums) >= seen).mean())
    chance = np.random.default_rng(_FLIP_SEED)
    far = 1
    for _ in range(_FLIPS // _AT_ONCE):
        signs = chance.integers(0, 2, size=(_AT_ONCE, parts.size)) * 2 - 1
        far += int((abs(signs @ parts) >= seen).sum())
    return far / (_FLIPS + 1)


def holm(p_values: Sequence[float | None], *, family: int = 0) -> list[float | None]:
    """Returns adjusted p-values, to be compared with 0.05: Holm's step-down correction.

    S. Holm, Scandinavian Journal of Statistics 6, 1979. The chance that any true null hypothesis
    of the family is rejected stays below 5 %, whatever the dependence of the tests.

    Args:
        p_values: of the tests, None where a test could not be made; None stays None.
        family: the number of hypotheses that could have been tested, where that is more.
    """
    made = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    size = max(family, len(made))
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, i) in enumerate(made):
        highest = max(highest, min(1.0, (size - rank) * p))
        adjusted[i] = highest
    return adjusted


def corrected(tests: Sequence[Comparison | None], *, family: int = 0) -> list[Comparison | None]:
    """Returns tests with `p_holm`, corrected over all of them by `holm`; None stays None."""
    adjusted = holm([test.p if test else None for test in tests], family=family)
    return [test and replace(test, p_holm=p) for test, p in zip(tests, adjusted, strict=True)]


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Returns the 95 % score interval of a rate (E. B. Wilson, JASA 22, 1927).

    Unlike the mean plus and minus its error it stays within 0 and 1, and is of use at 0 of n.

    Args:
        successes: 0 to `n`.
        n: trials; (0, 1) is returned where there are none.
    """
    if n == 0:
        return 0.0, 1.0
    from scipy.stats import binomtest  # noqa: PLC0415 - slow import

    ends = binomtest(successes, n).proportion_ci(CONFIDENCE, method="wilson")
    return float(ends.low), float(ends.high)


def rate_difference(
    new: tuple[int, int], old: tuple[int, int]
) -> tuple[float, tuple[float, float]]:
    """Returns the difference of two independent rates, new minus old, and its 95 % interval.

    Newcombe's hybrid score interval, made of Wilson's (R. G. Newcombe, Statistics in Medicine 17,
    1998, method 10, without a correction of continuity). Of use at 0 of n.

    Args:
        new, old: successes and trials of each; (-1, 1) around 0 where one has no trials.
    """
    if not new[1] or not old[1]:
        return 0.0, (-1.0, 1.0)
    first, second = new[0] / new[1], old[0] / old[1]
    (low1, high1), (low2, high2) = wilson_interval(*new), wilson_interval(*old)
    change = first - second
    low = change - math.hypot(first - low1, high2 - second)
    high = change + math.hypot(high1 - first, second - low2)
    return change, (max(-1.0, low), min(1.0, high))


def rate_p_value(new: tuple[int, int], old: tuple[int, int]) -> float | None:
    """Returns the p-value of two independent rates: Fisher's exact test (1935).

    Args:
        new, old: successes and trials of each; None is returned where one has no trials.
    """
    if not new[1] or not old[1]:
        return None
    from scipy.stats import fisher_exact  # noqa: PLC0415 - slow import

    rows = [[new[0], new[1] - new[0]], [old[0], old[1] - old[0]]]
    return float(fisher_exact(rows).pvalue)


# --- stratified samples


@dataclass(frozen=True, slots=True)
class _Sample:
    """Values by stratum, and the mean that they estimate: over `parts` strata of equal weight."""

    mean: float
    strata: Mapping[object, Sequence[float]]
    over: str
    parts: int

    @classmethod
    def of(cls, cells: Sequence[Cell], instances: bool) -> _Sample:
        by_task: dict[str, list[Cell]] = {}
        for cell in cells:
            by_task.setdefault(cell.task, []).append(cell)
        repeated = not instances or all(len(group) > 1 for group in by_task.values())
        strata: dict[object, Sequence[float]] = {
            task: [c.score for c in group] if repeated else [s for c in group for s in c.instances]
            for task, group in by_task.items()
        }
        mean = fmean(fmean(c.score for c in group) for group in by_task.values())
        return cls(mean, strata, "repetitions" if repeated else "instances", len(by_task))

    @property
    def count(self) -> int:
        return sum(len(values) for values in self.strata.values())

    def estimate(self, within: Range, confidence: float = CONFIDENCE) -> Estimate:
        error = self.error()
        if error is None:
            return Estimate(self.mean, None, None, self.over)
        if error == 0.0:
            if not all(map(math.isfinite, within)):
                return Estimate(self.mean, None, None, self.over)
            return Estimate(self.mean, *self._without_spread(within, confidence), self.over)
        from scipy.special import stdtrit  # noqa: PLC0415 - slow import

        reach = float(stdtrit(self._freedom(), (1 + confidence) / 2)) * error
        low, high = max(within[0], self.mean - reach), min(within[1], self.mean + reach)
        return Estimate(self.mean, min(low, self.mean), max(high, self.mean), self.over)

    def _without_spread(self, within: Range, confidence: float) -> tuple[float, float]:
        """The interval where all values of each stratum are equal, and t would be sure of them.

        Another value has at most the chance that such a sample leaves it (of n values 3 / n in
        about, J. A. Hanley, A. Lippman-Hand, JAMA 249, 1983), and is at most an end of the range.
        """
        low = high = 0.0
        for values in self.strata.values():
            chance = 1 - ((1 - confidence) / 2) ** (1 / len(values))
            low += chance * (values[0] - within[0]) / self.parts
            high += chance * (within[1] - values[0]) / self.parts
        return max(within[0], self.mean - low), min(within[1], self.mean + high)

    def p_value(self) -> float | None:
        """Of the mean being 0, by Student's t."""
        error = self.error()
        if not error:
            return None if error is None else float(self.mean == 0.0)
        from scipy.special import stdtr  # noqa: PLC0415 - slow import

        return 2 * float(stdtr(self._freedom(), -abs(self.mean) / error))

    def error(self) -> float | None:
        """The standard error; None when some stratum has fewer than two values."""
        if any(len(values) < 2 for values in self.strata.values()):
            return None
        return math.sqrt(math.fsum(part for part, _ in self._variances())) / self.parts

    def _freedom(self) -> float:
        parts = self._variances()
        total = math.fsum(part for part, _ in parts)
        return 1 / math.fsum((part / total) ** 2 / degrees for part, degrees in parts)

    def _variances(self) -> list[tuple[float, int]]:
        """Of each stratum's mean, with its degrees of freedom."""
        return [(_variance(v) / len(v), len(v) - 1) for v in self.strata.values()]


def _differences_within(within: Range) -> Range:
    return within[0] - within[1], within[1] - within[0]


def _differences(new: Sequence[Cell], old: Sequence[Cell]) -> list[Cell]:
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
    return differences


def _variance(values: Sequence[float]) -> float:
    """Exactly 0 of equal values, unlike numpy's; the standard library's is 20 times as slow."""
    centre = fmean(values)
    return math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1)
