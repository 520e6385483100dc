"""Rounds of self-improvement: I_t = I_{t-1}(û, I_{t-1}, L).

    round 0: û(I_0)          the seed improver's meta-utility, to compare with
    round t: I_{t-1} is applied to itself, with û as its utility ─► candidate ─► û(candidate)
             accepted: it is the improver of the next round; else I_{t-1} goes on

Each step is recorded when it ends, so that a run goes on where it was.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from stop._util.statistics import Estimate, paired_difference
from stop.engine.broker import ENTRY_POINT
from stop.engine.improver_run import Application
from stop.engine.meta_utility import MetaEvaluation
from stop.engine.session import Session
from stop.errors import BudgetExceeded, RunError
from stop.events import Progress
from stop.experiments.no_result import QUARANTINED, raise_if_refused
from stop.experiments.rounds.acceptance import accepts
from stop.experiments.rounds.config import RoundsConfig
from stop.improvers import load_improver
from stop.store import RoundRecord
from stop.store.payments import Payments


@dataclass(frozen=True, slots=True)
class Current:
    """The improver that goes on, with its meta-utility."""

    program_id: str
    source: str
    evaluation: MetaEvaluation


async def run_rounds(session: Session, config: RoundsConfig) -> None:
    """Carry out the rounds of the configuration that are not there yet.

    Raises:
        StopError: the run cannot go on; what is recorded stays, and `stop resume` goes on.
    """
    rounds, store = Rounds(session, config), session.store
    async with session.working():
        accepted = [await rounds.round_0()]
        done = {record.round: record for record in store.rounds()}
        for number in range(1, config.rounds + 1):
            record = done.get(number)
            if record is None:
                record = await rounds.round(number, rounds.last_clean(accepted))
            if record.accepted and record.improver_id is not None:
                source = store.program(record.improver_id).source
                evaluation = await rounds.meta_utility.evaluate(source)
                accepted.append(Current(record.improver_id, source, evaluation))


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
        self.meta_utility = session.meta_utility()

    def last_clean(self, accepted: list[Current]) -> Current:
        """Returns the newest accepted improver that is not in quarantine.

        Raises:
            RunError: there is none.
        """
        for current in reversed(accepted):
            if not self._session.watch.refuses(current.program_id):
                return current
        raise RunError(
            "no improver is left that is not in quarantine",
            hint=f"`stop audit summary {self._session.folder}` says why; begin with another one: "
            "--improver FILE",
        )

    async def round_0(self) -> Current:
        """Measure the improver to begin with: without its score there is nothing to compare with.

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

    async def _begin(self) -> Current:
        source = self._config.improver or load_improver("seed").source
        identity = self._store.add_program(source, "improver")
        self._show_start(0)
        evaluation = await self.meta_utility.evaluate(source)
        if not evaluation.works:
            raise_if_refused(evaluation.cause, evaluation.detail)
            raise RunError(
                f"the improver to begin with returned no program on any task: {evaluation.detail}",
                hint="give each improver run more: --improver-max-tokens, --improver-max-usd"
                if evaluation.cause == "lm_budget"
                else "try it alone: stop improve --task T --improver FILE",
            )
        if not self._recorded_0():
            self._save(_record(0, identity, None, evaluation, None, accepted=True))
        return Current(identity, source, evaluation)

    async def round(self, number: int, current: Current) -> RoundRecord:
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
            record = _failed_round(number, current, "budget", error.message)
        run = self._store.improver_run(f"round/{number}")
        if run is not None and run.status == "running":
            self._session.runner.give_up(run.key, "budget", record.detail)
        elif run is not None:  # it had a candidate, and no score of it
            record = replace(record, improver_id=run.result_id)
        return self._save(record)

    async def _round(self, number: int, current: Current) -> RoundRecord:
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
        run = await self._session.runner.run(what, self.meta_utility)
        refuses = self._session.watch.refuses
        if run.result_id is None:
            return _failed_round(number, current, run.status, run.detail)
        if refuses(run.result_id):
            return _failed_round(number, current, "quarantined", QUARANTINED)
        if run.result_id == current.program_id:
            return _record(
                number,
                run.result_id,
                current,
                current.evaluation,
                None,
                accepted=self._config.accept == "always",
                detail="it returned itself: nothing better was found",
            )
        evaluation = await self.meta_utility.evaluate(self._store.program(run.result_id).source)
        difference = paired_difference(evaluation.cells, current.evaluation.cells)
        accepted = accepts(self._config.accept, evaluation, difference)
        quarantined = refuses(run.result_id)  # since it was tried out
        return _record(
            number,
            run.result_id,
            current,
            evaluation,
            difference,
            accepted=accepted and not quarantined,
            detail=QUARANTINED if quarantined else "",
        )

    def _save(self, record: RoundRecord) -> RoundRecord:
        self._store.save_round(record)
        self._session.progress(Progress("round_finished", data=record.to_dict()))
        return record

    def _show_start(self, number: int) -> None:
        data = {"round": number, "rounds": self._config.rounds}
        self._session.progress(Progress("round_started", data=data))


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
