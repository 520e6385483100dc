"""One application of an improver to a program of a task, as a kind of run."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stop._util.documents import to_document
from stop._util.sheet import Code, Sheet, cost, number, short, to_html
from stop.audit import log as audit_log
from stop.budget import LMCost
from stop.engine.improver_run import Application
from stop.engine.session import Session
from stop.engine.task_utility import TaskUtility
from stop.errors import RunError
from stop.events import ProgressListener
from stop.experiments.documents import SeenEvent
from stop.experiments.improve.config import ImproveConfig
from stop.experiments.kind import Ends, Kind, Outcome
from stop.experiments.no_result import QUARANTINED, raise_if_refused
from stop.improvers import load_improver
from stop.store import ImproverRunRecord, Store


@dataclass(frozen=True, slots=True)
class ProgramAndScore:
    """A program with its score.

    Attributes:
        program_id: SHA-256 of its bytes.
        score: on instances of the meta split.
    """

    program_id: str
    source: str = field(metadata={"exclude": True})
    score: float


@dataclass(frozen=True, slots=True)
class Improved:
    """The result of `improve`: a program and its score, next to the initial one's.

    Attributes:
        source: text of the program, the initial one when the improver returned none.
        program_id: SHA-256 of its bytes.
        score: on instances of the meta split, which the improver did not see.
        status: "ok", or why there is no better program; `detail` explains it.
        before: the initial program.
        lm: what the language model cost.
        utility_calls: programs that the improver had scored.
        events: security events, oldest first.
        run: folder of the run.
    """

    source: str
    program_id: str
    score: float
    status: str
    detail: str
    before: ProgramAndScore
    lm: LMCost
    utility_calls: int
    events: tuple[SeenEvent, ...]
    run: Path

    @property
    def folder(self) -> Path:
        """Folder of the run, as of other results."""
        return self.run

    def to_dict(self) -> dict[str, Any]:
        """As `stop improve --json` prints it."""
        return to_document(self)

    def sheet(self) -> Sheet:
        """Returns the result as people read it."""
        before, after = (
            text.splitlines(keepends=True) for text in (self.before.source, self.source)
        )
        diff = "".join(difflib.unified_diff(before, after, "before", "after"))
        facts = {
            "before": f"{number(self.before.score)}  {short(self.before.program_id)}",
            "after": f"{number(self.score)}  {short(self.program_id)}",
        }
        if self.status != "ok":
            facts["status"] = f"{self.status}: {self.detail}"
        return [
            Code(diff or "(the program did not change)"),
            facts | {"cost": cost(self.lm)},
        ]

    def _repr_html_(self) -> str:
        return to_html(self.sheet())


class _Improve(Kind[ImproveConfig]):
    name = "improve"
    programs = "solution"
    config = ImproveConfig

    async def work(self, session: Session, config: ImproveConfig) -> Improved:
        """Apply the improver once, and score its program next to the initial one.

        Raises:
            StopError: there is no result; what was paid for is recorded.
        """
        (task,) = session.tasks
        initial = task.seed if config.program is None else config.program
        async with session.working():
            what = Application(
                key=f"improve/{task.name}",
                level="task",
                improver=config.improver or load_improver("seed").source,
                initial=initial,
                result_entry_point=task.entry_point,
                budget=config.task_budget,
                task=task.name,
                repetition=0,
            )
            before = await session.evaluator.evaluate(initial, task, "meta")
            run = await session.runner.run(what, TaskUtility(session.evaluator, task, 0))
            source = session.store.program(run.result_id).source if run.result_id else initial
            if run.result_id is not None and session.watch.refuses(run.result_id):
                source, run = initial, replace(run, status="quarantined", detail=QUARANTINED)
            raise_if_refused(run.cause, run.detail)
            after = await session.evaluator.evaluate(source, task, "meta")
        failed = run.status != "ok"
        events = audit_log.read(session.audit.path, "security")
        return Improved(
            source=source,
            program_id=after.program_id,
            score=after.score,
            status=run.status if failed else after.status,
            detail=run.detail if failed else after.detail,
            before=ProgramAndScore(before.program_id, initial, before.score),
            lm=session.store.spending().cost(),
            utility_calls=run.utility_calls,
            events=tuple(
                {"kind": e["event"], "level": e["level"], "detail": e["detail"]} for e in events
            ),
            run=session.folder,
        )

    def carry_on(
        self, folder: Path, config: ImproveConfig, progress: ProgressListener, reason: str = ""
    ) -> Improved:
        """As `Kind.carry_on`; without a result there is nothing to return.

        Raises:
            StopError: no result. What was paid for is in the run folder.
        """
        result: Improved = self.work_in_session(folder, config, progress, reason)
        return result

    def outcome(self, store: Store, config: ImproveConfig) -> Outcome:
        run = _improver_run(store)
        if run is None:
            return Outcome()
        result = run.result_id or (None if run.status == "running" else run.initial_id)
        return Outcome(before=_meta_score(store, run.initial_id), after=_meta_score(store, result))

    def ends(self, store: Store, config: ImproveConfig) -> Ends:
        run = _improver_run(store)
        if run is None:
            return Ends()
        return Ends(run.initial_id, run.result_id or run.initial_id, "before", "after")

    def best(self, store: Store, config: ImproveConfig) -> str:
        """The program that the improver returned."""
        run = _improver_run(store)
        if run is None or run.result_id is None:
            raise RunError(f"{store.path.parent} has made no program yet")
        return run.result_id

    def first(self, store: Store, config: ImproveConfig) -> str:
        """The program that the improver was applied to."""
        run = _improver_run(store)
        if run is None:
            raise RunError(f"{store.path.parent} has begun with no program yet")
        return run.initial_id


IMPROVE = _Improve()


def _improver_run(store: Store) -> ImproverRunRecord | None:
    return next(iter(store.improver_runs("task")), None)


def _meta_score(store: Store, program: str | None) -> float | None:
    row = store.query(
        "SELECT score FROM evaluations WHERE program_id = ? AND split = 'meta' "
        "ORDER BY created DESC LIMIT 1",
        (program,),
    ).fetchone()
    return None if row is None else float(row[0])
