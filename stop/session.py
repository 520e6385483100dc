"""An open run: its folder with everything in it, and the machinery that works on it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stop import __version__
from stop.audit.log import AuditLog, read
from stop.audit.notes import run_id
from stop.audit.policy import Policy, tell_all
from stop.audit.watch import Watch
from stop.budget import Ledger
from stop.config import RunConfig
from stop.errors import (
    BudgetExceeded,
    ConfigError,
    LMError,
    LMUnavailable,
    RunError,
    StopError,
    machine_trouble,
)
from stop.evaluation import Evaluation
from stop.events import Level, Progress, ProgressListener, SecurityEvent
from stop.improver_run import ImproverRunner
from stop.lm import open_model
from stop.lm.base import LanguageModel, LMRequest
from stop.lm.faults import FaultLog, Shown
from stop.lm.options import LMOptions
from stop.lm.tape import Tape
from stop.provenance import Facts, Provenance
from stop.run_folder import changed_tasks, checked_secret, locked, read_config, run_tasks
from stop.sandbox import open_sandbox
from stop.sandbox.pool import SandboxPool
from stop.stopwatch import TimeUp, timed
from stop.store import Store
from stop.store.faults import Faults
from stop.store.payments import Payments
from stop.task import Task
from stop.utility import Evaluator


@dataclass(frozen=True, slots=True)
class Session:
    """What rounds and improve work with. Made by `open_session`."""

    folder: Path
    config: RunConfig
    tasks: tuple[Task, ...]
    store: Store
    audit: AuditLog
    tape: Tape
    pool: SandboxPool
    evaluator: Evaluator
    model: LanguageModel
    meta_model: LanguageModel
    progress: ProgressListener
    watch: Watch

    @property
    def runner(self) -> ImproverRunner:
        """Carries out this run's improver runs."""
        return ImproverRunner(
            self.pool,
            self.store,
            self.tape,
            self.security,
            progress=self.progress,
            guard=self.watch,
        )

    def security(self, event: SecurityEvent) -> None:
        """Log an event; the run's policy follows. See `Watch.see`."""
        self.watch.see(event)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Keeps the run's status true, and its limit of wall-clock time, over all its sessions."""
        ledger, limit = self.tape.ledger, self.config.budget.seconds
        status = "interrupted"  # Ctrl-C, cancellation, a bug: recorded, then raised as it is
        self.store.set_meta("status", "running")
        ledger.on_change = self._show_budget
        try:
            async with timed(ledger.run.watch, limit, self._show_budget, self._save("seconds")):
                yield
            status = "done"
        except TimeUp:
            status = "failed"
            self._blame_the_server("run", "--max-seconds")
            status = "budget"
            raise BudgetExceeded(
                f"the run's {limit:g} seconds are used up",
                resource="seconds",
                hint=f"go on with more: stop resume {self.folder} --max-seconds N",
            ) from None
        except StopError as error:
            status = {3: "budget", 6: "halted"}.get(error.exit_code, "failed")
            error.hint = error.hint.replace(" RUN", f" {self.folder}")
            if status == "budget":
                await self.tape.drain()
            raise
        except OSError as error:  # time-outs too
            status = "failed"
            if (trouble := machine_trouble(error)) is None:
                raise
            hint = trouble[1].replace(" RUN", f" {self.folder}")
            raise RunError(trouble[0], hint=hint) from error
        finally:
            self.store.set_meta("status", status)

    @asynccontextmanager
    async def round(self, number: int) -> AsyncIterator[None]:
        """What is done inside counts against the budget of this round as well.

        Raises:
            BudgetExceeded: with `level` "round N", when that is used up.
        """
        ledger, budget, key = self.tape.ledger, self.config.round_budget, f"seconds.round.{number}"
        account = ledger.begin_round(
            number, budget, Payments(self.store).spent(number), float(self.store.meta(key) or 0)
        )
        try:
            async with timed(account.watch, budget.seconds, save=self._save(key)):
                yield
        except TimeUp:
            self._blame_the_server(account.level, "--round-max-seconds")
            raise BudgetExceeded(
                f"the {budget.seconds:g} seconds of {account.level} are used up",
                resource="seconds",
                level=account.level,
                hint=f"go on with more: stop resume {self.folder} --round-max-seconds N",
            ) from None
        except BudgetExceeded:
            await self.tape.drain()
            raise
        finally:
            ledger.end_round()

    def _blame_the_server(self, level: str, option: str) -> None:
        """Time that a dead server took is not the run's: it is named as the cause.

        Raises:
            LMUnavailable: a server has given nothing but faults for a while.
        """
        if silence := self.tape.faults.silence():
            raise LMUnavailable(
                f"{silence}. So the time of the {level} is used up",
                hint="when the server is back, go on with more time: "
                f"stop resume {self.folder} {option} N",
            )

    def _save(self, key: str) -> Callable[[float], None]:
        return lambda seconds: self.store.set_meta(key, f"{seconds:.3f}")

    def _show_budget(self) -> None:
        tightest = self.tape.ledger.tightest()
        if tightest is not None:
            self.progress(Progress("budget", data=tightest._asdict()))


@asynccontextmanager
async def open_session(
    folder: Path,
    progress: ProgressListener,
    config: RunConfig | None = None,
    reason: str = "",
) -> AsyncIterator[Session]:
    """Open a run to work on it; everything is closed in order afterwards.

    Args:
        folder: of `create_run`, or of a run to go on with.
        progress: told what happens.
        config: takes the place of the stored one (a raised budget); what a run does stays.
        reason: why a run that its policy halted should go on; logged.

    Raises:
        PolicyHalt: it was halted, and no reason is given.
        RunError: another process works on it, or its files are damaged.
        SandboxUnavailable, LMUnavailable: something that it needs is missing.
    """
    config = config or read_config(folder)
    async with AsyncExitStack() as stack:
        stack.enter_context(locked(folder))
        tasks = run_tasks(folder, config)
        store = Store(folder / "run.db")
        stack.callback(store.close)
        if store.meta("status") is not None and (changed := _changed(tasks, config)):
            progress(Progress("message", changed))
        secret = checked_secret(folder, store, tasks)
        if store.meta("status") is None and _has_worked(folder / "audit.jsonl"):
            raise RunError(
                f"{store.path} is empty, and the log tells of earlier work: what was paid for is "
                "lost, and would be paid for again",
                hint="put the file back, or begin a new run",
            )
        audit = AuditLog(folder / "audit.jsonl", store.meta("audit.head"), run=run_id(folder))
        store.set_meta("audit.head", audit.head)
        stack.callback(_close_log, store, audit)
        level, after = Level(config.policy_level), config.halt_after
        watch = Watch(folder, audit, Policy(config.policy, level=level, halt_after=after), progress)
        watch.open(reason)
        options = LMOptions(patience=config.lm_patience)
        model = await _started(stack, config.lm, config.base_url, options)
        meta_model = model
        if config.meta_lm is not None:
            meta_model = await _started(
                stack, config.meta_lm, config.meta_base_url or config.base_url, options
            )
        _check_prices(config, model, meta_model)
        progress(Progress("message", "preparing the sandbox"))
        packages = tuple(sorted({p for task in tasks for p in task.packages}))
        sandbox = await open_sandbox(config.sandbox, packages=packages, image=config.image)
        pool = SandboxPool(
            sandbox,
            isolation=config.isolation,
            evaluations=config.concurrency,
            improver_runs=config.concurrency,
        )
        stack.push_async_callback(pool.aclose)
        store.close_requests()
        ledger = Ledger(config.budget, Payments(store).spent(), float(store.meta("seconds") or 0))
        store.set_meta("limits", _limits(config))
        tape = Tape(store, ledger, secret, FaultLog(Faults(store), _fault_shower(progress)))
        stack.push_async_callback(tape.aclose)
        evaluator = Evaluator(pool, secret, store, _evaluation_listener(progress, watch), watch)
        stack.push_async_callback(evaluator.aclose)
        facts = Facts(folder, config.tasks, tasks, pool, model, meta_model)
        stack.enter_context(_recorded(facts, store, progress))
        audit.append(
            "opened",
            pid=os.getpid(),
            sandbox=pool.label,
            version=__version__,
            policy=config.policy,
            config=hashlib.sha256((folder / "config.json").read_bytes()).hexdigest(),
        )
        yield Session(
            folder=folder,
            config=config,
            tasks=tasks,
            store=store,
            audit=audit,
            tape=tape,
            pool=pool,
            evaluator=evaluator,
            model=model,
            meta_model=meta_model,
            progress=progress,
            watch=watch,
        )


async def _started(
    stack: AsyncExitStack, spec: str, base_url: str | None, options: LMOptions
) -> LanguageModel:
    model = open_model(spec, base_url=base_url, options=options)
    stack.push_async_callback(model.aclose)
    await model.start()
    return model


def _check_prices(config: RunConfig, *models: LanguageModel) -> None:
    """A limit of money is worth nothing where no price is known."""
    improvers = (config.task_budget.of_responses, config.meta_budget.of_responses)
    if all(each.usd is None for each in (config.budget, config.round_budget, *improvers)):
        return
    for model in models:
        if model.worst_case(LMRequest("", "x")).usd is None:
            raise ConfigError(
                f"no price of {model.spec} is known: a limit of money would not hold",
                hint="limit something else, e.g. --max-tokens",
            )


def _limits(config: RunConfig) -> str:
    """The limits in force, for readers: `stop resume` may raise those of the configuration."""
    return json.dumps({"run": config.budget.limits, "round": config.round_budget.limits})


def _fault_shower(progress: ProgressListener) -> Callable[[Shown], None]:
    def show(what: Shown) -> None:
        if isinstance(what, str):
            progress(Progress("lm_answers", what))
        elif isinstance(what, LMError):
            progress(Progress("lm_call_failed", what.message))
        else:
            data = {"reason": what.reason, "seconds": what.seconds, "silent": what.silent}
            progress(Progress("lm_waiting", what.text, data))

    return show


def _evaluation_listener(progress: ProgressListener, watch: Watch) -> Callable[[Evaluation], None]:
    def listen(evaluation: Evaluation) -> None:
        tell_all(watch.see, evaluation.events)
        watch.settle("")  # no improver run: bounded by itself, and no flood of the next one's
        data = {"task": evaluation.task, "score": evaluation.score, "status": evaluation.status}
        progress(Progress("evaluation_finished", evaluation.program_id, data))

    return listen


def _has_worked(log: Path) -> bool:
    return log.exists() and any(True for _ in read(log, "intent"))


def _changed(tasks: Sequence[Task], config: RunConfig) -> str:
    names = ", ".join(changed_tasks(tasks, config))
    return names and f"changed since this run began, which goes on with them as they were: {names}"


@contextmanager
def _recorded(facts: Facts, store: Store, progress: ProgressListener) -> Iterator[None]:
    """Keeps provenance.json true; what replays compare is in the store as well."""
    for key, value in facts.machine().items():
        store.set_meta(f"version.{key}", value)
    provenance = Provenance(facts, store)
    try:
        provenance.write()
    except OSError as error:
        raise RunError(f"{facts.folder} cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        try:
            provenance.write(ended=True)
        except OSError as error:  # what happened is not less true for it
            progress(Progress("message", f"provenance.json is not up to date: {error.strerror}"))


def _close_log(store: Store, audit: AuditLog) -> None:
    """The store remembers where the log ended, so that a cut tail shows."""
    try:
        audit.append("closed")
    finally:
        audit.close()
    store.set_meta("audit.head", audit.head)
