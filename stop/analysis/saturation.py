"""Where self-improvement stops: which rounds of a run were confirmed, and since when none was.

A confirmation compares the candidate of a round with the improver that it was to replace, on fresh
cells, at its share of the run's alpha (`stop._util.sequential`): the candidates of all rounds, and
those tried within a round, are counted in full. That nothing was confirmed any more does not show
that there was nothing to gain: the upper ends of the intervals say how much there may have been.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from stop.analysis.runs import OneRun, as_run
from stop.store.best import best_round
from stop.store.comparisons import ComparisonRecord, comparisons


@dataclass(frozen=True, slots=True)
class Saturation:
    """Since when nothing was confirmed in a run.

    Attributes:
        round: the last round that was confirmed; 0: none of those tested; None: none was tested.
        best_round: of the best improver; None without any score.
        last_round: the last round there is; None without any.
        candidates: number of improvers that were tried in all rounds.
        tests: the confirmations that came to an end, by round.
    """

    round: int | None
    best_round: int | None
    last_round: int | None
    candidates: int
    tests: dict[int, ComparisonRecord]

    @property
    def is_real(self) -> bool:
        """Whether any gain was confirmed."""
        return bool(self.round)

    def __str__(self) -> str:
        if self.last_round is None:
            return "no improver has a score yet"
        if not self.last_round:
            return "no round has ended yet"
        if self.round is None:
            return (
                "no candidate was tested on fresh cells: whether anything was gained is not known"
            )
        tried = f"{self.candidates} candidates tried, {len(self.tests)} tested on fresh cells"
        if self.round == 0:
            return f"no gain was confirmed ({tried})"
        if self.round == self.last_round:
            return f"the gain of the last round was confirmed: not saturated ({tried})"
        return f"after round {self.round} no gain was confirmed any more ({tried})"


def saturation(run: OneRun) -> Saturation:
    """Finds since when nothing was confirmed in a run.

    Args:
        run: a run of rounds; in others there is nothing to confirm.
    """
    opened = as_run(run)
    with closing(opened.store()) as store:
        records, found = store.rounds(), comparisons(store, "confirmation")
        best = best_round(store, opened.config)
    tests = {n: test for n, test in found.items() if test.difference is not None}
    confirmed = [record.round for record in records if record.confirmed]
    return Saturation(
        round=max(confirmed, default=0) if tests else None,
        best_round=best.round if best else None,
        last_round=max((record.round for record in records), default=None),
        candidates=sum(record.candidates or 0 for record in records),
        tests=tests,
    )
