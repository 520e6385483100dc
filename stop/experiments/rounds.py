"""Rounds of self-improvement: I_t = I_{t-1}(û, I_{t-1}, L).

    round 0: û(I_0)          the seed improver's meta-utility, to compare with
    round t: I_{t-1} is applied to itself, with û as its utility ─► candidate ─► û(candidate)
             accepted: it is the improver of the next round; else I_{t-1} goes on

Each step is recorded when it ends, so that a run goes on where it was.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from stop._util.statistics import Estimate, paired_difference
from stop.budget import Spending
from stop.engine.broker import ENTRY_POINT
from stop.engine.improver_run import Application
from stop.engine.meta_utility import MetaEvaluation, MetaUtility, TaskUtility
from stop.engine.session import Session
from stop.errors import BudgetExceeded, LMRequestRefused, RunError
from stop.events import Progress
from stop.improvers import load_improver
from stop.runs.folder import run_status
from stop.store import RoundRecord
from stop.store.best import best_of, in_quarantine
from stop.store.payments import Payments
from stop.tasks.evaluation import Evaluation

_QUARANTINED = "what it returned tried to get around the sandbox"


@dataclass(frozen=True, slots=True)
class Current:
    """The improver that goes on, with its meta-utility."""

    program_id: str
    source: str
    evaluation: MetaEvaluation


async def run_rounds(session: Session) -> None:
    """Carry out the rounds of the run's configuration that are not there yet.

    Raises:
        StopError: the run cannot go on; what is recorded stays, and `stop resume` goes on.
    """
    config, store = session.config, session.store
    meta_utility = _meta_utility(session)
    async with session.working():
        accepted = [await _round_0(session, meta_utility)]
        done = {record.round: record for record in store.rounds()}
        for number in range(1, config.rounds + 1):
            record = done.get(number)
            if record is None:
                current = _last_clean(session, accepted)
                record = await _round_within_budget(session, meta_utility, number, current)
            if record.accepted and record.improver_id is not None:
                source = store.program(record.improver_id).source
                evaluation = await meta_utility.evaluate(source)
                accepted.append(Current(record.improver_id, source, evaluation))


def _last_clean(session: Session, accepted: list[Current]) -> Current:
    """The newest accepted improver that is not in quarantine."""
    for current in reversed(accepted):
        if not session.watch.refuses(current.program_id):
            return current
    raise RunError(
        "no improver is left that is not in quarantine",
        hint="`stop audit summary RUN` says why; begin with another one: --improver FILE",
    )


def _meta_utility(session: Session) -> MetaUtility:
    return MetaUtility(
        session.tasks,
        session.config.repetitions,
        evaluator=session.evaluator,
        runner=session.runner,
        store=session.store,
        model=session.model,
        budget=session.config.task_budget,
    )


async def _round_0(session: Session, meta_utility: MetaUtility) -> Current:
    """Without a score of the improver to begin with there is nothing to compare with."""
    if any(record.round == 0 for record in session.store.rounds()):
        return await _begin(session, meta_utility)
    try:
        async with session.round(0):
            return await _begin(session, meta_utility)
    except BudgetExceeded as error:
        if error.level == "round 0":
            error.message = f"the improver to begin with has no score yet: {error.message}"
        raise


async def _begin(session: Session, meta_utility: MetaUtility) -> Current:
    """Round 0: the seed improver's meta-utility."""
    source = session.config.improver or load_improver("seed").source
    identity = session.store.add_program(source, "improver")
    session.progress(Progress("round_started", data={"round": 0, "rounds": session.config.rounds}))
    evaluation = await meta_utility.evaluate(source)
    if not evaluation.works:
        _raise_if_refused(evaluation.detail)
        raise RunError(
            f"the improver to begin with returned no program on any task: {evaluation.detail}",
            hint="give each improver run more: --improver-max-tokens, --improver-max-usd"
            if "BudgetExceeded" in evaluation.detail
            else "try it alone: stop improve --task T --improver FILE",
        )
    if not any(record.round == 0 for record in session.store.rounds()):
        record = _record(0, identity, None, evaluation, None, accepted=True)
        session.store.save_round(record)
        session.progress(Progress("round_finished", data=record.to_dict()))
    return Current(identity, source, evaluation)


async def _round_within_budget(
    session: Session, meta_utility: MetaUtility, number: int, current: Current
) -> RoundRecord:
    """A round whose budget is used up has no result; the run goes on with the next one."""
    try:
        async with session.round(number):
            return await _round(session, meta_utility, number, current)
    except BudgetExceeded as error:
        # A round that ends by its budget ends for good. Not so where an interruption took a part.
        if error.level != f"round {number}" or Payments(session.store).lost(number).lm_calls:
            raise
        record = _failed_round(number, current, "budget", error.message)
    run = session.store.improver_run(f"round/{number}")
    if run is not None and run.status == "running":
        session.runner.give_up(run.key, "budget", record.detail)
    elif run is not None:  # it had a candidate, and no score of it
        record = replace(record, improver_id=run.result_id)
    session.store.save_round(record)
    session.progress(Progress("round_finished", data=record.to_dict()))
    return record


async def _round(
    session: Session, meta_utility: MetaUtility, number: int, current: Current
) -> RoundRecord:
    session.progress(
        Progress("round_started", data={"round": number, "rounds": session.config.rounds})
    )
    what = Application(
        key=f"round/{number}",
        level="meta",
        improver=current.source,
        initial=current.source,
        result_entry_point=ENTRY_POINT,
        round=number,
    )
    run = await session.runner.run(
        what, meta_utility, session.meta_model, session.config.meta_budget
    )
    if run.result_id is None:
        record = _failed_round(number, current, run.status, run.detail)
    elif session.watch.refuses(run.result_id):
        record = _failed_round(number, current, "quarantined", _QUARANTINED)
    elif run.result_id == current.program_id:
        record = _record(
            number,
            run.result_id,
            current,
            current.evaluation,
            None,
            accepted=session.config.accept == "always",
            detail="it returned itself: nothing better was found",
        )
    else:
        source = session.store.program(run.result_id).source
        evaluation = await meta_utility.evaluate(source)
        difference = paired_difference(evaluation.cells, current.evaluation.cells)
        accepted = _accepts(session.config.accept, evaluation, difference)
        detail = ""
        if session.watch.refuses(run.result_id):  # since it was tried out
            accepted, detail = False, _QUARANTINED
        record = _record(
            number, run.result_id, current, evaluation, difference, accepted=accepted, detail=detail
        )
    session.store.save_round(record)
    session.progress(Progress("round_finished", data=record.to_dict()))
    return record


def _accepts(accept: str, evaluation: MetaEvaluation, difference: Estimate) -> bool:
    return evaluation.works and (accept == "always" or difference.mean > 0)


def _record(
    number: int,
    improver_id: str,
    parent: Current | None,
    evaluation: MetaEvaluation,
    difference: Estimate | None,
    *,
    accepted: bool,
    detail: str = "",
) -> RoundRecord:
    estimate = evaluation.estimate
    return RoundRecord(
        round=number,
        improver_id=improver_id,
        parent_id=parent.program_id if parent else None,
        meta_utility=estimate.mean,
        low=estimate.low,
        high=estimate.high,
        difference=difference.mean if difference else None,
        difference_low=difference.low if difference else None,
        difference_high=difference.high if difference else None,
        accepted=accepted,
        status="ok" if evaluation.works else "error",
        detail=detail or evaluation.detail,
        finished=time.time(),
    )


def _failed_round(number: int, parent: Current, status: str, detail: str) -> RoundRecord:
    """The improver crashed or returned no program: the last good one goes on."""
    return RoundRecord(
        number, None, parent.program_id, None, None, None, None, None, None, False, status, detail,
        time.time(),
    )  # fmt: skip


# --- one task


@dataclass(frozen=True, slots=True)
class Improvement:
    """What `improve` came to: the program, scored on the `meta` split beside the initial one."""

    program_id: str
    source: str
    before: Evaluation
    after: Evaluation
    status: str
    detail: str
    utility_calls: int
    spent: Spending


async def improve_once(session: Session) -> Improvement:
    """Apply the configured improver once to the configured program.

    The result is the improver's program, or the initial one when it returned none (then `status`
    says why). Scores are on instances that the improver did not see.
    """
    config, (task,) = session.config, session.tasks
    initial = task.seed if config.program is None else config.program
    async with session.working():
        what = Application(
            key=f"improve/{task.name}",
            level="task",
            improver=config.improver or load_improver("seed").source,
            initial=initial,
            result_entry_point=task.entry_point,
            task=task.name,
            repetition=0,
        )
        before = await session.evaluator.evaluate(initial, task, "meta")
        utility = TaskUtility(session.evaluator, task, 0)
        run = await session.runner.run(what, utility, session.model, config.task_budget)
        source = session.store.program(run.result_id).source if run.result_id else initial
        if run.result_id is not None and session.watch.refuses(run.result_id):
            source, run = initial, replace(run, status="quarantined", detail=_QUARANTINED)
        _raise_if_refused(run.detail)
        after = await session.evaluator.evaluate(source, task, "meta")
    failed = run.status != "ok"
    return Improvement(
        program_id=after.program_id,
        source=source,
        before=before,
        after=after,
        status=run.status if failed else after.status,
        detail=run.detail if failed else after.detail,
        utility_calls=run.utility_calls,
        spent=session.store.spending(),
    )


def _raise_if_refused(detail: str) -> None:
    """A refusal by the model server is the user's to mend, not a weakness of the improver."""
    if "LanguageModelError" in detail:
        raise LMRequestRefused(
            detail,
            hint="a model with more room, a shorter program or utility text, or a smaller "
            "--max-response-tokens",
        )


# --- what a run came to, read from its store


def summary(
    store: Any, config: Any, folder: Any, security_events: list[dict[str, Any]]
) -> dict[str, Any]:
    """The result of a run as the machine-readable output has it."""
    records = store.rounds()
    best = best_of(records, in_quarantine(config, security_events))
    seed = next((r for r in records if r.round == 0), None)
    return {
        "run": str(folder),
        "status": run_status(folder, store),
        "tasks": list(config.tasks),
        "repetitions": config.repetitions,
        "seed": seed and seed.to_dict(),
        "rounds": [r.to_dict() for r in records if r.round > 0],
        "best": best
        and {
            "program_id": best.improver_id,
            "meta_utility": best.meta_utility,
            "interval": None if best.low is None else [best.low, best.high],
            "round": best.round,
        },
        "lm": store.spending().to_dict(),
        "security_events": sum(event["level"] > 0 for event in security_events),
        "security_programs": _programs_by_level(security_events),
    }


def _programs_by_level(events: list[dict[str, Any]]) -> dict[str, int]:
    """How many programs have events, each at its gravest level."""
    gravest: dict[str, int] = {}
    for event in events:
        gravest[event["program_id"]] = max(event["level"], gravest.get(event["program_id"], 0))
    levels = list(gravest.values())
    return {str(level): levels.count(level) for level in (1, 2, 3)}
