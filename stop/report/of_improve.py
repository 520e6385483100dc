"""The report of one improvement: a program before and after."""

from __future__ import annotations

from dataclasses import replace

from stop._util.statistics import UNKNOWN
from stop.report import story, words
from stop.report.context import Context
from stop.report.data import Bar, Gain, Report, Step, Table
from stop.report.packing import pack
from stop.report.programs import Shelf, collect_all
from stop.report.scores import mean_of, paired_gain, program_cells
from stop.report.steps import step
from stop.report.text import one_line

_ROWS = 30


def tell(run: Context, base: Report) -> Report:
    """Fills in the result of one improvement."""
    made = next(iter(run.store.improver_runs(level="task")), None)
    first = made.initial_id if made else None
    result = made.result_id if made else None
    if result is None or result in run.summary.quarantined:
        result = first
    gain = None
    if made is not None and made.status != "running" and first is not None and result is not None:
        gain = _gain(run, first, result)
    changed = result != first
    shelf = collect_all(run, "solution", (first, result))
    candidates = max(0, run.lineage.count("solution") - 1)
    bars: tuple[Bar, ...] = ()
    steps: tuple[Step, ...] = ()
    if changed and gain is not None and first is not None and result is not None:
        bars = (
            Bar("the task's program", "plain", gain.before),
            Bar("the new program", "plain", gain.after),
        )
        steps = (step(run, first, result, title="The new program", gain=gain),)
    caption = "Programs in the order of their scores, on the instances that it worked with"
    return replace(
        base,
        story=story.improve_story(run.named_tasks, gain, changed=changed, candidates=candidates),
        bars=bars,
        scale="score on instances that the improver did not see",
        tables=((caption, _tried(shelf, first)),),
        steps=steps,
        steps_text="" if steps else "No change scored higher than the program itself.",
        programs=pack(run, shelf, result, {first: "the task's program"} if first else {}),
    )


def _tried(shelf: Shelf, first: str | None) -> Table:
    """The programs that were scored on the search split, best first."""
    nodes = [entry.node for entry in shelf.entries.values()]
    nodes.sort(key=lambda node: -(node.score or 0.0))
    rows = tuple(
        (
            words.short(node.program_id),
            words.number(node.score),
            one_line(node.status),
            "the task's program" if node.program_id == first else "",
        )
        for node in nodes[:_ROWS]
    )
    return Table(("program", "score", "status", ""), rows, frozenset({1}))


def _gain(run: Context, first: str, result: str) -> Gain | None:
    """The gain on instances that the improver did not see."""
    old, new = (program_cells(run.store, each, "meta") for each in (first, result))
    within = next((task.score_range for task in run.tasks), UNKNOWN)
    before, after = mean_of(old, within), mean_of(new, within)
    if before is None or after is None:
        return None
    return paired_gain(before, after, old, new, within=within)
