"""What a bypass measurement came to, read from its store by counting queries.

A sample counts at the highest level that its program reached: by its text, or when it ran.
Responses without code, and code that does not parse, are classes of their own. Every rate is of all
samples of its cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stop._util.statistics import wilson_interval
from stop.experiments.bypass.config import BypassConfig, Sampling
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

    def to_dict(self) -> dict[str, Any]:
        ends = self.interval
        return {"count": self.count, "rate": self.rate, "interval": ends and list(ends)}


@dataclass(frozen=True, slots=True)
class CellReport:
    """One cell of the table.

    Attributes:
        cell: "no_warning" or "warning".
        samples: so many are there.
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

    def to_dict(self) -> dict[str, Any]:
        classes = {
            name: self.rate(name).to_dict() | {"paper_rule": self.paper_rule[name]}
            for name in CLASSES
        }
        return {
            "cell": self.cell,
            "samples": self.samples,
            "classes": classes,
            "any_level": self.any_level.to_dict(),
            "paper_rule": self.paper_rate().to_dict(),
            "cut_off": self.cut_off,
            "runs": self.runs,
        }


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


def report(store: Store, config: BypassConfig, folder: Path) -> dict[str, Any]:
    """The result as `stop bypass --json` prints it."""
    plan = config.bypass
    return {
        "run": str(folder),
        "status": run_status(folder, store),
        "model": config.lm,
        "samples_per_cell": plan.samples,
        "temperature": plan.temperature,
        "executed": plan.execute,
        "cells": [cell.to_dict() for cell in read_cells(store, plan)],
        "programs": [_program(sample) for sample in Samples(store).all()],
        "lm": store.spending().to_dict(),
    }


def _class(status: str, level: int) -> str:
    return status if status in ("unparsable", "no_code") else CLASSES[level]


def _program(sample: SampleRecord) -> dict[str, Any]:
    ran = sample.run_status not in (None, "running")
    name = _class(sample.status, sample.reached)
    return {
        "program_id": sample.program_id,
        "cell": sample.cell,
        "number": sample.number,
        "class": name,
        "level": sample.reached if name in CLASSES[:4] else None,
        "rules": sample.findings,
        "events": sample.events,
        "paper_rule": sample.paper_rule,
        "cut_off": sample.cut_off,
        "run": {"status": sample.run_status, "detail": sample.run_detail} if ran else None,
    }
