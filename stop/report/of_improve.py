"""The report of one improvement: a program before and after."""

from __future__ import annotations

from dataclasses import replace

from stop.report import story, words
from stop.report.context import Context
from stop.report.data import Bar, Gain, Report, Step, Table
from stop.report.programs import collect_improve
from stop.report.scores import mean_of, paired_gain, program_cells
from stop.report.steps import step
from stop.report.text import one_line

_ROWS = 30


def tell(run: Context, base: Report) -> Report:
    """Fill in what is particular to one improvement."""
    made = next(iter(run.store.improver_runs(level="task")), None)
    first = made.initial_id if made else None
    result = made.result_id if made else None
    if result is None or result in run.summary.quarantined:
        result = first
    ended = made is not None and made.status != "running"
    gain = _gain(run, first, result) if ended and first is not None and result is not None else None
    changed = result != first
    steps: list[Step] = []
    bars: tuple[Bar, ...] = ()
    if changed and gain is not None and first is not None and result is not None:
        bars = (
            Bar("the task's program", "plain", gain.before),
            Bar("the new program", "plain", gain.after),
        )
        title = "The new program"
        steps = [step(run.store, run.lineage, first, result, title=title, gain=gain)]
    candidates = max(0, run.lineage.count("solution") - 1)
    return replace(
        base,
        story=story.improve_story(run.facts(), gain, changed=changed, candidates=candidates),
        bars=bars,
        scale="score on instances that the improver did not see",
        tables=(
            (
                "Programs in the order of their scores, on the instances that it worked with",
                _tried(run, first),
            ),
        ),
        steps=tuple(steps),
        steps_text="" if steps else "No change scored higher than the program itself.",
        programs=run.pack(
            collect_improve(run.store, run.lineage, result),
            result,
            {first: "the task's program"} if first else {},
        ),
    )


def _tried(run: Context, first: str | None) -> Table:
    """What was scored, on the search split."""
    found = sorted(
        run.lineage.nodes("solution", limit=_ROWS), key=lambda node: -(node.score or 0.0)
    )
    rows = tuple(
        (
            words.short(node.program_id),
            words.number(node.score),
            one_line(node.status),
            "begun with" if node.program_id == first else "",
        )
        for node in found
    )
    return Table(("program", "score", "status", ""), rows, frozenset({1}))


def _gain(run: Context, first: str, result: str) -> Gain | None:
    """On instances that the improver did not see."""
    old, new = (program_cells(run.store, each, "meta") for each in (first, result))
    before, after = mean_of(old), mean_of(new)
    if before is None or after is None:
        return None
    return paired_gain(before, after, old, new)
