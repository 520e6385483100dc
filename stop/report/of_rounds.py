"""The report of a run of rounds: how the improver fared, and which change gave the gain."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from stop.report import story, words
from stop.report.context import Context
from stop.report.data import Bar, Gain, Measure, Report, Round, Step
from stop.report.packing import pack
from stop.report.programs import collect_run
from stop.report.scores import beyond, improver_cells, lowest_scores, paired_gain, possible_scores
from stop.report.steps import MAX_SHARE, step
from stop.report.text import one_line
from stop.store import RoundRecord

MAX_STEPS = 40
STEPS_BUDGET = 400_000
"""Characters of all steps together, before they are escaped."""


def tell(run: Context, base: Report) -> Report:
    """Fills in the result of a run of rounds."""
    path = _path(run)
    gain = _gain(run)
    candidates = _candidates(run)
    real = gain is not None and story.judge(gain, candidates) == "better"
    steps = _steps(run, path, real)
    return replace(
        base,
        story=story.rounds_story(
            run.facts,
            gain,
            rounds=sum(record.round > 0 for record in run.rounds),
            best_round=run.best.round if run.best else 0,
            candidates=candidates,
        ),
        bars=tuple(map(_bar, run.rounds)),
        scale="meta-utility",
        rounds=tuple(_round(run, record) for record in run.rounds),
        steps=tuple(steps),
        notes=_notes(run),
        steps_text=_steps_text(steps, len(path) - 1),
        programs=pack(
            run,
            collect_run(run, path, run.rounds),
            run.best.improver_id if run.best else None,
            {path[0]: "the first improver"} if path else {},
        ),
    )


def _path(run: Context) -> list[str]:
    """From the first improver to the best: ids of what was accepted on the way."""
    if run.best is None:
        return []
    parents = {r.improver_id: r.parent_id for r in reversed(run.rounds) if r.accepted}
    path: list[str] = []
    at = run.best.improver_id
    while at is not None and at not in path:
        path.append(at)
        at = parents.get(at)
    return path[::-1]


def _gain(run: Context) -> Gain | None:
    first = next((r for r in run.rounds if r.round == 0), None)
    before, after = _measure(first), _measure(run.best)
    if first is None or run.best is None or before is None or after is None:
        return None
    lowest = lowest_scores(run.folder, run.config)
    old, new = (
        improver_cells(run.store, record.improver_id or "", lowest) for record in (first, run.best)
    )
    return paired_gain(before, after, old, new)


def _candidates(run: Context) -> int:
    """Counts the improvers besides the first that have a meta-utility: the best is one of them."""
    first = run.rounds[0].improver_id if run.rounds else None
    row = run.store.query(
        "SELECT COUNT(DISTINCT u.program_id) FROM improver_runs r "
        "JOIN utility_calls u ON u.improver_run = r.key "
        "WHERE r.level = 'meta' AND u.program_id IS NOT ?",
        (first,),
    ).fetchone()
    return int(row[0])


def _steps(run: Context, path: list[str], real: bool) -> list[Step]:
    """The accepted changes, with their shares of the gain where it is `real`."""
    records = {r.improver_id: r for r in reversed(run.rounds) if r.accepted}
    ends = [_measure(records.get(each)) for each in (path[0], path[-1])] if path else [None, None]
    whole = ends[1].mean - ends[0].mean if ends[0] and ends[1] else 0.0
    steps: list[Step] = []
    for parent, child in pairwise(path[: MAX_STEPS + 1]):
        record = records[child]
        before, after = _measure(records.get(parent)), _measure(record)
        if before is None or after is None:
            continue
        gain = Gain(before, after, _difference(record))
        made = step(
            run.store,
            run.lineage,
            parent,
            child,
            title=f"Round {record.round}",
            gain=gain,
            share=min(MAX_SHARE, STEPS_BUDGET // 3 // min(MAX_STEPS, len(path))),
        )
        share = (after.mean - before.mean) / whole if real and whole > 0 else None
        steps.append(replace(made, share=share))
    return steps


def _steps_text(steps: list[Step], count: int) -> str:
    if not steps:
        return "No change was accepted: the first improver is the best one."
    if count == 1:
        text = "One accepted change led from the first improver to the best one."
    else:
        most = max(steps, key=lambda each: each.gain.after.mean - each.gain.before.mean)
        gain = words.signed(most.gain.after.mean - most.gain.before.mean)
        share = (
            ". As the whole is not distinguishable from noise, no shares are shown"
            if most.share is None
            else f", {most.share:.0%} of the whole"
        )
        text = (
            f"{count} accepted changes led from the first improver to the best one. That of "
            f"{most.title.lower()} measured the largest gain: {gain}{share}."
        )
    return text if count <= len(steps) else f"{text} The first {len(steps)} are shown."


def _bar(record: RoundRecord) -> Bar:
    kind = "accepted" if record.accepted else "rejected"
    what = "unchanged" if record.improver_id == record.parent_id else kind
    made = _measure(record)
    if made is None:
        return Bar(str(record.round), "failed", None, one_line(record.detail, 120))
    note = f"round {record.round}, {what}: {words.number(made.mean)}"
    ends = words.interval(made)
    return Bar(str(record.round), kind, made, f"{note} ({ends})" if ends else note)


def _notes(run: Context) -> tuple[str, ...]:
    limits = possible_scores(run.folder, run.config)
    measures = [made for record in run.rounds if (made := _measure(record)) is not None]
    few = run.config.repetitions < story.FEW and run.best is not None and not run.best.round
    return (*beyond(measures, limits), *([story.FEW_WORDS.strip()] if few else []))


def _round(run: Context, record: RoundRecord) -> Round:
    program = record.improver_id
    outcome = "accepted" if record.accepted else "rejected"
    if record.round == 0:
        outcome = "the first improver"
    elif program is None:
        outcome = "no candidate"
    elif program == record.parent_id:
        outcome = "unchanged"
    return Round(
        record.round,
        program,
        _measure(record),
        _difference(record),
        outcome,
        run.best is not None and record.round == run.best.round,
        run.level(program),
        one_line(record.detail, 200),
    )


def _measure(record: RoundRecord | None) -> Measure | None:
    if record is None or record.meta_utility is None:
        return None
    return Measure(record.meta_utility, record.low, record.high)


def _difference(record: RoundRecord) -> Measure | None:
    if record.difference is None:
        return None
    return Measure(record.difference, record.difference_low, record.difference_high)
