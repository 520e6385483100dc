"""A transfer measurement: two improvers and the seed solution, task by task."""

from __future__ import annotations

from pathlib import Path

from stop._util.concurrency import gather_or_cancel
from stop.config import RunConfig, TransferConfig
from stop.engine.broker import ENTRY_POINT
from stop.engine.meta_utility import MetaUtility, cell_key
from stop.engine.session import Session
from stop.errors import ConfigError, ProgramError
from stop.events import Progress, ProgressListener
from stop.experiments.transfer.report import SPLITS, Transfer, note_tasks
from stop.experiments.working import work_on
from stop.improvers import load_improver
from stop.programs import program_id, syntax_problem
from stop.tasks.task import Task


def transfer_config(
    base: RunConfig, improved: str, *, origin: str, trained_on: tuple[str, ...] | None
) -> RunConfig:
    """The configuration of a measurement.

    Args:
        base: tasks, repetitions, model, budgets; its improver is what is compared with.
        improved: source text of the improved improver.
        origin: where it comes from, for readers.
        trained_on: names of the tasks that it was improved on; None: not known.

    Raises:
        ProgramError: it is no improver.
        ConfigError: both improvers are the same.
    """
    if problem := syntax_problem(improved, ENTRY_POINT):
        raise ProgramError(f"{origin} is no improver: {problem}")
    baseline = base.improver or load_improver("seed").source
    if program_id(improved) == program_id(baseline):
        raise ConfigError(
            f"{origin} is the very program it would be compared with: nothing was improved",
            hint="take a run that accepted an improver, or --improver FILE",
        )
    wanted = TransferConfig(improver=improved, origin=origin, trained_on=trained_on)
    return base.changed(kind="transfer", improver=baseline, transfer=wanted)


def carry_on(
    folder: Path, config: RunConfig, progress: ProgressListener, reason: str = ""
) -> Transfer:
    """Do what a measurement lacks."""
    return Transfer(folder, work_on(folder, config, progress, measure, reason))


async def measure(session: Session) -> None:
    """One task after the other, so that a limit leaves whole tasks.

    Raises:
        StopError: it cannot go on; what is recorded stays.
    """
    config = session.config
    assert config.transfer is not None and config.improver is not None
    for source in (config.improver, config.transfer.improver):
        session.store.add_program(source, "improver")
    note_tasks(session.store, session.tasks)
    async with session.working():
        for number, task in enumerate(session.tasks):
            text = f"task {number + 1} of {len(session.tasks)}: {task.name}"
            session.progress(Progress("message", text))
            await _seed_solution(session, task)
            for source in (config.improver, config.transfer.improver):
                await _improver(session, task, source)


async def _seed_solution(session: Session, task: Task) -> None:
    await gather_or_cancel(
        _scores(session, task, task.seed, repetition)
        for repetition in range(session.config.repetitions)
    )


async def _improver(session: Session, task: Task, source: str) -> None:
    """Its meta-utility on one task, then what it made on instances of the `test` split."""
    config, store = session.config, session.store
    utility = MetaUtility(
        [task],
        config.repetitions,
        evaluator=session.evaluator,
        runner=session.runner,
        store=store,
        model=session.model,
        budget=config.task_budget,
    )
    await utility.evaluate(source)
    made = []
    for repetition in range(config.repetitions):
        record = store.improver_run(cell_key(task.name, repetition, program_id(source)))
        if record is not None and record.result_id is not None:
            made.append((store.program(record.result_id).source, repetition))
    await gather_or_cancel(_scores(session, task, *each) for each in made)


async def _scores(session: Session, task: Task, source: str, repetition: int) -> None:
    for split in SPLITS:
        await session.evaluator.evaluate(source, task, split, repetition=repetition)
