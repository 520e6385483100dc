"""The result of a transfer measurement, read from its store as far as it has come.

Repetitions are the sample, as in a meta-utility: each has instances of its own, the same for the
seed solution and both improvers. An improver run without a program has the task's lowest score.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from stop._util.documents import to_document
from stop._util.sheet import Sheet, to_html
from stop._util.statistics import (
    Cell,
    Estimate,
    Range,
    common_cells,
    compare_paired,
    holm,
    stratified_mean,
)
from stop.engine.meta_utility import cell_key
from stop.errors import StopError
from stop.experiments.transfer.config import Improvement, TransferConfig
from stop.experiments.transfer.result import (
    SPLITS,
    WHO,
    GainResult,
    ImprovedImprover,
    Row,
    SeedImprover,
    Split,
    TaskOfTransfer,
    TransferResult,
    Who,
)
from stop.programs import program_id
from stop.runs.folder import read_config_as, run_status
from stop.store import Store
from stop.store.recorded import EvaluationRecord, Place, evaluation_records
from stop.tasks.task import Task

__all__ = ["Gain", "Row", "Transfer", "note_tasks", "trained_on"]


@dataclass(frozen=True, slots=True)
class Gain:
    """Improved minus seed improver on a task, paired by repetition.

    Attributes:
        difference: with its 95 % interval.
        n: repetitions that both have.
        method, p: of the test; None where one value is all there is.
        p_holm: `p` corrected by Holm's method for the number of tasks, each split by itself.
        p_sign_flip: of a test that does not assume normality.
        width: of the range of scores; 1 where that is not known.
    """

    task: str
    split: Split
    difference: Estimate
    n: int
    method: str
    p: float | None
    p_holm: float | None
    p_sign_flip: float | None
    width: float = 1.0

    def result(self) -> GainResult:
        """Returns the gain as the machine-readable output has it."""
        change = self.difference
        return GainResult(
            self.task, self.split, change.mean, change.interval, change.over, self.n, self.method,
            self.p, self.p_holm, self.p_sign_flip,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """As in the machine-readable output."""
        return to_document(self.result())


@dataclass(frozen=True)
class Transfer:
    """A transfer measurement as it is on disk.

    Attributes:
        folder: where everything of it lies.
        error: why it is not done, when it ended early.
    """

    folder: Path
    error: StopError | None = field(default=None, compare=False)

    @property
    def config(self) -> TransferConfig:
        """What is compared, on which tasks.

        Raises:
            RunError: the folder holds no transfer measurement.
        """
        return read_config_as(Path(self.folder), TransferConfig)

    @property
    def rows(self) -> list[Row]:
        """The table: three programs for each task, on both splits; tasks without scores lack."""
        return self._read().rows

    @property
    def gains(self) -> list[Gain]:
        """What the improved improver adds, by split and task."""
        return self._read().gains

    def to_dict(self) -> dict[str, Any]:
        """As `stop transfer --json` prints it."""
        return to_document(self._result())

    def sheet(self) -> Sheet:
        """Returns the result as people read it."""
        return self._result().sheet()

    def _repr_html_(self) -> str:
        return to_html(self.sheet())

    def _result(self) -> TransferResult:
        with Store(Path(self.folder) / "run.db", read_only=True) as store:
            table = _Table(store, self.config)
            improved = table.improved
            return TransferResult(
                run=Path(self.folder),
                status=run_status(Path(self.folder), store),
                model=table.config.lm,
                repetitions=table.config.repetitions,
                improver=ImprovedImprover(
                    program_id(improved.improver), improved.origin, improved.trained_on
                ),
                seed_improver=SeedImprover(table.seed_improver),
                tasks=tuple(
                    TaskOfTransfer(task.name, trained_on(improved, task.name))
                    for task in table.tasks
                ),
                rows=tuple(table.rows),
                gains=tuple(gain.result() for gain in table.gains),
                lm=store.spending().cost(),
            )

    def _read(self) -> _Table:
        store = Store(Path(self.folder) / "run.db", read_only=True)
        try:
            table = _Table(store, self.config)
            _ = table.rows, table.gains
            return table
        finally:
            store.close()


def trained_on(improved: Improvement, task: str) -> bool | None:
    """Whether the improver was improved on this task; None: not known."""
    return None if improved.trained_on is None else task in improved.trained_on


@dataclass(frozen=True, slots=True)
class _TaskNote:
    """What readers need of a task: its files are not loaded again to read a result."""

    name: str
    seed_id: str
    low: float
    counts: dict[str, int]
    high: float = math.inf  # not noted by earlier versions

    @property
    def within(self) -> Range:
        return self.low, self.high


_TASKS = "transfer.tasks"


def note_tasks(store: Store, tasks: Sequence[Task]) -> None:
    """Keep what a reader needs of the tasks, in their order."""
    notes = [
        {
            "name": task.name,
            "seed_id": store.add_program(task.seed, "solution"),
            "low": task.score_range[0],
            "high": task.score_range[1],
            "counts": {split: int(getattr(task.counts, split)) for split in SPLITS},
        }
        for task in tasks
    ]
    store.set_meta(_TASKS, json.dumps(notes))


def _tasks(store: Store) -> list[_TaskNote]:
    return [_TaskNote(**note) for note in json.loads(store.meta(_TASKS) or "[]")]


class _Table:
    """Rows and gains out of one store."""

    def __init__(self, store: Store, config: TransferConfig) -> None:
        self.config = config
        self.improved = config.transfer
        self.tasks = _tasks(store)
        self.seed_improver = program_id(config.improver)
        self._store = store
        self._improvers = {
            "seed improver": self.seed_improver,
            "improved improver": program_id(config.transfer.improver),
        }

    @cached_property
    def _records(self) -> dict[Place, EvaluationRecord]:
        return evaluation_records(self._store)

    @cached_property
    def rows(self) -> list[Row]:
        return [
            row
            for task in self.tasks
            for split in SPLITS
            for who in WHO
            if (row := self._row(task, split, who))
        ]

    @cached_property
    def gains(self) -> list[Gain]:
        return [gain for split in SPLITS for gain in self._gains(split)]

    def _row(self, task: _TaskNote, split: Split, who: Who) -> Row | None:
        cells = self._cells(task, split, who)
        if not cells:
            return None
        scores = [cell for cell, _ in cells]
        estimate = stratified_mean(scores, within=task.within)
        details = [detail for _, detail in cells if detail]
        return Row(
            task=task.name,
            program=who,
            split=split,
            mean=estimate.mean,
            interval=estimate.interval,
            over=estimate.over,
            n=len(cells),
            failed=len(details),
            detail=details[0] if details else "",
        )

    def _gains(self, split: Split) -> Iterator[Gain]:
        found = []
        for task in self.tasks:
            new, old = (
                [cell for cell, _ in self._cells(task, split, who)] for who in (WHO[2], WHO[1])
            )
            pair = common_cells(new, old)
            if pair[0]:
                test = compare_paired(*pair, within=task.within)
                found.append((task, len(pair[0]), test))
        corrected = holm([test.p for _, _, test in found], family=len(self.tasks))
        for (task, n, test), p_holm in zip(found, corrected, strict=True):
            yield Gain(
                task=task.name,
                split=split,
                difference=test.difference,
                n=n,
                method=test.method,
                p=test.p,
                p_holm=p_holm,
                p_sign_flip=test.p_sign_flip,
                width=task.high - task.low if math.isfinite(task.high) else 1.0,
            )

    def _cells(self, task: _TaskNote, split: Split, who: Who) -> list[tuple[Cell, str]]:
        """What is there, by repetition, with the reason where no program came of it."""
        found = (self._cell(task, split, who, r) for r in range(self.config.repetitions))
        return [cell for cell in found if cell is not None]

    def _cell(
        self, task: _TaskNote, split: Split, who: Who, repetition: int
    ) -> tuple[Cell, str] | None:
        program = task.seed_id
        if who in self._improvers:
            run = self._store.improver_run(cell_key(task.name, repetition, self._improvers[who]))
            if run is None or run.status == "running":
                return None
            if run.result_id is None:
                return Cell(task.name, repetition, task.low), f"{run.status}: {run.detail}"
            program = run.result_id
        record = self._records.get((program, task.name, split, repetition))
        if record is None:
            return None
        return Cell(task.name, repetition, record.score), ""
