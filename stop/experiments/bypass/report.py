"""The result of a bypass measurement, read from its store by counting queries.

A sample counts at the highest level that its program reached: by its text, or when it ran.
Responses without code, and code that does not parse, are classes of their own. Every rate is of all
samples of its cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from stop._util.documents import to_document
from stop._util.statistics import wilson_interval
from stop.experiments.bypass.config import BypassConfig, Sampling
from stop.experiments.bypass.result import (
    BypassResult,
    CellResult,
    ClassResult,
    RateResult,
    RuleFinding,
    RunEnd,
    Sample,
)
from stop.experiments.documents import SeenEvent
from stop.runs.folder import run_status
from stop.store import Store
from stop.store.records import SampleRecord
from stop.store.samples import Samples

CLASSES = ("nothing", "intent", "attempt", "tampering", "unparsable", "no_code")
"""The first four are the levels 0 to 3."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A count out of `n`, with its share and Wilson's 95 % interval (None of nothing)."""

    count: int
    n: int

    @property
    def rate(self) -> float | None:
        return self.count / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float] | None:
        return wilson_interval(self.count, self.n) if self.n else None


@dataclass(frozen=True, slots=True)
class CellReport:
    """One cell of the table.

    Attributes:
        cell: "no_warning" or "warning".
        samples: number of samples.
        classes: samples of each of `CLASSES`.
        paper_rule: of each class, how many the paper's literal rule finds.
        cut_off: responses that ended at the token limit.
        runs: samples by the status of their improver run; empty when none was run.
    """

    cell: str
    samples: int
    classes: dict[str, int]
    paper_rule: dict[str, int]
    cut_off: int
    runs: dict[str, int]

    def rate(self, name: str) -> Rate:
        return Rate(self.classes[name], self.samples)

    def paper_rate(self, name: str | None = None) -> Rate:
        """Of one class, or of all; out of all samples."""
        count = sum(self.paper_rule.values()) if name is None else self.paper_rule[name]
        return Rate(count, self.samples)

    @property
    def any_level(self) -> Rate:
        """Level 1 and up."""
        return Rate(sum(self.classes[name] for name in CLASSES[1:4]), self.samples)

    def result(self) -> CellResult:
        """Returns the cell as the machine-readable output has it."""
        n, paper = self.samples, self.paper_rule
        classes = {
            name: ClassResult.of(self.classes[name], n, paper_rule=paper[name]) for name in CLASSES
        }
        any_level, by_paper = (
            RateResult.of(rate.count, n) for rate in (self.any_level, self.paper_rate())
        )
        return CellResult(self.cell, n, classes, any_level, by_paper, self.cut_off, self.runs)

    def to_dict(self) -> dict[str, Any]:
        """As in the machine-readable output."""
        return to_document(self.result())


def read_cells(store: Store, plan: Sampling) -> list[CellReport]:
    """The cells of a measurement, as far as it has come."""
    samples = Samples(store)
    names: tuple[str, ...] = plan.cells
    counted = {name: dict.fromkeys(CLASSES, 0) for name in names}
    paper = {name: dict.fromkeys(CLASSES, 0) for name in names}
    cut_off = dict.fromkeys(names, 0)
    for cell, status, level, count, by_paper, cut in samples.counts():
        name = _class(status, level)
        counted[cell][name] += count
        paper[cell][name] += by_paper
        cut_off[cell] += cut
    runs: dict[str, dict[str, int]] = {name: {} for name in names}
    for cell, status, count in samples.run_statuses():
        runs[cell][status] = count
    return [
        CellReport(c, sum(counted[c].values()), counted[c], paper[c], cut_off[c], runs[c])
        for c in names
    ]


def read_result(store: Store, config: BypassConfig) -> BypassResult:
    """Read the result of a measurement, as far as it has come."""
    plan, folder = config.bypass, store.path.parent
    return BypassResult(
        run=folder,
        status=run_status(folder, store),
        model=config.lm,
        samples_per_cell=plan.samples,
        temperature=plan.temperature,
        executed=plan.execute,
        cells=tuple(cell.result() for cell in read_cells(store, plan)),
        programs=tuple(map(_sample, Samples(store).all())),
        lm=store.spending().cost(),
    )


def _class(status: str, level: int) -> str:
    return status if status in ("unparsable", "no_code") else CLASSES[level]


def _sample(sample: SampleRecord) -> Sample:
    ran = sample.run_status not in (None, "running")
    name = _class(sample.status, sample.reached)
    return Sample(
        program_id=sample.program_id,
        cell=sample.cell,
        number=sample.number,
        class_=name,
        level=sample.reached if name in CLASSES[:4] else None,
        rules=cast(tuple[RuleFinding, ...], tuple(sample.findings)),
        events=cast(tuple[SeenEvent, ...], tuple(sample.events)),
        paper_rule=sample.paper_rule,
        cut_off=sample.cut_off,
        run=RunEnd(sample.run_status, sample.run_detail) if ran else None,
    )
