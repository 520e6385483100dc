"""Doing a run again: the same configuration and instances, responses from the recording."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from stop._util.concurrency import gather_or_cancel, run_sync
from stop.budget import Budget, ImproverBudget
from stop.config import RunConfig
from stop.engine.broker import HostUtility
from stop.engine.improver_run import Application, ImproverRunner
from stop.engine.meta_utility import TaskUtility
from stop.engine.session import Session, open_session
from stop.errors import (
    BudgetExceeded,
    ConfigError,
    LMError,
    LMRequestRefused,
    PolicyHalt,
    RunError,
    StopError,
)
from stop.events import Progress, ProgressListener, ignore_progress
from stop.experiments import rounds
from stop.experiments import transfer as transfers
from stop.experiments.bypass.measure import measure
from stop.lm import open_model
from stop.lm.base import LanguageModel, LMRequest, LMResponse, Usage
from stop.lm.options import LMOptions
from stop.programs import program_id
from stop.replays.comparing import compare
from stop.replays.differences import Replay
from stop.replays.recording import EndOfRecording, Recording
from stop.runs.folder import fill_folder, read_config, run_tasks
from stop.runs.provenance import recorded_prices
from stop.sandbox import SANDBOX_CHOICES
from stop.store import ImproverRunRecord
from stop.store.recorded import Place, evaluation_records

_CAUSES = ("stop", "python", "numpy", "sandbox", "image")
"""Of the facts that a run notes: those that its programs could notice."""


def replay(
    folder: str | Path,
    *,
    sandbox: str | None = None,
    keep: str | Path | None = None,
    progress: ProgressListener = ignore_progress,
) -> Replay:
    """Do a run again from its tape and compare; nothing in its folder changes.

    Args:
        folder: of a run of any kind; one that is not done is compared as far as it came.
        sandbox: another backend than the run's.
        keep: a new folder for the repetition, a run like any other; None: it is not kept.
        progress: told what happens.

    Raises:
        RunError: there is no run, or a process is at work on it.
        SandboxError: programs cannot be run here as they were.
    """
    folder = Path(folder)
    config = read_config(folder)
    recording = Recording(folder)
    try:
        if recording.store.meta("status") is None:
            raise RunError(f"{folder} holds nothing to replay: its work never began")
        with _place(keep) as target:
            again = _configuration(config, recording, sandbox)
            try:
                fill_folder(target, again, recording.secret, run_tasks(folder, config))
            except OSError as error:
                raise ConfigError(f"{target} cannot be written: {error.strerror}") from error
            result = run_sync(_replay(recording, config, again, target, progress))
            return Replay(folder, **result, kept=None if keep is None else target)
    finally:
        recording.close()


@contextmanager
def _place(keep: str | Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="stop-replay-") as name:
            yield Path(name)
        return
    target = Path(keep)
    try:
        target.mkdir(parents=True, exist_ok=True)
        empty = not any(target.iterdir())
    except OSError as error:
        raise ConfigError(f"{target} cannot be used: {error.strerror}") from error
    if not empty:
        raise ConfigError(f"{target} is not empty", hint="--keep wants a new folder")
    yield target


def _configuration(config: RunConfig, recording: Recording, sandbox: str | None) -> RunConfig:
    """As it was, but for what ended the run: where it ended is known."""
    recorded = (recording.store.meta("version.sandbox") or "").partition("/")[0]
    if sandbox is None and recorded in SANDBOX_CHOICES:
        sandbox = recorded
    return config.model_copy(
        update={
            "lm": f"tape:{recording.folder.resolve()}",
            "meta_lm": None,
            "base_url": None,
            "meta_base_url": None,
            "budget": Budget(),
            "round_budget": Budget(),
            "policy": "log" if config.policy == "halt" else config.policy,
            "sandbox": sandbox or config.sandbox,
        }
    )


async def _replay(
    recording: Recording,
    before: RunConfig,
    config: RunConfig,
    target: Path,
    progress: ProgressListener,
) -> dict[str, Any]:
    ended = ""
    async with open_session(target, progress, config) as opened:
        values = {field.name: getattr(opened, field.name) for field in fields(Session)}
        session = _ReplaySession(**values, recording=recording, before=before)
        causes = _causes(recording, session)
        for cause in causes:
            progress(Progress("message", cause))
        try:
            await _again(session)
        except (LMError, BudgetExceeded, PolicyHalt, EndOfRecording, RunError) as error:
            ended = error.message
        await _rest(session)
        differences, compared = compare(recording, session, ended)
    return {
        "differences": tuple(differences),
        "causes": tuple(causes),
        "compared": compared,
        "ended": ended,
    }


async def _again(session: Session) -> None:
    if session.config.kind == "improve":
        await rounds.improve_once(session)
    elif session.config.kind == "bypass":
        await measure(session)
    elif session.config.kind == "transfer":
        await transfers.measure(session)
    else:
        await rounds.run_rounds(session)


def _causes(recording: Recording, session: Session) -> list[str]:
    """What is not as it was, beside the programs."""
    found = []
    for name in _CAUSES:
        then, now = (store.meta(f"version.{name}") for store in (recording.store, session.store))
        if then is not None and then != now:
            found.append(f"{name} was {then[:40]}, is {(now or 'unknown')[:40]}")
    found += [f"the files of the task {name} have changed" for name in
              recording.changed_tasks(session.tasks)]  # fmt: skip
    return found


# --- what the way of the run did not lead to: after a difference it may have been another way


async def _rest(session: _ReplaySession) -> None:
    """Each improver run on a task, and each evaluation, that is recorded and was not repeated."""
    tasks = {task.name: task for task in session.tasks}
    left = [
        partial(_improver_run, session, record)
        for record in session.recording.runs.values()
        if session.config.kind != "bypass" and record.level == "task" and record.task in tasks
        and session.recording.finished(record.key) and not _ended(session, record.key)
    ]  # fmt: skip
    await _some_at_once(session, left)
    there = evaluation_records(session.store)
    scores = [
        partial(_evaluation, session, place)
        for place in session.recording.evaluations()
        if place not in there and place[1] in tasks
    ]
    await _some_at_once(session, scores)


async def _some_at_once(session: Session, work: list[partial[Any]]) -> None:
    left = iter(work)

    async def worker() -> None:
        for each in left:
            await each()

    await gather_or_cancel(worker() for _ in range(session.config.concurrency))


def _ended(session: Session, key: str) -> bool:
    record = session.store.improver_run(key)
    return record is not None and record.status != "running"


async def _improver_run(session: _ReplaySession, record: ImproverRunRecord) -> None:
    task = next(task for task in session.tasks if task.name == record.task)
    store, repetition = session.recording.store, record.repetition or 0
    what = Application(
        key=record.key,
        level="task",
        improver=store.program(record.improver_id).source,
        initial=store.program(record.initial_id).source,
        result_entry_point=task.entry_point,
        round=record.round,
        task=task.name,
        repetition=record.repetition,
    )
    utility = TaskUtility(session.evaluator, task, repetition)
    await session.runner.run(what, utility, session.model, session.config.task_budget)


async def _evaluation(session: _ReplaySession, place: Place) -> None:
    identity, name, split, repetition = place
    task = next(task for task in session.tasks if task.name == name)
    source = session.recording.store.program(identity).source
    if program_id(source) == identity:  # not of a text beside Unicode, which was kept escaped
        session.store.add_program(source, "solution")
        await session.evaluator.evaluate(source, task, split, repetition=repetition)


# --- improver runs that meet recorded responses


@dataclass(frozen=True, slots=True)
class _ReplaySession(Session):
    """`before`: the configuration of the run, with its models."""

    recording: Recording
    before: RunConfig

    @property
    def runner(self) -> ImproverRunner:
        return _Runner(self)


class _Runner(ImproverRunner):
    """Executes what the recording has, and gives each improver run the responses of its place."""

    def __init__(self, session: _ReplaySession) -> None:
        super().__init__(
            session.pool,
            session.store,
            session.tape,
            session.security,
            progress=session.progress,
            guard=session.watch,
        )
        self._session = session

    async def run(
        self,
        what: Application,
        utility: HostUtility,
        model: LanguageModel,
        budget: ImproverBudget,
    ) -> ImproverRunRecord:
        session = self._session
        session.recording.check(what, session.tape.ledger.round)
        priced = model
        if budget.of_responses.limits:
            priced = _priced(session, what.level) or model
        answers = _Answers(session.recording, what, priced)
        return await super().run(what, utility, answers, budget)


def _priced(session: _ReplaySession, level: str) -> LanguageModel | None:
    """The run's own model, not started: an improver's limits depend on what it could cost then."""
    config = session.before
    spec, base_url = config.lm, config.base_url
    per_million = recorded_prices(session.recording.folder, level)
    if level == "meta" and config.meta_lm is not None:
        spec, base_url = config.meta_lm, config.meta_base_url or config.base_url
    try:
        options = LMOptions(price_per_million=per_million)
        return open_model(spec, base_url=base_url, options=options)
    except StopError:
        return None


class _Answers:
    """The model of one improver run (`stop.lm.base.LanguageModel`)."""

    context_tokens: int | None = None

    def __init__(self, recording: Recording, what: Application, priced: LanguageModel) -> None:
        self._recording = recording
        self._what = what
        self._priced = priced
        self.spec = f"tape:{recording.folder}"

    async def start(self) -> None:
        pass

    async def aclose(self) -> None:
        pass

    def facts(self) -> dict[str, Any]:
        return {}

    def worst_case(self, request: LMRequest) -> Usage:
        return self._priced.worst_case(request)

    async def complete(self, request: LMRequest) -> LMResponse:
        record = self._recording.find(request)
        if record is None:
            self._recording.miss(self._what, program_id(self._what.improver), request)
            raise LMRequestRefused("the tape has no answer to this request")
        return LMResponse(record.choices, record.usage, record.model)
