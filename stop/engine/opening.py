"""Opens a run to work on it, step by step, and closes everything in order afterwards.

folder (lock, tasks, store, secret) ─► log (audit, policy) ─► models ─► sandbox
    ─► tape and evaluator ─► provenance ─► Session
"""

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
from stop.engine.evaluator import Evaluator
from stop.engine.improver_run import Application
from stop.engine.session import Session
from stop.errors import ConfigError, LMError, RunError
from stop.events import Level, Progress, ProgressListener
from stop.lm import open_model
from stop.lm.base import LanguageModel, LMRequest
from stop.lm.faults import FaultLog, Shown
from stop.lm.options import LMOptions
from stop.lm.tape import Tape
from stop.runs.folder import changed_tasks, checked_secret, locked, run_tasks
from stop.runs.provenance import Facts, Provenance
from stop.sandbox import open_sandbox
from stop.sandbox.pool import SandboxPool
from stop.store import Store
from stop.store.faults import Faults
from stop.store.payments import Payments
from stop.tasks.evaluation import Evaluation
from stop.tasks.task import Task


@asynccontextmanager
async def open_session(
    folder: Path, config: RunConfig, progress: ProgressListener, reason: str = ""
) -> AsyncIterator[Session]:
    """Open a run to work on it.

    Args:
        folder: of the run.
        config: the stored one, or one with raised limits; what the run does stays.
        progress: called with each Progress event.
        reason: why a run that its policy halted should go on; logged.

    Raises:
        PolicyHalt: it was halted, and no reason is given.
        RunError: another process works on it, or its files are damaged.
        SandboxUnavailable, LMUnavailable: something that it needs is missing.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(locked(folder))
        files = _open_folder(stack, folder, config, progress)
        audit = _open_log(stack, folder, files.store)
        watch = _open_watch(folder, audit, config, progress, reason)
        models = await _start_models(stack, config)
        pool = await _open_sandboxes(stack, files.tasks, config, progress)
        tape = _open_tape(stack, files, config, progress)
        listener = _evaluation_listener(progress, watch)
        evaluator = Evaluator(pool, files.secret, files.store, listener, watch)
        stack.push_async_callback(evaluator.aclose)
        facts = Facts(folder, config.all_tasks, files.tasks, pool, models.task, models.meta)
        stack.enter_context(_recorded(facts, files.store, progress))
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
            tasks=files.tasks[: len(config.tasks)],
            holdout=files.tasks[len(config.tasks) :],
            store=files.store,
            audit=audit,
            tape=tape,
            pool=pool,
            evaluator=evaluator,
            model=models.task,
            model_of=models.of,
            progress=progress,
            watch=watch,
        )


# --- folder


@dataclass(frozen=True, slots=True)
class _Files:
    tasks: tuple[Task, ...]
    store: Store
    secret: bytes


def _open_folder(
    stack: AsyncExitStack, folder: Path, config: RunConfig, progress: ProgressListener
) -> _Files:
    tasks = run_tasks(folder, config)
    store = Store(folder / "run.db")
    stack.callback(store.close)
    begun = store.meta("status") is not None
    if begun and (changed := _changed(tasks, config)):
        progress(Progress("message", changed))
    secret = checked_secret(folder, store, tasks)
    if not begun and _has_worked(folder / "audit.jsonl"):
        raise RunError(
            f"{store.path} is empty, and the log tells of earlier work: what was paid for is "
            "lost, and would be paid for again",
            hint="put the file back, or begin a new run",
        )
    return _Files(tasks, store, secret)


def _changed(tasks: Sequence[Task], config: RunConfig) -> str:
    names = ", ".join(changed_tasks(tasks, config))
    return names and f"changed since this run began, which goes on with them as they were: {names}"


def _has_worked(log: Path) -> bool:
    return log.exists() and any(True for _ in read(log, "intent"))


# --- log


def _open_log(stack: AsyncExitStack, folder: Path, store: Store) -> AuditLog:
    audit = AuditLog(folder / "audit.jsonl", store.meta("audit.head"), run=run_id(folder))
    store.set_meta("audit.head", audit.head)
    stack.callback(_close_log, store, audit)
    return audit


def _close_log(store: Store, audit: AuditLog) -> None:
    """The store remembers where the log ended, so that a cut tail shows."""
    try:
        audit.append("closed")
    finally:
        audit.close()
    store.set_meta("audit.head", audit.head)


def _open_watch(
    folder: Path, audit: AuditLog, config: RunConfig, progress: ProgressListener, reason: str
) -> Watch:
    level, after = Level(config.policy_level), config.halt_after
    watch = Watch(folder, audit, Policy(config.policy, level=level, halt_after=after), progress)
    watch.open(reason)
    return watch


# --- models


@dataclass(frozen=True, slots=True)
class _Models:
    """The models of both levels; the same object where there is one model only."""

    task: LanguageModel
    meta: LanguageModel

    def of(self, what: Application) -> LanguageModel:
        return self.meta if what.level == "meta" else self.task


async def _start_models(stack: AsyncExitStack, config: RunConfig) -> _Models:
    options = LMOptions(patience=config.lm_patience)

    async def started(spec: str, base_url: str | None) -> LanguageModel:
        model = open_model(spec, base_url=base_url, options=options)
        stack.push_async_callback(model.aclose)
        await model.start()
        return model

    task = meta = await started(config.lm, config.base_url)
    if config.meta_lm is not None:
        meta = await started(config.meta_lm, config.meta_base_url or config.base_url)
    if config.limits_money:
        for model in (task, meta):
            if model.worst_case(LMRequest("", "x")).usd is None:
                raise ConfigError(
                    f"no price of {model.spec} is known: a limit of money would not hold",
                    hint="limit something else, e.g. --max-tokens",
                )
    return _Models(task, meta)


# --- sandbox


async def _open_sandboxes(
    stack: AsyncExitStack, tasks: Sequence[Task], config: RunConfig, progress: ProgressListener
) -> SandboxPool:
    progress(Progress("message", "preparing the sandbox"))
    packages = tuple(sorted({package for task in tasks for package in task.packages}))
    sandbox = await open_sandbox(config.sandbox, packages=packages, image=config.image)
    pool = SandboxPool(
        sandbox,
        isolation=config.isolation,
        evaluations=config.concurrency,
        improver_runs=config.concurrency,
    )
    stack.push_async_callback(pool.aclose)
    return pool


# --- tape, evaluations


def _open_tape(
    stack: AsyncExitStack, files: _Files, config: RunConfig, progress: ProgressListener
) -> Tape:
    store = files.store
    store.close_requests()
    ledger = Ledger(config.budget, Payments(store).spent(), float(store.meta("seconds") or 0))
    # For readers: the limits in force, which `stop resume` may have raised.
    store.set_meta("limits", json.dumps(config.limits))
    tape = Tape(store, ledger, files.secret, FaultLog(Faults(store), _fault_shower(progress)))
    stack.push_async_callback(tape.aclose)
    return tape


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


# --- provenance


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
