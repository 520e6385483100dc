"""Rounds of self-improvement: I_t = I_{t-1}(û, I_{t-1}, L).

    round 0: û(I_0)          the seed improver's meta-utility
    round t: I_{t-1} is applied to itself, with û as its utility ─► candidate
             both on fresh cells: is the candidate better?
             accepted: it is the improver of the next round; else I_{t-1} goes on
    at the end: the best against I_0, on fresh cells

Each step is recorded when it ends, so that a run goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from stop._util.statistics import paired_difference
from stop.engine.broker import ENTRY_POINT
from stop.engine.improver_run import Application
from stop.engine.meta_utility import MetaEvaluation
from stop.engine.session import Session
from stop.errors import BudgetExceeded, RunError
from stop.events import Progress
from stop.experiments.no_result import QUARANTINED, raise_if_refused
from stop.experiments.rounds.comparing import compare_at_the_end, confirm
from stop.experiments.rounds.config import RoundsConfig
from stop.improvers import load_improver
from stop.programs import Program
from stop.store import RoundRecord
from stop.store.best import best_round
from stop.store.payments import Payments


async def run_rounds(session: Session, config: RoundsConfig) -> None:
    """Carry out the rounds of the configuration that are not there yet, and compare at the end.

    Raises:
        StopError: the run cannot go on; what is recorded stays, and `stop resume` goes on.
    """
    rounds, out_of_budget = Rounds(session, config), None
    async with session.working():
        try:
            async with session.holding_back(config.reserve):
                await rounds.carry_out()
        except BudgetExceeded as error:
            out_of_budget = error
        await _compare_at_the_end(session, config)
        if out_of_budget is not None:
            raise out_of_budget


async def _compare_at_the_end(session: Session, config: RoundsConfig) -> None:
    best = best_round(session.store, config)
    first = next((r for r in session.store.rounds() if r.round == 0), None)
    if config.final_repetitions == 0 or best is None or first is None:
        return
    if best.improver_id not in (first.improver_id, None):
        sources = (session.store.program(str(r.improver_id)).source for r in (best, first))
        await compare_at_the_end(session, config, *sources)


class Rounds:
    """Carries out single rounds in a session, each within its budget.

    Args:
        session: of the run.
        config: of the run.
    """

    def __init__(self, session: Session, config: RoundsConfig) -> None:
        self._session = session
        self._store = session.store
        self._config = config
        self._meta_utility = session.meta_utility()

    async def carry_out(self) -> None:
        """Carries out round 0 and the others, as far as they are not recorded."""
        accepted = [await self.round_0()]
        done = {record.round: record for record in self._store.rounds()}
        for number in range(1, self._config.rounds + 1):
            record = done.get(number) or await self.round(number, self.last_clean(accepted))
            if record.accepted and record.improver_id is not None:
                accepted.append(Program(self._store.program(record.improver_id).source))

    def last_clean(self, accepted: list[Program]) -> Program:
        """Returns the newest accepted improver that is not in quarantine.

        Raises:
            RunError: there is none.
        """
        for current in reversed(accepted):
            if not self._session.watch.refuses(current.id):
                return current
        raise RunError(
            "no improver is left that is not in quarantine",
            hint=f"`stop audit summary {self._session.folder}` says why; begin with another one: "
            "--improver FILE",
        )

    async def round_0(self) -> Program:
        """Measure the improver to begin with: one that makes nothing improves nothing.

        Raises:
            StopError: there is no score of it.
        """
        if self._recorded_0():
            return await self._begin()
        try:
            async with self._session.round(0, self._config.round_budget):
                return await self._begin()
        except BudgetExceeded as error:
            if error.level == "round 0":
                error.message = f"the improver to begin with has no score yet: {error.message}"
            raise

    def _recorded_0(self) -> bool:
        return any(record.round == 0 for record in self._store.rounds())

    async def _begin(self) -> Program:
        source = self._config.improver or load_improver("seed").source
        self._store.add_program(source, "improver")
        first = Program(source)
        self._show_start(0)
        evaluation = await self._meta_utility.evaluate(source)
        if not evaluation.works:
            raise_if_refused(evaluation.cause, evaluation.detail)
            raise RunError(
                f"the improver to begin with returned no program on any task: {evaluation.detail}",
                hint="give each improver run more: --improver-max-tokens, --improver-max-usd"
                if evaluation.cause == "lm_budget"
                else "try it alone: stop improve --task T --improver FILE",
            )
        if not self._recorded_0():
            self._save(_scored(_round(0, first.id, None, accepted=True), evaluation))
        return first

    async def round(self, number: int, current: Program) -> RoundRecord:
        """Carry out a round. One whose budget is used up has no result; the run goes on.

        Args:
            number: of the round, from 1.
            current: the improver that is applied to itself.
        """
        try:
            async with self._session.round(number, self._config.round_budget):
                return self._save(await self._round(number, current))
        except BudgetExceeded as error:
            # A round that ends by its budget ends for good. Not so where an interruption took a
            # part.
            if error.level != f"round {number}" or Payments(self._store).lost(number).lm_calls:
                raise
            record = self._without_candidate(number, current, "budget", error.message)
        run = self._store.improver_run(f"round/{number}")
        if run is not None and run.status == "running":
            self._session.runner.give_up(run.key, "budget", record.detail)
        elif run is not None:  # it had a candidate, and no score of it
            record = replace(record, improver_id=run.result_id)
        return self._save(record)

    async def _round(self, number: int, current: Program) -> RoundRecord:
        self._show_start(number)
        what = Application(
            key=f"round/{number}",
            level="meta",
            improver=current.source,
            initial=current.source,
            result_entry_point=ENTRY_POINT,
            budget=self._config.meta_budget,
            round=number,
        )
        run = await self._session.runner.run(what, self._meta_utility)
        refuses = self._session.watch.refuses
        if run.result_id is None:
            return self._without_candidate(number, current, run.status, run.detail)
        if refuses(run.result_id):
            return self._without_candidate(number, current, "quarantined", QUARANTINED)
        record = self._selected(number, run.result_id, current)
        if run.result_id == current.id:
            known = [r for r in self._store.rounds() if r.improver_id == current.id][-1]
            return replace(
                record,
                meta_utility=known.meta_utility,
                low=known.low,
                high=known.high,
                accepted=self._config.accept == "always",
                detail="it returned itself: nothing better was found",
            )
        record = await self._decided(record, Program(self._store.program(run.result_id).source),
                                     current)  # fmt: skip
        if refuses(run.result_id):  # since it was tried out
            record = replace(record, accepted=False, confirmed=False, detail=QUARANTINED)
        return record

    async def _decided(
        self, record: RoundRecord, candidate: Program, current: Program
    ) -> RoundRecord:
        """Whether the candidate is accepted, by the rule of the run."""
        rule = self._config.accept
        if rule == "confirmed":
            session, config = self._session, self._config
            found, evaluation = await confirm(
                session, config, record.round, candidate.source, current.source
            )
            accepted = found.decision == "confirmed" and evaluation.works
            return replace(_scored(record, evaluation), accepted=accepted, confirmed=accepted)
        evaluation = await self._meta_utility.evaluate(candidate.source)
        before = await self._meta_utility.evaluate(current.source)
        change = paired_difference(evaluation.cells, before.cells)
        return replace(
            _scored(record, evaluation),
            selection=evaluation.estimate.mean,
            selection_difference=change.mean,
            selection_difference_low=change.low,
            selection_difference_high=change.high,
            accepted=evaluation.works and (rule == "always" or change.mean > 0),
        )

    def _selected(self, number: int, candidate: str, current: Program) -> RoundRecord:
        """The record of a round with a candidate, and how it was selected."""
        calls = self._store.utility_calls(f"round/{number}")
        scores = [score for program, score, _ in calls if program == candidate]
        return replace(
            _round(number, candidate, current),
            selection=scores[0] if scores else None,
            candidates=_count(calls, current),
        )

    def _without_candidate(
        self, number: int, current: Program, status: str, detail: str
    ) -> RoundRecord:
        """The improver crashed or returned no program: the last good one goes on."""
        calls = self._store.utility_calls(f"round/{number}")
        record = _round(number, None, current, status=status, detail=detail)
        return replace(record, candidates=_count(calls, current))

    def _save(self, record: RoundRecord) -> RoundRecord:
        self._store.save_round(record)
        self._session.progress(Progress("round_finished", data=_shown(record)))
        return record

    def _show_start(self, number: int) -> None:
        data = {"round": number, "rounds": self._config.rounds}
        self._session.progress(Progress("round_started", data=data))


def _shown(record: RoundRecord) -> dict[str, Any]:
    """What people who watch see of a round."""
    return asdict(record) | {"interval": record.interval}


def _count(calls: Sequence[tuple[str | None, float, str]], current: Program) -> int:
    return len({program for program, _, _ in calls if program not in (None, current.id)})


def _round(
    number: int,
    improver_id: str | None,
    parent: Program | None,
    *,
    accepted: bool = False,
    status: str = "ok",
    detail: str = "",
) -> RoundRecord:
    return RoundRecord(
        round=number,
        improver_id=improver_id,
        parent_id=parent.id if parent else None,
        meta_utility=None,
        low=None,
        high=None,
        accepted=accepted,
        status=status,
        detail=detail,
        finished=time.time(),
    )


def _scored(record: RoundRecord, evaluation: MetaEvaluation) -> RoundRecord:
    estimate = evaluation.estimate
    return replace(
        record,
        meta_utility=estimate.mean,
        low=estimate.low,
        high=estimate.high,
        status="ok" if evaluation.works else "error",
        detail=evaluation.detail,
        finished=time.time(),
    )
