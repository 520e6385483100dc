"""The utility of one task, as an improver meets it."""

from __future__ import annotations

from stop.engine.broker import Score
from stop.engine.evaluator import Evaluator
from stop.tasks.task import Task


class TaskUtility:
    """Mean score of a program on the `search` split of a task (`stop.engine.broker.HostUtility`).

    Args:
        evaluator: scores the program.
        task: whose utility it is.
        repetition: which set of instances of the split.
    """

    def __init__(self, evaluator: Evaluator, task: Task, repetition: int) -> None:
        self._evaluator = evaluator
        self._task = task
        self._repetition = repetition

    @property
    def text(self) -> str:
        return self._task.utility_text

    @property
    def worst(self) -> float:
        return self._task.score_range[0]

    async def score(self, source: str) -> Score:
        evaluation = await self._evaluator.evaluate(
            source, self._task, "search", repetition=self._repetition
        )
        return Score(evaluation.score, evaluation.status)
