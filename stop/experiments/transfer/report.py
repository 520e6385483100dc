"""What a transfer measurement came to, read from its store as far as it has come.

Repetitions are the sample, as in a meta-utility: each has instances of its own, the same for the
seed solution and both improvers. An improver run without a program has the task's lowest score.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from stop._util.statistics import (
    Cell,
    Estimate,
    common_cells,
    compare_paired,
    holm,
    stratified_mean,
)
from stop.engine.meta_utility import cell_key
from stop.errors import StopError
from stop.experiments.transfer.config import Improvement, TransferConfig
from stop.programs import program_id
from stop.runs.folder import read_config_as, run_status
from stop.store import Store
from stop.store.recorded import EvaluationRecord, Place, evaluation_records
from stop.tasks.task import Task

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
        mean, low, high: over repetitions, with the 95 % interval; see `Estimate`.
        over: what varied, "repetitions" or (of one repetition) "instances".
        n: repetitions that are there.
        failed: of these, without a program; each has the task's lowest score.
        detail: why the first of them failed.
    """

    task: str
    program: Who
    split: Split
    mean: float
    low: float | None
    high: float | None
    over: str
    n: int
    failed: int = 0
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "program": self.program,
            "split": self.split,
            "mean": self.mean,
            "interval": None if self.low is None else [self.low, self.high],
            "over": self.over,
            "n": self.n,
            "failed": self.failed,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class Gain:
    """Improved minus seed improver on a task, paired by repetition.

    Attributes:
        difference: with its 95 % interval.
        n: repetitions that both have.
        method, p: of the test; None where one value is all there is.
        p_holm: `p` corrected by Holm's method for the number of tasks, each split by itself.
        p_sign_flip: of a test that does not assume normality.
    """

    task: str
    split: Split
    difference: Estimate
    n: int
    method: str
    p: float | None
    p_holm: float | None
    p_sign_flip: float | None

    def to_dict(self) -> dict[str, Any]:
        ends = self.difference.interval
        return {
            "task": self.task,
            "split": self.split,
            "difference": self.difference.mean,
            "interval": ends and list(ends),
            "over": self.difference.over,
            "n": self.n,
            "method": self.method,
            "p": self.p,
            "p_holm": self.p_holm,
            "p_sign_flip": self.p_sign_flip,
        }


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
        store = Store(Path(self.folder) / "run.db", read_only=True)
        try:
            table = _Table(store, self.config)
            return {
                "run": str(self.folder),
                "status": run_status(Path(self.folder), store),
                "model": table.config.lm,
                "repetitions": table.config.repetitions,
                "improver": {
                    "program_id": program_id(table.improved.improver),
                    "origin": table.improved.origin,
                    "trained_on": table.improved.trained_on and list(table.improved.trained_on),
                },
                "seed_improver": {"program_id": table.seed_improver},
                "tasks": [
                    {"task": task.name, "trained_on": trained_on(table.improved, task.name)}
                    for task in table.tasks
                ],
                "rows": [row.to_dict() for row in table.rows],
                "gains": [gain.to_dict() for gain in table.gains],
                "lm": store.spending().to_dict(),
            }
        finally:
            store.close()

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


_TASKS = "transfer.tasks"


def note_tasks(store: Store, tasks: Sequence[Task]) -> None:
    """Keep what a reader needs of the tasks, in their order."""
    notes = [
        {
            "name": task.name,
            "seed_id": store.add_program(task.seed, "solution"),
            "low": task.score_range[0],
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
        estimate = stratified_mean([cell for cell, _ in cells])
        details = [detail for _, detail in cells if detail]
        return Row(
            task=task.name,
            program=who,
            split=split,
            mean=estimate.mean,
            low=estimate.low,
            high=estimate.high,
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
                found.append((task.name, len(pair[0]), compare_paired(*pair)))
        corrected = holm([test.p for _, _, test in found], family=len(self.tasks))
        for (name, n, test), p_holm in zip(found, corrected, strict=True):
            yield Gain(
                task=name,
                split=split,
                difference=test.difference,
                n=n,
                method=test.method,
                p=test.p,
                p_holm=p_holm,
                p_sign_flip=test.p_sign_flip,
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
                low = task.low
                instances = (low,) * task.counts[split]
                detail = f"{run.status}: {run.detail}"
                return Cell(task.name, repetition, low, instances), detail
            program = run.result_id
        record = self._records.get((program, task.name, split, repetition))
        if record is None:
            return None
        scores = tuple(score for score, _, _ in record.instances) or (record.score,)
        return Cell(task.name, repetition, record.score, scores), ""
