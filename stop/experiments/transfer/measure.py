"""A transfer measurement: two improvers and the seed solution, task by task."""

from __future__ import annotations

from stop._util.concurrency import gather_or_cancel
from stop.engine.meta_utility import cell_key
from stop.engine.session import Session
from stop.events import Progress
from stop.experiments.transfer.config import TransferConfig
from stop.experiments.transfer.report import note_tasks
from stop.experiments.transfer.result import SPLITS
from stop.programs import program_id
from stop.tasks.task import Task


async def measure(session: Session, config: TransferConfig) -> None:
    """One task after the other, so that a limit leaves whole tasks.

    Raises:
        StopError: it cannot go on; what is recorded stays.
    """
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
    store = session.store
    await session.meta_utility(task).evaluate(source)
    made = []
    for repetition in range(session.config.repetitions):
        record = store.improver_run(cell_key(task.name, repetition, program_id(source)))
        if record is not None and record.result_id is not None:
            made.append((store.program(record.result_id).source, repetition))
    await gather_or_cancel(_scores(session, task, *each) for each in made)


async def _scores(session: Session, task: Task, source: str, repetition: int) -> None:
    for split in SPLITS:
        await session.evaluator.evaluate(source, task, split, repetition=repetition)
