"""The result of a transfer measurement: what `--json` prints, and what people read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stop._util.documents import to_document
from stop._util.sheet import ONE_REPETITION, Block, Sheet, Table, cost, interval, number, p_value
from stop.budget import LMCost

Who = Literal["seed solution", "seed improver", "improved improver"]
Split = Literal["meta", "test"]
WHO: tuple[Who, ...] = ("seed solution", "seed improver", "improved improver")
SPLITS: tuple[Split, ...] = ("meta", "test")
"""What an improver is not shown while it works."""


@dataclass(frozen=True, slots=True)
class Row:
    """One cell of the paper's table.

    Attributes:
        task: its name.
        program: "seed solution", or the improver whose programs are scored.
        split: "meta" or "test".
        mean: over repetitions.
        interval: of `mean`, 95 %.
        over: what varied, "repetitions".
        n: repetitions that are there.
        failed: of these, without a program; each has the task's lowest score.
        detail: why the first of them failed.
    """

    task: str
    program: Who
    split: Split
    mean: float
    interval: tuple[float, float] | None
    over: str
    n: int
    failed: int = 0
    detail: str = ""

    @property
    def low(self) -> float | None:
        """The lower end of the interval."""
        return self.interval and self.interval[0]

    @property
    def high(self) -> float | None:
        """The upper end of the interval."""
        return self.interval and self.interval[1]

    def to_dict(self) -> dict[str, Any]:
        """As in the machine-readable output."""
        return to_document(self)


@dataclass(frozen=True, slots=True)
class GainResult:
    """Improved minus seed improver on a task, paired by repetition.

    Attributes:
        task: its name.
        split: "meta" or "test".
        difference: mean of the differences.
        interval: of `difference`, 95 %.
        over: what varied, "repetitions".
        n: repetitions that both have.
        method: of the test.
        p: two-sided; null where one value is all there is.
        p_holm: corrected by Holm's method for the number of tasks, each split by itself.
        p_sign_flip: of a test that does not assume normality.
    """

    task: str
    split: str
    difference: float
    interval: tuple[float, float] | None
    over: str
    n: int
    method: str
    p: float | None
    p_holm: float | None
    p_sign_flip: float | None


@dataclass(frozen=True, slots=True)
class ImprovedImprover:
    """The improver whose gain is measured.

    Attributes:
        program_id: SHA-256 of its bytes.
        origin: where it comes from, for people.
        trained_on: the tasks that it was improved on; null where they are not known.
    """

    program_id: str
    origin: str
    trained_on: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class SeedImprover:
    """The improver that it is compared with.

    Attributes:
        program_id: SHA-256 of its bytes.
    """

    program_id: str


@dataclass(frozen=True, slots=True)
class TaskOfTransfer:
    """A task of the measurement.

    Attributes:
        task: its name.
        trained_on: whether the improver was improved on it; null where that is not known.
    """

    task: str
    trained_on: bool | None


@dataclass(frozen=True, slots=True)
class TransferResult:
    """What a transfer measurement has found. What a limit left undone has no row.

    Attributes:
        run: its folder.
        status: "new", "running", "done", "budget", "failed", "halted" or "interrupted".
        model: that answered.
        repetitions: improver runs for each task and improver.
        improver: the improved one.
        seed_improver: the one that it is compared with.
        tasks: in order.
        rows: the table: three programs for each task, on both splits.
        gains: improved minus seed improver.
        lm: what the language model cost.
    """

    run: Path
    status: str
    model: str
    repetitions: int
    improver: ImprovedImprover
    seed_improver: SeedImprover
    tasks: tuple[TaskOfTransfer, ...]
    rows: tuple[Row, ...]
    gains: tuple[GainResult, ...]
    lm: LMCost

    def sheet(self) -> Sheet:
        """Returns the result as people read it: the scores, the gains, the cost."""
        trained = {
            each.task: each.task + (" (trained on)" if each.trained_on else "")
            for each in self.tasks
        }
        remarks: list[Block] = [
            f"{row.program} on {row.task}: {row.failed} of {row.n} runs without a program, which "
            f"counts as the lowest score; {row.detail[:120]}"
            for row in self.rows
            if row.failed and row.split == "meta"
        ]
        if self.repetitions == 1 and self.rows:
            remarks.append(ONE_REPETITION)
        known = self.improver.trained_on
        facts = {
            "improver": self.improver.origin,
            "trained": "on: " + ("not known" if known is None else ", ".join(known) or "no task"),
            "model": self.model,
            "cost": cost(self.lm),
            "status": self.status,
        }
        tables = [_scores(self.rows, trained), _gains(self.gains, trained)]
        return [*(table for table in tables if table.rows), *remarks, facts]


def _scores(rows: Iterable[Row], trained: dict[str, str]) -> Table:
    """One line for a task and a program, with both splits."""
    lines: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        empty = [trained[row.task], row.program, "-", "", "-", "", "0"]
        line = lines.setdefault((row.task, row.program), empty)
        at = 2 if row.split == "meta" else 4
        line[at : at + 2] = [number(row.mean), interval(row.interval)]
        line[6] = str(row.n)
    heads = ("task", "program", "meta", "95 % interval", "test", "95 % interval", "n")
    return Table(heads, list(lines.values()))


def _gains(gains: Iterable[GainResult], trained: dict[str, str]) -> Table:
    rows = [
        (trained[gain.task], gain.split, f"{gain.difference:+.4f}", interval(gain.interval),
         p_value(gain.p), p_value(gain.p_holm))
        for gain in gains
    ]  # fmt: skip
    heads = ("task", "split", "difference", "95 % interval", "p", "p (Holm)")
    return Table(heads, rows, "improved improver minus seed improver, paired:")
