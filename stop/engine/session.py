"""A session: the resources of an open run, shared by everything that works on it.

`stop.engine.opening` makes one and closes it. What has ended in an earlier session is looked up.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from stop.audit.log import AuditLog
from stop.audit.watch import Watch
from stop.budget import Budget
from stop.budget.stopwatch import TimeUp, timed
from stop.config import RunConfig
from stop.engine.evaluator import Evaluator
from stop.engine.improver_run import Application, ImproverRunner
from stop.engine.meta_utility import MetaUtility
from stop.errors import BudgetExceeded, LMUnavailable, StopError, machine_trouble
from stop.events import Progress, ProgressListener
from stop.lm.base import LanguageModel, LMRequest, LMResponse
from stop.lm.tape import Tape, TapedModel
from stop.sandbox.pool import SandboxPool
from stop.store import Store
from stop.store.payments import Payments
from stop.tasks.task import Task

_STATUS_OF_EXIT_CODE = {3: "budget", 6: "halted"}
_TIME_UP = ("seconds", "run")  # then nothing more is waited for


@dataclass(frozen=True, slots=True)
class Session:
    """The resources of an open run.

    Attributes:
        folder: of the run.
        tasks: as they were when the run began, in the order of the configuration.
        holdout: tasks that improvers are compared on and never improved on.
        model: the language model of the task level.
        model_of: the language model that answers an improver run where the tape does not.
        watch: sees every security event, and lets programs run or not.
    """

    folder: Path
    config: RunConfig
    tasks: tuple[Task, ...]
    holdout: tuple[Task, ...]
    store: Store
    audit: AuditLog
    tape: Tape
    pool: SandboxPool
    evaluator: Evaluator
    model: LanguageModel
    model_of: Callable[[Application], LanguageModel]
    progress: ProgressListener
    watch: Watch

    @property
    def all_tasks(self) -> tuple[Task, ...]:
        """The tasks and those that are held out."""
        return self.tasks + self.holdout

    @property
    def runner(self) -> ImproverRunner:
        """Carries out this run's improver runs, with responses from the tape or the model."""
        return ImproverRunner(
            self.pool,
            self.store,
            self._taped_model,
            self.watch.see,
            ledger=self.tape.ledger,
            progress=self.progress,
            guard=self.watch,
        )

    def _taped_model(self, what: Application) -> TapedModel:
        return TapedModel(
            self.model_of(what),
            self.tape,
            scope=what.scope,
            improver_run=what.key,
            max_responses=what.budget.lm_calls * what.budget.responses_per_call,
            on_call=self.show_lm_call,
        )

    def meta_utility(self, *tasks: Task) -> MetaUtility:
        """û over these tasks, by default over all of the run's."""
        return MetaUtility(
            tasks or self.tasks,
            self.config.repetitions,
            evaluator=self.evaluator,
            runner=self.runner,
            store=self.store,
            budget=self.config.task_budget,
        )

    def show_lm_call(self, request: LMRequest, response: LMResponse | None) -> None:
        """Show a request that is about to be sent (no response), or its response."""
        if response is None:
            self.progress(Progress("lm_call_started", data={"n": request.n}))
            return
        usage = response.usage
        data = {
            "n": request.n,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "usd": usage.usd,
        }
        self.progress(Progress("lm_call_finished", data=data))

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Keep the run's status true, and its limit of wall-clock time, over all its sessions.

        Raises:
            StopError: what the block raised, with the run's folder; an `OSError` that says what
                is wrong with the machine becomes a `RunError`.
        """
        ledger, limit = self.tape.ledger, self.config.budget.seconds
        status = "interrupted"  # Ctrl-C, cancellation, a bug: recorded, then raised as it is
        self.store.set_meta("status", "running")
        ledger.on_change = self._show_budget
        try:
            try:
                async with timed(ledger.run.watch, limit, self._show_budget, self._save("seconds")):
                    yield
                status = "done"
            except TimeUp:
                raise self._time_is_up("run", limit, "--max-seconds") from None
            except OSError as error:  # time-outs too
                status = "failed"
                if (trouble := machine_trouble(error)) is None:
                    raise
                raise trouble.error() from error
        except StopError as error:
            status = _STATUS_OF_EXIT_CODE.get(error.exit_code, "failed")
            error.run = self.folder
            if isinstance(error, BudgetExceeded) and (error.resource, error.level) != _TIME_UP:
                await self.tape.drain()
            raise
        finally:
            self.store.set_meta("status", status)
            self.progress(Progress("run_finished", data={"status": status}))

    @asynccontextmanager
    async def holding_back(self, reserve: Budget) -> AsyncIterator[None]:
        """Keep a part of the run's limits from the work in this block, for what comes after it.

        Raises:
            BudgetExceeded: the work needs more than is left without the reserve.
        """
        ledger, limit = self.tape.ledger, self.config.budget.seconds
        if limit is not None:
            limit -= reserve.seconds or 0.0
        try:
            with ledger.holding_back(reserve):
                async with timed(ledger.run.watch, limit):
                    yield
        except TimeUp:
            raise self._time_is_up("run", limit, "--max-seconds") from None
        except BudgetExceeded:
            await self.tape.drain()
            raise

    @asynccontextmanager
    async def round(self, number: int, budget: Budget) -> AsyncIterator[None]:
        """Count what is done inside against the budget of this round as well.

        Raises:
            BudgetExceeded: with `level` "round N", when that is used up.
        """
        ledger, key = self.tape.ledger, f"seconds.round.{number}"
        account = ledger.begin_round(
            number, budget, Payments(self.store).spent(number), float(self.store.meta(key) or 0)
        )
        try:
            async with timed(account.watch, budget.seconds, save=self._save(key)):
                yield
        except TimeUp:
            raise self._time_is_up(account.level, budget.seconds, "--round-max-seconds") from None
        except BudgetExceeded:
            await self.tape.drain()
            raise
        finally:
            ledger.end_round()

    def _time_is_up(self, level: str, limit: float | None, option: str) -> StopError:
        """The error; where a server has been silent, that is the cause, not the work."""
        if silence := self.tape.faults.silence():
            return LMUnavailable(
                f"{silence}. So the time of the {level} is used up",
                hint="when the server is back, go on with more time",
                resume=f"{option} N",
            )
        return BudgetExceeded(
            f"the {limit:g} seconds of {'the run' if level == 'run' else level} are used up",
            resource="seconds",
            level=level,
            hint="go on with more",
            resume=f"{option} N",
        )

    def _save(self, key: str) -> Callable[[float], None]:
        return lambda seconds: self.store.set_meta(key, f"{seconds:.3f}")

    def _show_budget(self) -> None:
        tightest = self.tape.ledger.tightest()
        if tightest is not None:
            self.progress(Progress("budget", data=tightest._asdict()))
