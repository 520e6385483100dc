"""The report of a run of rounds: the gain of the best improver, and the changes that led to it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from stop.experiments.rounds.result import BestImprover, read_best
from stop.report import story, words
from stop.report.context import Context
from stop.report.data import Bar, Gain, Measure, Report, Round, Step
from stop.report.packing import pack
from stop.report.programs import collect_run
from stop.report.steps import MAX_SHARE, step
from stop.report.text import one_line
from stop.store import RoundRecord
from stop.store.comparisons import ComparisonRecord, final_comparison

MAX_STEPS = 40
STEPS_BUDGET = 400_000
"""Characters of all steps together, before they are escaped."""


def tell(run: Context, base: Report) -> Report:
    """Fills in the result of a run of rounds."""
    rounds = tuple(_round(run, record) for record in run.rounds)
    path = _path(run)
    steps = _steps(run, path)
    found = read_best(run.store, run.rounds, run.best) if run.best else None
    return replace(
        base,
        story=story.rounds_story(
            run.named_tasks,
            next((each.score for each in rounds if each.number == 0), None),
            _gain(run, found),
            rounds=sum(record.round > 0 for record in run.rounds),
            best_round=found.round if found else 0,
            candidates=_candidates(run),
            reason=found.gain_reason if found else "",
        ),
        bars=tuple(map(_bar, rounds)),
        scale=_scale(run),
        rounds=rounds,
        steps=tuple(steps),
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


def _gain(run: Context, best: BestImprover | None) -> Gain | None:
    """The gain of the final comparison; None where there is none."""
    if best is None or best.gain is None:
        return None
    first = next(record.improver_id for record in run.rounds if record.round == 0)
    found = final_comparison(run.store, best.program_id, first)
    return None if found is None else _gain_of(found)


def _gain_of(found: ComparisonRecord) -> Gain | None:
    before = _measure(found.old_mean, found.old_low, found.old_high)
    after = _measure(found.new_mean, found.new_low, found.new_high)
    if before is None or after is None:
        return None
    return Gain(
        before,
        after,
        _measure(found.difference, found.low, found.high),
        over="repetitions",
        pairs=found.repetitions * len(found.tasks),
        tasks=len(found.tasks),
        repetitions=found.repetitions,
    )


def _scale(run: Context) -> str:
    if run.confirmations:
        return "meta-utility, of a candidate on the cells of its test, of the first on others"
    return "meta-utility on the cells that chose the candidate, where luck makes it look better"


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


def _steps(run: Context, path: list[str]) -> list[Step]:
    """The accepted changes, with what their confirmations measured."""
    rounds = {r.improver_id: r.round for r in reversed(run.rounds) if r.accepted}
    limit = min(MAX_SHARE, STEPS_BUDGET // 3 // max(1, min(MAX_STEPS, len(path))))
    steps: list[Step] = []
    for parent, child in pairwise(path[: MAX_STEPS + 1]):
        found = run.confirmations.get(rounds[child])
        gain = _gain_of(found) if found else None
        title = f"Round {rounds[child]}"
        steps.append(step(run, parent, child, title=title, gain=gain, limit=limit))
    return steps


def _steps_text(steps: list[Step], count: int) -> str:
    if not steps:
        return "No change was accepted: the first improver is the best one."
    text = "One accepted change led from the first improver to the best one."
    if count > 1:
        text = f"{count} accepted changes led from the first improver to the best one."
    return text if count <= len(steps) else f"{text} The first {len(steps)} are shown."


def _bar(made: Round) -> Bar:
    label = str(made.number)
    if made.score is None:
        return Bar(label, "failed", None, one_line(made.detail, 120))
    ends = words.interval(made.score)
    note = f"round {label}, {made.outcome}: {words.number(made.score.mean)}"
    kind = "accepted" if made.accepted else "rejected"
    return Bar(label, kind, made.score, f"{note} ({ends})" if ends else note)


def _round(run: Context, record: RoundRecord) -> Round:
    program = record.improver_id
    outcome = "accepted" if record.accepted else "rejected"
    if record.round == 0:
        outcome = "the first improver"
    elif program is None:
        outcome = "no candidate"
    elif program == record.parent_id:
        outcome = "unchanged"
    found = run.confirmations.get(record.round)
    return Round(
        record.round,
        program,
        _measure(record.meta_utility, record.low, record.high),
        _measure(found.difference, found.low, found.high) if found else None,
        outcome,
        record.accepted,
        run.best is not None and record.round == run.best.round,
        run.level(program),
        one_line(record.detail, 200),
        ""
        if found is None or found.alpha is None or found.difference is None
        else f"{words.p_value(found.p)} at level "
        f"{found.alpha:.3g}, {words.plural(found.repetitions, 'repetition')}",
    )


def _measure(mean: float | None, low: float | None, high: float | None) -> Measure | None:
    return None if mean is None else Measure(mean, low, high)
