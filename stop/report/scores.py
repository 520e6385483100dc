"""Scores of a run's programs with intervals, and gains paired on the same instances."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from stop._util.statistics import Cell, Range, common_cells, compare_paired, stratified_mean
from stop.report.data import Gain, Measure
from stop.store import Store


def instance_scores(text: str) -> tuple[float, ...]:
    """Reads the scores of an evaluation's instances, as the store keeps them."""
    return tuple(float(each[0]) for each in json.loads(text))


def made_by(store: Store, improver: str) -> list[tuple[str, int, str | None, float | None]]:
    """Reads (task, repetition, program, its meta score) of up to 100 of an improver's runs."""
    found = {row[:3]: row[3] for row in _runs(store, improver)}
    return [(task or "", *more, score) for (task, *more), score in found.items()][:100]


def _runs(store: Store, improver: str) -> Iterator[tuple[Any, ...]]:
    """Task, repetition, program, its meta score and the scores of instances, the newest last."""
    return map(tuple, store.query(
        "SELECT r.task, r.repetition, r.result_id, e.score, e.instances FROM improver_runs r "
        "LEFT JOIN evaluations e ON e.program_id = r.result_id AND e.task = r.task "
        "AND e.split = 'meta' AND e.repetition = r.repetition "
        "WHERE r.improver_id = ? AND r.level = 'task' AND r.status <> 'running' "
        "AND r.repetition IS NOT NULL ORDER BY r.task, r.repetition, e.created",
        (improver,),
    ))  # fmt: skip


def paired_gain(
    before: Measure, after: Measure, old: list[Cell], new: list[Cell], *, within: Range
) -> Gain:
    """Compares two solutions with scores in a range, paired where they have cells in common."""
    pair = common_cells(new, old)
    if not pair[0]:
        return Gain(before, after)
    found = compare_paired(*pair, within=within, instances=True)
    repetitions = Counter(cell.task for cell in pair[0])
    estimate = found.difference
    return Gain(
        before,
        after,
        Measure(estimate.mean, estimate.low, estimate.high),
        found.p,
        estimate.over,
        found.n,
        len(repetitions),
        min(repetitions.values()),
    )


def program_cells(store: Store, program: str, split: str) -> list[Cell]:
    """Reads a solution's evaluations on one split."""
    rows = store.query(
        "SELECT task, repetition, score, instances FROM evaluations "
        "WHERE program_id = ? AND split = ? ORDER BY task, repetition LIMIT 500",
        (program, split),
    )
    return [
        Cell(task, repetition, score, instance_scores(instances) or (score,))
        for task, repetition, score, instances in rows
    ]


def mean_of(cells: list[Cell], within: Range) -> Measure | None:
    """The mean of a solution's cells with its interval; None of nothing."""
    if not cells:
        return None
    found = stratified_mean(cells, within=within, instances=True)
    return Measure(found.mean, found.low, found.high)
