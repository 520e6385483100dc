"""Where self-improvement stops: the gains of a run's rounds, and which of them are more than noise.

Each candidate is compared with the seed improver, and with the best accepted before it, on the same
instances (paired t-test, see `compare_paired`). P-values are corrected by Holm's
method over all candidates that were tried, since any of them could have become the best.

The run is saturated from round k on when the best improver cannot be told from that of round k any
more: k is the accepted round after the last one that the best is significantly better than. Among
the accepted rounds this is a multiple comparison with the best, as of J. C. Hsu (Annals of
Statistics 9, 1981), by paired tests with Holm's correction instead of his simultaneous intervals.

The same instances chose the best and are used to test it; that the correction is for all candidates
keeps chance winners out (see the test of it), but only the test split is free of that choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stop._util.statistics import (
    Cell,
    Comparison,
    common_cells,
    compare_paired,
    corrected,
    stratified_mean,
)
from stop.analysis.frames import frame
from stop.analysis.runs import OneRun, Runs, as_run, as_runs
from stop.analysis.scores import Scores
from stop.store.best import best_round

if TYPE_CHECKING:
    from pandas import DataFrame

SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Candidate:
    """The improver that a round resulted in, with the scores behind its meta-utility."""

    round: int
    improver_id: str
    accepted: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class RoundGain:
    """What a round gained, by paired tests with Holm's correction.

    Attributes:
        round, improver_id, accepted: of its candidate.
        over_seed: over the seed improver; None of round 0.
        over_best: over the best accepted before it; None of round 0.
        still_to_gain: from an accepted one to the best of the run; None of the best, of those after
            it, and of what was not accepted.
    """

    round: int
    improver_id: str
    accepted: bool
    over_seed: Comparison | None = None
    over_best: Comparison | None = None
    still_to_gain: Comparison | None = None


@dataclass(frozen=True, slots=True)
class Saturation:
    """Where the gain of a run stops being distinguishable from noise.

    Attributes:
        round: the run is saturated from here on; 0 when no gain is distinguishable, None without
            any score.
        best_round: of the best improver.
        last_round: with a scored candidate.
        gains: by round.
        over: what varied, "repetitions", or "instances" with one repetition: how the model's
            sampling varies is then not covered.
    """

    round: int | None
    best_round: int | None
    last_round: int | None
    gains: tuple[RoundGain, ...]
    over: str

    @property
    def is_real(self) -> bool:
        """Whether the best improver is distinguishable from the seed improver."""
        return bool(self.round)

    def __str__(self) -> str:
        if self.round is None:
            return "no improver has a score yet"
        if self.last_round == 0:
            return "no candidate has been scored yet"
        if self.round == 0:
            return "no gain over the seed improver is distinguishable from noise"
        gained = "the gain over the seed improver is distinguishable from noise"
        if self.round == self.last_round:
            return f"{gained}, and so is that of the last round: not saturated"
        return f"{gained}; after round {self.round} nothing more was gained that is"


def saturation(run: OneRun) -> Saturation:
    """Finds where the gain of a run stops being distinguishable from noise.

    Paired t-tests with Holm's correction; the head of this module says which.

    Args:
        run: a run of rounds; in others nothing is scored by round.
    """
    opened = as_run(run)
    scores = Scores(opened)
    with closing(opened.store()) as store:
        records = [r for r in store.rounds() if r.improver_id and r.meta_utility is not None]
        best = best_round(store, opened.config)
    candidates = [
        Candidate(r.round, r.improver_id or "", r.accepted, scores.cells(r.improver_id or ""))
        for r in records
    ]
    return saturation_of(candidates, best=best.round if best else None)


def saturation_of(candidates: Sequence[Candidate], *, best: int | None = None) -> Saturation:
    """Does what `saturation` does, with scores at hand.

    Args:
        candidates: by round, the first is the seed improver.
        best: the round of the best improver; default: the accepted one with the highest mean.
    """
    scored = [c for c in candidates if c.cells]
    if not scored:
        return Saturation(None, None, None, (), "")
    seed, tried = scored[0], scored[1:]
    accepted = [c for c in scored if c.accepted] or [seed]
    winner = next((c for c in accepted if c.round == best), None) or max(accepted, key=_mean)
    path = [c for c in accepted if c.round < winner.round]
    over_seed = _tests({c.round: (c, seed) for c in tried})
    over_best = _tests({c.round: (c, _best_before(accepted, c) or seed) for c in tried})
    to_gain = _tests({c.round: (winner, c) for c in path}, family=len(tried))
    gains = tuple(
        RoundGain(c.round, c.improver_id, c.accepted, over_seed.get(c.round),
                  over_best.get(c.round), to_gain.get(c.round))
        for c in scored
    )  # fmt: skip
    behind = [r for r, test in to_gain.items() if test is not None and _is_gain(test)]
    later = [c.round for c in accepted if c.round > max(behind, default=-1)]
    over = next((t.difference.over for t in over_seed.values() if t), "")
    return Saturation(min(later), winner.round, scored[-1].round, gains, over)


def _is_gain(test: Comparison) -> bool:
    p = test.p_holm
    return p is not None and p < SIGNIFICANT and test.difference.mean > 0


def gains_df(runs: Runs) -> DataFrame:
    """Returns what each round gained, with intervals and p-values before and after correction.

    One row for each round with a scored candidate. Columns: round, improver_id, accepted, and for
    each of `over_seed`, `over_best` and `still_to_gain` (see `RoundGain`) the difference under that
    name and, with endings, its 95 % interval (`_low`, `_high`), the pairs (`_n`), the p-value of
    the paired t-test (`_p`), and that after Holm's correction over the run's candidates
    (`_p_holm`). What was not compared is NaN.

    Args:
        runs: one or several.
    """
    columns: dict[str, type] = {"run": str, "round": int, "improver_id": str, "accepted": bool}
    for name in ("over_seed", "over_best", "still_to_gain"):
        columns |= {name: float, f"{name}_low": float, f"{name}_high": float, f"{name}_n": int,
                    f"{name}_p": float, f"{name}_p_holm": float}  # fmt: skip
    rows = [
        (label, g.round, g.improver_id, g.accepted,
         *_values(g.over_seed), *_values(g.over_best), *_values(g.still_to_gain))
        for label, run in as_runs(runs).items()
        for g in saturation(run).gains
    ]  # fmt: skip
    return frame(columns, rows)


def _values(test: Comparison | None) -> tuple[float | None, ...]:
    if test is None:
        return (None,) * 6
    change = test.difference
    return change.mean, change.low, change.high, test.n, test.p, test.p_holm


def _tests(
    pairs: dict[int, tuple[Candidate, Candidate]], family: int = 0
) -> dict[int, Comparison | None]:
    found = []
    for new, old in pairs.values():
        cells = common_cells(new.cells, old.cells)
        found.append(compare_paired(*cells) if cells[0] else None)
    return dict(zip(pairs, corrected(found, family=family), strict=True))


def _best_before(accepted: Iterable[Candidate], candidate: Candidate) -> Candidate | None:
    return max((c for c in accepted if c.round < candidate.round), key=_mean, default=None)


def _mean(candidate: Candidate) -> float:
    return stratified_mean(candidate.cells).mean
