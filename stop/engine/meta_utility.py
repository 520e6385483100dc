"""The meta-utility: how good are the programs that an improver makes of the tasks' seeds?

    û(I) = mean over tasks, repetitions of  u_meta( I(u_search, seed, L) )

The improver works with scores on the `search` split; what it returns is scored on `meta`, as a
share of the task's range of scores: tasks of any scale count the same. Every improver meets the
same instances. Its programs are improvers, so each cell is an improver run one level down; cells
run concurrently and are computed once for each improver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stop._util.concurrency import gather_or_cancel
from stop._util.statistics import Cell, Estimate, stratified_mean
from stop.budget import ImproverBudget
from stop.engine.broker import ENTRY_POINT, Score
from stop.engine.evaluator import Evaluator
from stop.engine.improver_run import Application, ImproverRunner
from stop.engine.task_utility import TaskUtility
from stop.programs import program_id, syntax_problem
from stop.store import ImproverRunRecord, Store
from stop.tasks.evaluation import Cause
from stop.tasks.task import Task


def meta_utility_text(tasks: Sequence[Task], repetitions: int, budget: ImproverBudget) -> str:
    """What a model reads of û over these tasks, with this budget of each improver run."""
    template = (Path(__file__).parent / "meta_utility.txt").read_text("utf-8")
    return template.format(
        tasks=", ".join(task.name for task in tasks),
        repetitions=repetitions,
        utility_calls=budget.utility_calls,
        lm_calls=budget.lm_calls,
        responses=budget.responses_per_call,
    )


@dataclass(frozen=True, slots=True)
class MetaEvaluation:
    """An improver's meta-utility with its cells.

    Attributes:
        failures: improver runs without a program.
        detail, cause: of the first of them.
    """

    estimate: Estimate
    cells: tuple[Cell, ...]
    failures: int
    detail: str = ""
    cause: Cause = ""

    @property
    def works(self) -> bool:
        """Whether the improver returned a program at least once."""
        return self.failures < len(self.cells)


def cell_key(task: str, repetition: int, improver_id: str) -> str:
    """The key of the improver run that is one cell of an improver's meta-utility."""
    return f"task/{task}/{repetition}/{improver_id}"


class MetaUtility:
    """û: scores improvers. Also the utility of the meta level (`stop.engine.broker.HostUtility`).

    Args:
        tasks: the downstream tasks.
        repetitions: improver runs for each task.
        evaluator: scores solutions.
        runner: carries out improver runs.
        store: where programs are found again.
        budget: of each improver run on a task.
    """

    worst = 0.0

    def __init__(
        self,
        tasks: Sequence[Task],
        repetitions: int,
        *,
        evaluator: Evaluator,
        runner: ImproverRunner,
        store: Store,
        budget: ImproverBudget,
    ) -> None:
        self._tasks = list(tasks)
        self._repetitions = repetitions
        self._evaluator = evaluator
        self._runner = runner
        self._store = store
        self._budget = budget

    @property
    def text(self) -> str:
        """What the model reads of û when it rewrites an improver."""
        return meta_utility_text(self._tasks, self._repetitions, self._budget)

    async def score(self, source: str) -> Score:
        if syntax_problem(source, ENTRY_POINT):
            return Score(self.worst, "syntax")
        evaluation = await self.evaluate(source)
        return Score(evaluation.estimate.mean, "ok" if evaluation.works else "error")

    async def evaluate(self, source: str) -> MetaEvaluation:
        """The selection cells of one improver: those that an improver's utility calls see."""
        return await self.on_cells(source, range(self._repetitions))

    async def on_cells(self, source: str, repetitions: Sequence[int]) -> MetaEvaluation:
        """Measures an improver on these repetitions of all tasks (`stop.engine.cells`).

        What was computed before is looked up.
        """
        places = [(task, r) for task in self._tasks for r in repetitions]
        results = await gather_or_cancel(self._cell(source, task, r) for task, r in places)
        cells = tuple(cell for cell, _ in results)
        failed = [record for _, record in results if record.status != "ok"]
        detail = f"{failed[0].status}: {failed[0].detail}" if failed else ""
        cause = failed[0].cause if failed else ""
        return MetaEvaluation(stratified_mean(cells), cells, len(failed), detail, cause)

    async def _cell(
        self, source: str, task: Task, repetition: int
    ) -> tuple[Cell, ImproverRunRecord]:
        what = Application(
            key=cell_key(task.name, repetition, program_id(source)),
            level="task",
            improver=source,
            initial=task.seed,
            result_entry_point=task.entry_point,
            budget=self._budget,
            task=task.name,
            repetition=repetition,
        )
        utility = TaskUtility(self._evaluator, task, repetition)
        record = await self._runner.run(what, utility)
        if record.result_id is None:
            return Cell(task.name, repetition, 0.0), record
        solution = self._store.program(record.result_id).source
        evaluation = await self._evaluator.evaluate(solution, task, "meta", repetition=repetition)
        return Cell(task.name, repetition, task.share(evaluation.score)), record
