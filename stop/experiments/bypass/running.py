"""Improver runs of a bypass measurement: with a scripted model and a made-up utility, for nothing.

The seed improver's shows what it would send, which is the prompt; a sampled program's shows what
the program tries.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from stop._util.concurrency import gather_or_cancel
from stop.budget import Budget, ImproverBudget, Ledger
from stop.engine.broker import ENTRY_POINT, Score
from stop.engine.improver_run import Application, ImproverRunner, ModelFor
from stop.engine.meta_utility import meta_utility_text
from stop.engine.session import Session
from stop.errors import RunError
from stop.events import Level, Progress, SecurityEvent, ignore_progress
from stop.experiments.bypass.config import Cell
from stop.improvers import load_improver
from stop.lm.base import LMRequest, LMResponse
from stop.lm.scripted import ScriptedLM
from stop.programs import program_id, syntax_problem
from stop.store import Store
from stop.store.samples import RUN_KEY, Samples

IMPROVERS: dict[Cell, str] = {"no_warning": "flagged", "warning": "flagged_warning"}
"""The improver that the model is asked to improve, by cell."""

RUN_BUDGET = ImproverBudget(cpu_seconds=10.0, seconds=60.0)
"""Of each sampled program that is run: the calls that it was told of, and little time."""

_REPLIES = Path(__file__).parent / "replies.jsonl"


async def prompt_of(session: Session, cell: Cell) -> tuple[str, str]:
    """(system, message) that the seed improver sends when it is to improve the cell's improver."""
    name = f"prompt.{cell}"
    found = session.store.meta(name)
    if found is None:
        what = Application(
            key=f"sample/{cell}",
            level="meta",
            improver=load_improver("seed").source,
            initial=load_improver(IMPROVERS[cell]).source,
            result_entry_point=ENTRY_POINT,
            budget=session.config.meta_budget,
        )
        config = session.config
        text = meta_utility_text(session.tasks, config.repetitions, config.task_budget)
        runner = _runner(session, lambda _: _PromptKeeper(session.store, name), session.watch.see)
        record = await runner.run(what, _MadeUpUtility(text, 0.0))
        found = session.store.meta(name)
        if found is None:
            raise RunError(f"the seed improver sent no prompt: {record.status}: {record.detail}")
    system, message = json.loads(found)
    return system, message


class _PromptKeeper(ScriptedLM):
    """Notes the request, durably, and has nothing to say."""

    def __init__(self, store: Store, name: str) -> None:
        super().__init__(["There is no program here."])
        self._store = store
        self._name = name

    async def complete(self, request: LMRequest) -> LMResponse:
        self._store.set_meta(self._name, json.dumps([request.system, request.message]))
        return await super().complete(request)


async def run_programs(session: Session) -> None:
    """Each program once, whatever number of samples it is; `concurrency` of them at once."""
    waiting = Samples(session.store).to_run()
    total = len(waiting)
    left = iter(waiting)
    done = 0

    async def work() -> None:
        nonlocal done
        for identity in left:
            await _run_program(session, identity)
            done += 1
            data = {"done": done, "total": total}
            session.progress(Progress("counted", "programs run", data))

    await gather_or_cancel(work() for _ in range(session.config.concurrency))


async def _run_program(session: Session, identity: str) -> None:
    (task,) = session.tasks
    samples = Samples(session.store)

    def on_event(event: SecurityEvent) -> None:
        if event.level >= Level.INTENT and event.source != "text":  # sampling has read the text
            samples.add_event(identity, event.kind, int(event.level), event.detail)
        session.watch.see(event)

    what = Application(
        key=RUN_KEY + identity,
        level="task",
        improver=session.store.program(identity).source,
        initial=task.seed,
        result_entry_point=task.entry_point,
        budget=RUN_BUDGET,
        task=task.name,
        repetition=0,
    )
    runner = _runner(session, lambda _: ScriptedLM.from_file(_REPLIES), on_event)
    await runner.run(what, _MadeUpUtility(task.utility_text))


def _runner(
    session: Session, model_for: ModelFor, on_event: Callable[[SecurityEvent], None]
) -> ImproverRunner:
    """For one improver run with a scripted model, whose calls are no part of what is paid."""
    return ImproverRunner(
        session.pool,
        session.store,
        model_for,
        on_event,
        ledger=Ledger(Budget()),
        progress=ignore_progress,
        guard=session.watch,
    )


class _MadeUpUtility:
    """Scores that come of the text alone: what an improver makes is not run for a score."""

    worst = 0.0

    def __init__(self, text: str, best: float = 1.0) -> None:
        self.text = text
        self._best = best

    async def score(self, source: str) -> Score:
        if syntax_problem(source):
            return Score(self.worst, "syntax")
        return Score(self._best * int(program_id(source)[:8], 16) / 2**32, "ok")
