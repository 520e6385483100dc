"""Scores of a run's programs with intervals, and gains paired on the same instances."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from stop._util.statistics import Cell, common_cells, compare_paired, stratified_mean
from stop.report.data import Gain, Measure
from stop.store import Store
from stop.tasks.task import Task


def instance_scores(text: str) -> tuple[float, ...]:
    """Reads the scores of an evaluation's instances, as the store keeps them."""
    return tuple(float(each[0]) for each in json.loads(text))


def improver_cells(store: Store, improver: str, tasks: Sequence[Task]) -> list[Cell] | None:
    """Reads the cells of an improver's meta-utility.

    An improver run that returned no program counts with its task's lowest score.

    Returns:
        None when one of the cells is not known.
    """
    lowest = {task.name: (task.score_range[0], task.counts.meta) for task in tasks}
    cells: dict[tuple[str, int], Cell] = {}
    for task, repetition, result, score, instances in _runs(store, improver):
        if result is not None and score is not None:
            cell = Cell(task, repetition, score, instance_scores(instances) or (score,))
        elif result is None and task in lowest:
            worst, count = lowest[task]
            cell = Cell(task, repetition, worst, (worst,) * count)
        else:
            return None
        cells[task, repetition] = cell
    return list(cells.values()) or None


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


def beyond(measures: Sequence[Measure], ranges: Sequence[tuple[float, float]]) -> tuple[str, ...]:
    """Warns, in one sentence, where an interval reaches past the possible scores.

    Args:
        measures: means over tasks.
        ranges: the lowest and the highest score of each task; none when they are not known.
    """
    if not ranges:
        return ()
    low, high = (sum(each[i] for each in ranges) / len(ranges) for i in (0, 1))
    ends = [(m.low, m.high) for m in measures if m.low is not None and m.high is not None]
    if not any(start < low or end > high for start, end in ends):
        return ()
    return (
        f"Some intervals reach past the possible scores, {low:g} to {high:g}: Student's t does not "
        "know them, and is wide where there are few repetitions.",
    )


def paired_gain(
    before: Measure, after: Measure, old: list[Cell] | None, new: list[Cell] | None
) -> Gain:
    """Compares two programs, paired where they have cells in common."""
    pair = common_cells(new or [], old or [])
    if not pair[0]:
        return Gain(before, after)
    found = compare_paired(*pair)
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


def mean_of(cells: list[Cell]) -> Measure | None:
    """The mean of cells with its interval; None of nothing."""
    if not cells:
        return None
    found = stratified_mean(cells)
    return Measure(found.mean, found.low, found.high)
