"""Compares improvers on fresh cells: the candidate of a round, and the best at the end.

    candidate ─┐                                        ┌─ confirmed
               ├─ a batch of fresh cells ─► the test ───┼─ not confirmed
    current ───┘            ▲                 │         └─ go on
                            └─────────────────┘

Neither improver, nor any that led to it, has met these cells; each block of them is used once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import takewhile

from stop._util.concurrency import gather_or_cancel
from stop._util.sequential import looks, verdict
from stop._util.statistics import Cell, Estimate, paired_difference, stratified_mean
from stop.budget.stopwatch import TimeUp, timed
from stop.engine import cells
from stop.engine.meta_utility import MetaEvaluation
from stop.engine.session import Session
from stop.errors import BudgetExceeded
from stop.events import Progress
from stop.experiments.rounds.config import RoundsConfig
from stop.programs import program_id
from stop.store.comparisons import (
    ComparisonRecord,
    ComparisonStage,
    comparisons,
    final_comparison,
    save_comparison,
)
from stop.tasks.task import Task

LEAST_REPETITIONS = 3
"""Of a final comparison: fewer say nothing about a gain."""
_TO_RECORD = 2.0
"""Seconds that are kept to record a final comparison which a limit of time ends."""


async def confirm(
    session: Session, config: RoundsConfig, round_: int, candidate: str, current: str
) -> tuple[ComparisonRecord, MetaEvaluation]:
    """Test whether the candidate of a round is better than the current improver.

    Args:
        session, config: of the run.
        round_: number of the round.
        candidate, current: source texts of the improvers.

    Returns:
        The comparison, recorded, and the candidate's evaluation on its cells.

    Raises:
        BudgetExceeded: it is not decided; the cells that are there stay.
    """
    alpha, sources = level(session, config, round_), (candidate, current)
    # Its level counts as spent, however the round ends.
    begun = _record("confirmation", round_, sources, session.tasks, ((), ()), change=None, p=1.0,
                    decision="not decided", alpha=alpha)  # fmt: skip
    save_comparison(session.store, begun)
    first, steps = cells.confirmation(round_), looks(config.confirm_repetitions)
    meta_utility, batches, before = session.meta_utility(), list[list[float]](), 0
    for number in steps:
        data = {"done": before, "total": steps[-1]}
        session.progress(Progress("counted", f"confirming the candidate of round {round_}", data))
        places = range(first, first + number)
        new, old = await gather_or_cancel(
            meta_utility.on_cells(source, places) for source in (candidate, current)
        )
        batches.append(
            [
                a.score - b.score
                for a, b in zip(new.cells, old.cells, strict=True)
                if a.repetition >= first + before
            ]
        )
        before = number
        found = verdict(batches, alpha, len(steps))
        if found.decision != "go on":
            break
    change: Estimate | None = paired_difference(new.cells, old.cells, looks=len(steps))
    pairs, decision, detail = (new.cells, old.cells), str(found.decision), ""
    if detail := _in_quarantine(session, sources):  # its cells count 0 from then on
        change, decision = None, "not confirmed"
    record = _record("confirmation", round_, sources, session.tasks, pairs, change=change,
                     p=found.p, decision=decision, alpha=alpha, detail=detail)  # fmt: skip
    save_comparison(session.store, record)
    return record, new


def level(session: Session, config: RoundsConfig, round_: int) -> float:
    """Returns the level of a round's test: what is left of alpha, shared by the rounds to come.

    Rounds that brought no candidate to test leave theirs to the ones after them.
    """
    spent = sum(
        record.alpha or 0.0
        for number, record in comparisons(session.store, "confirmation").items()
        if number < round_
    )
    return (config.alpha - spent) / (config.rounds - round_ + 1)


async def compare_at_the_end(session: Session, config: RoundsConfig, best: str, first: str) -> None:
    """Compare the best improver with the first one, on the run's tasks and on those held out.

    With a limit that is used up, it makes do with the repetitions that are complete.

    Args:
        session, config: of the run.
        best, first: source texts of the improvers.
    """
    ids = program_id(best), program_id(first)
    known = final_comparison(session.store, *ids)
    number = known.number if known else len(comparisons(session.store, "final"))
    stages: tuple[tuple[ComparisonStage, Sequence[Task]], ...]
    stages = ("final", session.tasks), ("holdout", session.holdout)
    for stage, tasks in stages:
        known = final_comparison(session.store, *ids, stage)
        if not tasks or (known and known.difference is not None):
            continue
        session.progress(Progress("message", "comparing the best improver with the first"))
        pairs, detail = await _repetitions(session, config, tasks, (best, first), number)
        change = paired_difference(*pairs) if pairs[0] else None
        if barred := _in_quarantine(session, (best, first)):
            change, detail = None, barred
        elif len(pairs[0]) < LEAST_REPETITIONS * len(tasks):
            change = None
            detail = detail or f"{config.final_repetitions} repetition(s) are too few to tell"
        record = _record(stage, number, (best, first), tasks, pairs, change=change, detail=detail)
        save_comparison(session.store, record)


async def _repetitions(
    session: Session,
    config: RoundsConfig,
    tasks: Sequence[Task],
    sources: tuple[str, str],
    number: int,
) -> tuple[tuple[Sequence[Cell], Sequence[Cell]], str]:
    """The complete repetitions of both improvers, in order, and why there are not more."""
    meta_utility, begin = session.meta_utility(*tasks), cells.final(number)
    places = range(begin, begin + config.final_repetitions)
    left = iter(places)
    done: dict[int, list[MetaEvaluation]] = {}
    reasons: list[str] = []

    async def work() -> None:
        """One repetition after the other, of both improvers: a limit leaves whole ones."""
        while not reasons and (repetition := next(left, None)) is not None:
            try:
                done[repetition] = await gather_or_cancel(
                    meta_utility.on_cells(source, [repetition]) for source in sources
                )
            except BudgetExceeded as error:
                reasons.append(error.message)

    limit = config.budget.seconds
    if limit is not None:  # before that of the whole run ends everything
        limit -= min(_TO_RECORD, (config.reserve.seconds or 0.0) / 2)
    try:
        async with timed(session.tape.ledger.run.watch, limit):
            await gather_or_cancel(work() for _ in range(config.concurrency))
    except TimeUp:
        reasons.append(f"the {config.budget.seconds:g} seconds of the run are used up")
    whole = [done[repetition] for repetition in takewhile(done.__contains__, places)]
    pairs = [[cell for pair in whole for cell in pair[side].cells] for side in (0, 1)]
    detail = reasons[0] if reasons else ""
    if detail:
        detail = f"{len(whole)} of {len(places)} repetitions: {detail}"
    return (pairs[0], pairs[1]), detail


def _in_quarantine(session: Session, sources: Sequence[str]) -> str:
    """Why improvers cannot be compared: one is not executed any more; "" where they can."""
    barred = [i for i in map(program_id, sources) if session.watch.refuses(i)]
    return f"the improver {barred[0][:10]} is in quarantine" if barred else ""


def _record(
    stage: ComparisonStage,
    number: int,
    sources: tuple[str, str],
    tasks: Sequence[Task],
    pairs: tuple[Sequence[Cell], Sequence[Cell]],
    *,
    change: Estimate | None,
    p: float | None = None,
    decision: str = "",
    alpha: float | None = None,
    detail: str = "",
) -> ComparisonRecord:
    unknown = Estimate(0.0, None, None, "")
    new, old = (stratified_mean(side) if side else unknown for side in pairs)
    return ComparisonRecord(
        stage=stage,
        number=number,
        new_id=program_id(sources[0]),
        old_id=program_id(sources[1]),
        tasks=tuple(task.name for task in tasks),
        repetitions=len(pairs[0]) // len(tasks),
        difference=change.mean if change else None,
        low=change.low if change else None,
        high=change.high if change else None,
        p=p,
        alpha=alpha,
        decision=decision,
        new_mean=new.mean if pairs[0] else None,
        new_low=new.low,
        new_high=new.high,
        old_mean=old.mean if pairs[1] else None,
        old_low=old.low,
        old_high=old.high,
        detail=detail,
        finished=time.time(),
    )
