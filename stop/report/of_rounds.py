"""The report of a run of rounds: how the improver fared, and which change gave the gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from stop.report import story, words
from stop.report.context import Context
from stop.report.data import Bar, Gain, Measure, Report, Round, Step
from stop.report.packing import pack
from stop.report.programs import collect_run
from stop.report.scores import beyond, improver_cells, paired_gain
from stop.report.steps import MAX_SHARE, step
from stop.report.text import one_line
from stop.store import RoundRecord

MAX_STEPS = 40
STEPS_BUDGET = 400_000
"""Characters of all steps together, before they are escaped."""


def tell(run: Context, base: Report) -> Report:
    """Fills in the result of a run of rounds."""
    rounds = tuple(_round(run, record) for record in run.rounds)
    path = _path(run)
    gain = _gain(run, rounds)
    candidates = _candidates(run)
    real = gain is not None and story.judge(gain, candidates) == "better"
    steps = _steps(run, path, rounds, real=real)
    return replace(
        base,
        story=story.rounds_story(
            run.named_tasks,
            gain,
            rounds=sum(record.round > 0 for record in run.rounds),
            best_round=run.best.round if run.best else 0,
            candidates=candidates,
        ),
        bars=tuple(map(_bar, rounds)),
        scale="meta-utility",
        rounds=rounds,
        steps=tuple(steps),
        notes=_notes(run, rounds),
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
    parents = {r.improver_id: r.parent_id for r in reversed(run.rounds) if r.accepted}
    path: list[str] = []
    at = run.best.improver_id if run.best else None
    while at is not None and at not in path:
        path.append(at)
        at = parents.get(at)
    return path[::-1]


def _gain(run: Context, rounds: Sequence[Round]) -> Gain | None:
    first = next((each for each in rounds if each.number == 0), None)
    best = next((each for each in rounds if each.best), None)
    if first is None or best is None or first.score is None or best.score is None:
        return None
    old, new = (
        improver_cells(run.store, each.program_id or "", run.tasks) for each in (first, best)
    )
    return paired_gain(first.score, best.score, old, new)


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


def _steps(run: Context, path: list[str], rounds: Sequence[Round], *, real: bool) -> list[Step]:
    """The accepted changes, with their shares of the gain where it is `real`."""
    made = {each.program_id: each for each in reversed(rounds) if each.accepted}
    limit = min(MAX_SHARE, STEPS_BUDGET // 3 // max(1, min(MAX_STEPS, len(path))))
    steps: list[Step] = []
    for parent, child in pairwise(path[: MAX_STEPS + 1]):
        before = made[parent].score if parent in made else None
        after, title = made[child].score, f"Round {made[child].number}"
        if before is not None and after is not None:
            gain = Gain(before, after, made[child].difference)
            steps.append(step(run, parent, child, title=title, gain=gain, limit=limit))
    scores = [made[each].score if each in made else None for each in path]
    first, last = (scores[0], scores[-1]) if scores else (None, None)
    whole = last.mean - first.mean if first and last else 0.0
    if not real or whole <= 0:
        return steps
    return [replace(each, share=_raw(each) / whole) for each in steps]


def _raw(step: Step) -> float:
    return step.gain.after.mean - step.gain.before.mean


def _steps_text(steps: list[Step], count: int) -> str:
    if not steps:
        return "No change was accepted: the first improver is the best one."
    if count == 1:
        text = "One accepted change led from the first improver to the best one."
    else:
        most = max(steps, key=_raw)
        share = (
            ". As the whole is not distinguishable from noise, no shares are shown"
            if most.share is None
            else f", {most.share:.0%} of the whole"
        )
        text = (
            f"{count} accepted changes led from the first improver to the best one. That of "
            f"{most.title.lower()} measured the largest gain: {words.signed(_raw(most))}{share}."
        )
    return text if count <= len(steps) else f"{text} The first {len(steps)} are shown."


def _bar(made: Round) -> Bar:
    label = str(made.number)
    if made.score is None:
        return Bar(label, "failed", None, one_line(made.detail, 120))
    ends = words.interval(made.score)
    note = f"round {label}, {made.outcome}: {words.number(made.score.mean)}"
    kind = "accepted" if made.accepted else "rejected"
    return Bar(label, kind, made.score, f"{note} ({ends})" if ends else note)


def _notes(run: Context, rounds: Sequence[Round]) -> tuple[str, ...]:
    measures = [each.score for each in rounds if each.score is not None]
    few = run.config.repetitions < story.FEW and run.best is not None and not run.best.round
    warning = (story.FEW_WORDS.strip(),) if few else ()
    return (*beyond(measures, [task.score_range for task in run.tasks]), *warning)


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
        _measure(record.meta_utility, record.low, record.high),
        _measure(record.difference, record.difference_low, record.difference_high),
        outcome,
        record.accepted,
        run.best is not None and record.round == run.best.round,
        run.level(program),
        one_line(record.detail, 200),
    )


def _measure(mean: float | None, low: float | None, high: float | None) -> Measure | None:
    return None if mean is None else Measure(mean, low, high)
