"""Comparisons of two improvers on fresh cells: the confirmations of rounds, and the final one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

from stop.store.queries import Queries
from stop.store.writes import Store

ComparisonStage = Literal["confirmation", "final", "holdout"]
STAGES: tuple[ComparisonStage, ...] = ("confirmation", "final", "holdout")


@dataclass(frozen=True, slots=True)
class ComparisonRecord:
    """Two improvers on cells that neither was chosen on.

    Attributes:
        stage: "confirmation" of a round, "final" (the run's tasks) or "holdout" (others).
        number: the round of a confirmation; else which final comparison, from 0 on.
        new_id, old_id: the improvers.
        tasks: names of the tasks.
        repetitions: of each task, of both improvers.
        difference, low, high: mean of new minus old, as a share of the range of scores, with its
            95 % interval; None where there are too few repetitions.
        p, alpha: of a confirmation, one-sided, and the level that `p` had to reach.
        decision: of a confirmation, "confirmed", "not confirmed", or "not decided" where the round
            ended before the test did; else "".
        new_mean, new_low, new_high: the new improver's meta-utility with its 95 % interval.
        old_mean, old_low, old_high: the old one's.
        detail: why there are fewer repetitions than wanted; "" where there are not.
        finished: seconds since 1970.
    """

    stage: ComparisonStage
    number: int
    new_id: str
    old_id: str
    tasks: tuple[str, ...]
    repetitions: int
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    alpha: float | None
    decision: str
    new_mean: float | None
    new_low: float | None
    new_high: float | None
    old_mean: float | None
    old_low: float | None
    old_high: float | None
    detail: str
    finished: float

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the difference."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def new_interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the new improver's meta-utility."""
        ends = self.new_low, self.new_high
        return None if ends[0] is None or ends[1] is None else (ends[0], ends[1])


def save_comparison(store: Store, record: ComparisonRecord) -> None:
    """Records a comparison; a later one of the same stage and number takes its place."""
    row = asdict(record) | {"tasks": json.dumps(record.tasks)}
    store.add_row("comparisons", row, "OR REPLACE")


def comparisons(store: Queries, stage: ComparisonStage) -> dict[int, ComparisonRecord]:
    """The comparisons of a stage by number, in order."""
    rows = store.query("SELECT * FROM comparisons WHERE stage = ? ORDER BY number", (stage,))
    return {
        row["number"]: ComparisonRecord(**dict(row) | {"tasks": tuple(json.loads(row["tasks"]))})
        for row in rows
    }


def final_comparison(
    store: Queries, best: str | None, first: str | None, stage: ComparisonStage = "final"
) -> ComparisonRecord | None:
    """The newest final comparison of these two improvers; None: there is none."""
    found = comparisons(store, stage).values()
    return next((c for c in reversed(found) if (c.new_id, c.old_id) == (best, first)), None)
