"""Doing a run again: the same configuration and instances, responses from the recording."""

from __future__ import annotations

import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from stop._util.concurrency import gather_or_cancel, run_sync
from stop._util.progress import default_listener
from stop.config import RunConfig
from stop.engine.improver_run import Application
from stop.engine.opening import open_session
from stop.engine.session import Session
from stop.engine.task_utility import TaskUtility
from stop.errors import BudgetExceeded, ConfigError, LMError, PolicyHalt, RunError, StopError
from stop.events import Progress, ProgressListener
from stop.experiments import kind_of, read_config
from stop.lm import open_model
from stop.lm.base import LanguageModel
from stop.lm.options import LMOptions
from stop.programs import program_id
from stop.replays.answers import Answers
from stop.replays.comparing import compare
from stop.replays.differences import Replay
from stop.replays.recording import EndOfRecording, Recording, open_recording
from stop.runs.folder import fill_folder, run_tasks
from stop.runs.provenance import recorded_prices
from stop.sandbox import SANDBOX_CHOICES
from stop.store import ImproverRunRecord
from stop.store.recorded import Place, evaluation_records
from stop.tasks.task import Task

_CAUSES = ("stop", "python", "numpy", "sandbox", "image")
"""Of the facts that a run notes: those that its programs could notice."""


def replay(
    folder: str | Path,
    *,
    sandbox: str | None = None,
    keep: str | Path | None = None,
    progress: ProgressListener | None = None,
) -> Replay:
    """Do a run again from its tape and compare; nothing in its folder changes.

    Args:
        folder: of a run of any kind; one that is not done is compared as far as it went.
        sandbox: another backend than the run's.
        keep: a new folder for the repetition, a run like any other; None: it is not kept.
        progress: called with each Progress event; defaults as of `stop.run`.

    Raises:
        RunError: there is no run, or a process is at work on it.
        SandboxError: programs cannot be run here as they were.
    """
    folder = Path(folder)
    config = read_config(folder)
    with open_recording(folder) as recording:
        if recording.store.meta("status") is None:
            raise RunError(f"{folder} holds nothing to replay: its work never began")
        with _place(keep) as target:
            again = _repeated(config, recording, sandbox)
            try:
                fill_folder(target, again, recording.secret, run_tasks(folder, config))
            except OSError as error:
                raise ConfigError(f"{target} cannot be written: {error.strerror}") from error
            listener = progress or default_listener()
            result = run_sync(_repetition(recording, config, target, again, listener))
            return replace(result, kept=None if keep is None else target)


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


def _repeated(config: RunConfig, recording: Recording, sandbox: str | None) -> RunConfig:
    """The same configuration, but for what ended the run: where it ended is known."""
    recorded = (recording.store.meta("version.sandbox") or "").partition("/")[0]
    if sandbox is None and recorded in SANDBOX_CHOICES:
        sandbox = recorded
    return config.unlimited().model_copy(
        update={
            "lm": f"tape:{recording.folder.resolve()}",
            "meta_lm": None,
            "base_url": None,
            "meta_base_url": None,
            "policy": "log" if config.policy == "halt" else config.policy,
            "sandbox": sandbox or config.sandbox,
        }
    )


async def _repetition(
    recording: Recording,
    config: RunConfig,
    target: Path,
    again: RunConfig,
    progress: ProgressListener,
) -> Replay:
    """Repeats a run of the configuration `config` in the folder `target`, with that of `again`."""
    ended = ""
    async with open_session(target, again, progress) as opened:
        session = replace(opened, model_of=partial(_model_of, recording, config, opened))
        causes = _causes(recording, session)
        for cause in causes:
            progress(Progress("message", cause))
        try:
            await kind_of(again).work(session, again)
        except (LMError, BudgetExceeded, PolicyHalt, EndOfRecording, RunError) as error:
            ended = error.message
        await _rest(recording, session)
        differences, compared = compare(recording, session, ended)
    return Replay(recording.folder, tuple(differences), tuple(causes), compared, ended)


def _model_of(
    recording: Recording, config: RunConfig, session: Session, what: Application
) -> LanguageModel:
    """Executes what the recording has, with the responses of its place."""
    recording.check(what, session.tape.ledger.round)
    limited = what.budget.of_responses.limits
    priced = _priced(recording, config, what.level) if limited else None
    return Answers(recording, what, priced or session.model)


def _priced(recording: Recording, config: RunConfig, level: str) -> LanguageModel | None:
    """The run's own model, not started: limits of money depend on what it could cost then."""
    spec, base_url = config.lm, config.base_url
    if level == "meta" and config.meta_lm is not None:
        spec, base_url = config.meta_lm, config.meta_base_url or config.base_url
    prices = recorded_prices(recording.folder, level)
    try:
        return open_model(spec, base_url=base_url, options=LMOptions(price_per_million=prices))
    except StopError:
        return None


def _causes(recording: Recording, session: Session) -> list[str]:
    """What is not as it was, apart from the programs."""
    found = []
    for name in _CAUSES:
        then, now = (store.meta(f"version.{name}") for store in (recording.store, session.store))
        if then is not None and then != now:
            found.append(f"{name} was {then[:40]}, is {(now or 'unknown')[:40]}")
    changed = recording.changed_tasks(session.all_tasks)
    return [*found, *(f"the files of the task {name} have changed" for name in changed)]


# --- what the way of the run did not lead to: after a difference it may have been another way


async def _rest(recording: Recording, session: Session) -> None:
    """Each improver run on a task, and each evaluation, that is recorded and was not repeated."""
    tasks = {task.name: task for task in session.all_tasks}
    if kind_of(session.config).improver_runs_on_tape:
        ended = {run.key for run in session.store.improver_runs() if run.status != "running"}
        runs = [
            (record, task)
            for record in recording.runs.values()
            if record.level == "task" and (task := tasks.get(record.task or ""))
            and recording.finished(record.key) and record.key not in ended
        ]  # fmt: skip
        await _some_at_once(session, (_improver_run(recording, session, *each) for each in runs))
    there = evaluation_records(session.store)
    left = [place for place in recording.evaluations if place not in there and place[1] in tasks]
    scores = (_evaluation(recording, session, place, tasks[place[1]]) for place in left)
    await _some_at_once(session, scores)


async def _some_at_once(session: Session, work: Iterator[Coroutine[Any, Any, None]]) -> None:
    async def worker() -> None:
        for each in work:
            await each

    await gather_or_cancel(worker() for _ in range(session.config.concurrency))


async def _improver_run(
    recording: Recording, session: Session, record: ImproverRunRecord, task: Task
) -> None:
    what = Application(
        key=record.key,
        level="task",
        improver=recording.store.program(record.improver_id).source,
        initial=recording.store.program(record.initial_id).source,
        result_entry_point=task.entry_point,
        budget=session.config.task_budget,
        round=record.round,
        task=task.name,
        repetition=record.repetition,
    )
    utility = TaskUtility(session.evaluator, task, record.repetition or 0)
    await session.runner.run(what, utility)


async def _evaluation(recording: Recording, session: Session, place: Place, task: Task) -> None:
    identity, _, split, repetition = place
    source = recording.store.program(identity).source
    if program_id(source) == identity:  # not of a text beyond Unicode, which was kept escaped
        session.store.add_program(source, "solution")
        await session.evaluator.evaluate(source, task, split, repetition=repetition)
