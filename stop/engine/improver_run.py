"""One improver run with everything that belongs to it: sandbox, model, record, audit.

Both levels go through here: an improver applied to a solution, and one applied to an improver.
Which model answers is handed in (`model_for`), so live, replayed and sampled runs are the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from stop.audit.guard import NO_GUARD, Guard, Quarantined
from stop.audit.policy import tell_all
from stop.audit.rules import findings
from stop.budget import ImproverBudget, Ledger
from stop.engine.broker import Broker, HostUtility, ImproverOutcome, Score
from stop.errors import SandboxBroken
from stop.events import Progress, ProgressListener, SecurityEvent
from stop.lm.base import Completer
from stop.programs import program_id
from stop.sandbox.pool import SandboxPool
from stop.sandbox.protocol import JobOutput
from stop.store import ImproverRunRecord, Store
from stop.store.records import RunLevel
from stop.tasks.evaluation import Status

_NOTHING = JobOutput()
_QUARANTINED = ImproverOutcome("quarantined", "not executed any more", None, 0, 0, _NOTHING)


@dataclass(frozen=True, slots=True)
class Application:
    """An improver that is to be applied to a program.

    Attributes:
        key: names the improver run within the run, for good.
        level: "task" when the program is a solution, "meta" when it is an improver.
        improver, initial: source texts of the improver and of the program it begins with.
        result_entry_point: function that the returned program must define.
        budget: of this improver run.
        round, task, repetition: where it belongs; None where that does not apply.
    """

    key: str
    level: RunLevel
    improver: str
    initial: str
    result_entry_point: str
    budget: ImproverBudget
    round: int | None = None
    task: str | None = None
    repetition: int | None = None

    @property
    def scope(self) -> str:
        """The place where improvers are compared: a task and a repetition, or a round."""
        return self.key if self.task is None else f"{self.task}/{self.repetition}"

    @property
    def result_kind(self) -> str:
        return "improver" if self.level == "meta" else "solution"


ModelFor = Callable[[Application], Completer]
"""Makes the model of one execution of an improver run; an executed-again one gets a new model."""


class ImproverRunner:
    """Carries out improver runs of one run, each at most once: what has ended is looked up.

    Args:
        pool: lends sandboxes.
        store: keeps the records.
        model_for: makes the model that answers an improver run.
        on_event: called with each security event.
        ledger: of the run; utility calls count there.
        progress: called with each Progress event.
        guard: decides which improvers may run, and records that one does.
    """

    def __init__(
        self,
        pool: SandboxPool,
        store: Store,
        model_for: ModelFor,
        on_event: Callable[[SecurityEvent], None],
        *,
        ledger: Ledger,
        progress: ProgressListener,
        guard: Guard = NO_GUARD,
    ) -> None:
        self._pool = pool
        self._store = store
        self._model_for = model_for
        self._ledger = ledger
        self._on_event = on_event
        self._progress = progress
        self._guard = guard

    async def run(self, what: Application, utility: HostUtility) -> ImproverRunRecord:
        """Apply an improver to a program and return the record of it.

        Raises:
            BudgetExceeded, LMError, SandboxError: the improver run stays unfinished; executed
                again, it meets the responses that it already has.
        """
        done = self._store.improver_run(what.key)
        if done is not None and done.status != "running":
            return done
        model = self._model_for(what)
        self._begin(what)
        identity = program_id(what.improver)
        if self._guard.refuses(identity):
            return self._finish(what, _QUARANTINED)
        with self._guard.effect("improver_run", program_id=identity, improver_run=what.key) as made:
            try:
                outcome = await self._apply(what, utility, model)
            except Quarantined:
                outcome = _QUARANTINED
            if made is not None:
                made.status = outcome.status
        self._guard.settle(what.key)
        return self._finish(what, outcome)

    def give_up(self, key: str, status: Status, detail: str) -> None:
        """An improver run that did not end will not be executed again."""
        calls = len(self._store.utility_calls(key))
        self._store.finish_improver_run(key, status=status, detail=detail, utility_calls=calls)
        self._guard.settle(key)

    def _begin(self, what: Application) -> None:
        self._store.add_program(what.improver, "improver")
        kind = "improver" if what.level == "meta" else "solution"
        record = ImproverRunRecord(
            key=what.key,
            level=what.level,
            round=what.round,
            task=what.task,
            repetition=what.repetition,
            improver_id=program_id(what.improver),
            initial_id=self._store.add_program(what.initial, kind),
            result_id=None,
            status="running",
            detail="",
            utility_calls=0,
            cpu_seconds=0.0,
            stdout="",
            stderr="",
            started=time.time(),
            finished=None,
        )
        self._store.start_improver_run(record)
        self._begin_execution(what.key)
        self._progress(Progress("improver_run_started", what.key, {"level": what.level}))
        self._scan(what)

    def _scan(self, what: Application) -> None:
        """What the text of an improver shows."""
        identity = program_id(what.improver)
        events = [
            SecurityEvent(
                f.rule, f.level, f"line {f.line}: {f.evidence}", identity, what.key, "text"
            )
            for f in findings(what.improver)
        ]
        tell_all(self._on_event, events)

    async def _apply(
        self, what: Application, utility: HostUtility, model: Completer
    ) -> ImproverOutcome:
        for attempt in (1, 2):
            broker = Broker(
                utility,
                model,
                what.budget,
                self._event_listener(what),
                self._utility_recorder(what),
                ledger=self._ledger,
            )
            try:
                async with self._pool.improver_guest(0 if what.level == "meta" else 1) as guest:
                    self._guard.admit(program_id(what.improver))
                    return await broker.run(
                        guest,
                        what.improver,
                        what.initial,
                        result_entry_point=what.result_entry_point,
                        random_seed=int(program_id(what.key)[:8], 16),
                    )
            except SandboxBroken as error:
                if attempt == 2:
                    status: Status = "oom" if error.out_of_memory else "error"
                    detail = f"the sandbox did not survive this improver: {error.message}"
                    return ImproverOutcome(status, detail, None, 0, 0, _NOTHING)
                model = self._model_for(what)
                self._begin_execution(what.key)
        raise AssertionError("unreachable")

    def _begin_execution(self, key: str) -> None:
        """Utility calls of an earlier execution are made again: they count once."""
        calls, round_then = self._store.begin_execution(key, self._ledger.round)
        self._ledger.take_back(calls, of_this_round=round_then == self._ledger.round)

    def _finish(self, what: Application, outcome: ImproverOutcome) -> ImproverRunRecord:
        result = outcome.source
        self._store.finish_improver_run(
            what.key,
            result_id=self._store.add_program(result, what.result_kind) if result else None,
            status=outcome.status,
            detail=outcome.detail,
            cause=outcome.cause,
            utility_calls=outcome.utility_calls,
            cpu_seconds=outcome.output.cpu_seconds,
            stdout=outcome.output.stdout,
            stderr=outcome.output.stderr,
        )
        data = {"level": what.level, "status": outcome.status}
        self._progress(Progress("improver_run_finished", what.key, data))
        record = self._store.improver_run(what.key)
        assert record is not None
        return record

    # --- listeners

    def _event_listener(self, what: Application) -> Callable[[SecurityEvent], None]:
        identity = program_id(what.improver)

        def listen(event: SecurityEvent) -> None:
            self._on_event(replace(event, program_id=identity, improver_run=what.key))

        return listen

    def _utility_recorder(self, what: Application) -> Callable[[str | None, Score], None]:
        def record(source: str | None, score: Score) -> None:
            identity = None
            if source is not None:
                identity = self._store.add_program(source, what.result_kind)
            self._store.add_utility_call(what.key, identity, score.value, score.status)
            data = {"level": what.level, "score": score.value, "status": score.status}
            self._progress(Progress("candidate_scored", what.key, data))

        return record
