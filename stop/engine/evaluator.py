"""Scoring solutions: a program × a task × a split → an evaluation.

    program ──► sandbox: load, then one call per instance ──► outputs ──► Task.score on the host

The guest sees inputs only; expected answers, seeds and scores stay here. A program that fails is a
value with a status, never an exception.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol

from stop.audit.guard import NO_GUARD, Guard, Quarantined
from stop.audit.rules import findings
from stop.engine.trial import Trial
from stop.errors import SandboxBroken
from stop.events import SecurityEvent
from stop.programs import program_id, syntax_problem
from stop.sandbox.pool import SandboxPool
from stop.tasks.evaluation import Evaluation, InstanceResult, Status
from stop.tasks.task import Task


class EvaluationCache(Protocol):
    """Where finished evaluations are found again."""

    def find_evaluation(self, key: str) -> Evaluation | None: ...

    def save_evaluation(self, key: str, evaluation: Evaluation, repetition: int) -> None: ...


class NoCache:
    """For single evaluations outside a run."""

    def find_evaluation(self, key: str) -> Evaluation | None:
        return None

    def save_evaluation(self, key: str, evaluation: Evaluation, repetition: int) -> None:
        pass


class Evaluator:
    """Evaluates programs in one pool, with instances derived from one secret.

    Args:
        pool: where programs run.
        secret: of the run. All candidates meet the same instances (common random numbers), and
            no program or model can derive them.
        cache: finished evaluations by program, task, split, repetition and instances.
        on_evaluation: told of each evaluation that was really carried out, before it is kept.
        guard: which programs may run, and the record that one does.
    """

    def __init__(
        self,
        pool: SandboxPool,
        secret: bytes,
        cache: EvaluationCache | None = None,
        on_evaluation: Callable[[Evaluation], None] | None = None,
        guard: Guard = NO_GUARD,
    ) -> None:
        self.pool = pool
        self._secret = secret
        self._cache = cache or NoCache()
        self._on_evaluation = on_evaluation or (lambda _: None)
        self._guard = guard
        self._instances: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
        self._under_way: dict[str, asyncio.Task[Evaluation]] = {}

    async def evaluate(
        self, source: str, task: Task, split: str, *, repetition: int = 0
    ) -> Evaluation:
        """Score `source` on a split; asked twice at once, it runs once.

        Args:
            source: the program.
            task: with its limits and instance counts.
            split: "search", "meta" or "test".
            repetition: which set of instances of that split.

        Raises:
            SandboxError: the host cannot run programs any more.
        """
        if self._guard.refuses(program_id(source)):
            return self._quarantined(source, task, split)
        key = self._key(source, task, split, repetition)
        found = self._cache.find_evaluation(key)
        if found is not None:
            return found
        if key not in self._under_way:
            work = self._evaluate(source, task, split, repetition)
            job = asyncio.create_task(self._carry_out(work, key, repetition))
            self._under_way[key] = job
            job.add_done_callback(lambda _: self._under_way.pop(key, None))
        try:
            return await asyncio.shield(self._under_way[key])
        except Quarantined:
            return self._quarantined(source, task, split)

    def _quarantined(self, source: str, task: Task, split: str) -> Evaluation:
        head = (program_id(source), task.name, split, task.score_range[0])
        return Evaluation(*head, "quarantined", "not executed any more", self.pool.label)

    async def aclose(self) -> None:
        """Give up what is still under way."""
        jobs = list(self._under_way.values())
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    def _key(self, source: str, task: Task, split: str, repetition: int) -> str:
        return evaluation_key(
            self._secret,
            program_id(source),
            task.digest,
            split=split,
            repetition=repetition,
            isolation=self.pool.label,
        )

    async def _carry_out(self, work: Any, key: str, repetition: int) -> Evaluation:
        evaluation: Evaluation = await work
        try:
            self._on_evaluation(evaluation)  # on record before anyone learns the score
        finally:
            self._cache.save_evaluation(key, evaluation, repetition)
        return evaluation

    async def _evaluate(self, source: str, task: Task, split: str, repetition: int) -> Evaluation:
        identity = program_id(source)
        head = (identity, task.name, split)
        if problem := syntax_problem(source, task.entry_point):
            low, events = task.score_range[0], tuple(_findings(source, identity))
            return Evaluation(*head, low, "syntax", problem, self.pool.label, events=events)
        instances = await self._instances_of(task, split, repetition)
        trial = Trial(source, task, partial(self._alone, identity))
        with self._guard.effect("evaluation", program_id=identity, task=task.name, split=split):
            running = asyncio.create_task(self._run(identity, trial, instances))
            try:
                await asyncio.sleep(0)  # it is on its way; meanwhile its text is looked at
                found = _findings(source, identity)
                results, outputs = await running
            except BaseException:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                self._guard.report(trial.events(identity))
                raise
        found += trial.events(identity)
        status, detail = _summary(results)
        score = sum(r.score for r in results) / len(results)
        return Evaluation(
            *head,
            score,
            status,
            detail,
            self.pool.label,
            tuple(results),
            tuple(found),
            *outputs,
            task.score_range,
        )

    async def _run(
        self, identity: str, trial: Trial, instances: list[dict[str, Any]]
    ) -> tuple[list[InstanceResult], tuple[str, str]]:
        try:
            return await self._twice(identity, trial, instances)
        except SandboxBroken as error:
            verdict: Status = "oom" if error.out_of_memory else "error"
            detail = f"the sandbox did not survive this program: {error.message}"
            return [InstanceResult(trial.low, verdict, 0.0, detail)], ("", "")

    async def _twice(
        self, identity: str, trial: Trial, instances: list[dict[str, Any]]
    ) -> tuple[list[InstanceResult], tuple[str, str]]:
        """A sandbox that breaks may be another program's doing, or the machine's: once more."""
        try:
            async with self.pool.evaluation_guest() as guest:
                self._guard.admit(identity)
                return await trial.run(guest, instances)
        except SandboxBroken:
            async with self.pool.evaluation_guest(fresh=True) as guest:
                self._guard.admit(identity)
                return await trial.run(guest, instances)

    @asynccontextmanager
    async def _alone(self, identity: str) -> AsyncIterator[None]:
        async with self.pool.alone():
            self._guard.admit(identity)  # the wait may have been long
            yield

    async def _instances_of(self, task: Task, split: str, repetition: int) -> list[dict[str, Any]]:
        key = (task.digest, split, repetition)
        if key not in self._instances:
            made = await asyncio.to_thread(task.instances, split, self._secret, repetition)
            self._instances[key] = made
        return self._instances[key]


def evaluation_key(
    secret: bytes,
    program: str,
    task_digest: str,
    *,
    split: str,
    repetition: int,
    isolation: str,
) -> str:
    """The name of an evaluation: what was scored, on which instances of which files, and where."""
    parts = (program, task_digest, split, repetition, 0, isolation)  # 0: see `Job.random_seed`
    return hmac.digest(secret, repr(parts).encode(), "sha256").hex()


def _findings(source: str, identity: str) -> list[SecurityEvent]:
    """What the program's text shows."""
    return [
        SecurityEvent(f.rule, f.level, f"line {f.line}: {f.evidence}", identity, source="text")
        for f in findings(source)
    ]


def _summary(results: list[InstanceResult]) -> tuple[Status, str]:
    bad = [r for r in results if r.status != "ok"]
    if not bad:
        return "ok", ""
    first = bad[0]
    share = "" if len(results) == 1 else f" ({len(bad)} of {len(results)} instances)"
    return first.status, first.detail + share
