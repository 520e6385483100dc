"""Scoring solutions: a program × a task × a split → an evaluation.

    program ──► sandbox: load, then one call per instance ──► outputs ──► Task.score on the host

The guest sees inputs only; expected answers, seeds and scores stay here. A program that fails is a
value with a status, never an exception.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Protocol

from stop.audit.evidence import seen
from stop.audit.guard import NO_GUARD, Guard, Quarantined
from stop.audit.rules import findings
from stop.errors import SandboxBroken
from stop.events import SecurityEvent, Source
from stop.programs import program_id, syntax_problem
from stop.sandbox.pool import SandboxPool
from stop.sandbox.protocol import Answer, Guest, Job
from stop.tasks.evaluation import Evaluation, InstanceResult, Status
from stop.tasks.task import InvalidAnswer, Task

MAX_ATTEMPTS = 10
"""Of one kind, seen by the same, in one evaluation; the relay counts what goes beyond."""

GIVE_UP_AFTER = 3
"""So many instances in a row that had to be killed, and none good so far: the rest is not run."""

_NEARLY_ALL = 0.9
"""Share of its CPU time from which a program that the clock stops is not stopped early."""
_IDLE = 0.1
"""Share of its CPU time below which a program that had the machine for itself was waiting."""
_AT_FIRST = "stopped by the clock at first, run again alone"


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
        trial = _Trial(_job(source, task), task, partial(self._alone, identity))
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
        self, identity: str, trial: _Trial, instances: list[dict[str, Any]]
    ) -> tuple[list[InstanceResult], tuple[str, str]]:
        try:
            return await self._twice(identity, trial, instances)
        except SandboxBroken as error:
            verdict: Status = "oom" if error.out_of_memory else "error"
            detail = f"the sandbox did not survive this program: {error.message}"
            return [InstanceResult(trial.low, verdict, 0.0, detail)], ("", "")

    async def _twice(
        self, identity: str, trial: _Trial, instances: list[dict[str, Any]]
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


def _job(source: str, task: Task) -> Job:
    limits = task.limits
    return Job(
        source=source,
        entry_point=task.entry_point,
        memory_mb=limits.memory_mb,
        output_bytes=limits.output_kb << 10,
    )


class _Try(NamedTuple):
    """One try at an instance.

    Attributes:
        alive: whether the program can be called again.
        loaded: False: it fails before the first question, and so it would for every instance.
        early: the clock stopped it before it had used its CPU time.
    """

    result: InstanceResult
    alive: bool = True
    loaded: bool = True
    early: bool = False


class _Trial:
    """One program over all instances; a killed program is started again for the rest.

    A busy machine may be why the clock stops a program early, so such an instance is run again
    alone before it counts, unless the program was as late alone: waiting once, or too often.

    Args:
        alone: within it, no other evaluation runs.

    Attributes:
        low: the score of an instance that failed.
        attempts: what it attempted, as (kind, detail, source), each once.
    """

    def __init__(
        self, job: Job, task: Task, alone: Callable[[], AbstractAsyncContextManager[None]]
    ) -> None:
        self._guest: Guest
        self._job = job
        self._task = task
        self._alone = alone
        self.low = task.score_range[0]
        self._running = False
        self._in_vain = 0  # instances that were stopped early alone, too
        self._out = ""
        self._err = ""
        self.attempts: dict[tuple[str, str, Source], None] = {}

    async def run(
        self, guest: Guest, instances: list[dict[str, Any]]
    ) -> tuple[list[InstanceResult], tuple[str, str]]:
        """Ask for every instance; `SandboxBroken` when the guest is gone."""
        self._guest, self._running = guest, False
        try:
            return await self._all(instances)
        finally:
            self._note_signs()

    async def _all(
        self, instances: list[dict[str, Any]]
    ) -> tuple[list[InstanceResult], tuple[str, str]]:
        results: list[InstanceResult] = []
        killed = 0
        for instance in instances:
            tried = await self._try(instance)
            if tried.early and self._in_vain < GIVE_UP_AFTER:
                tried = await self._try_alone(instance)
            results.append(tried.result)
            killed += not tried.alive
            hopeless = killed >= GIVE_UP_AFTER and not any(r.status == "ok" for r in results)
            if hopeless or not tried.loaded:
                break
        if self._running:
            await self._end()
        missing = len(instances) - len(results)
        results += [
            InstanceResult(r.score, r.status, 0.0, "not run: the ones before all failed")
            for r in results[-1:] * missing
        ]
        return results, (self._out, self._err)

    async def _try(self, instance: dict[str, Any], *, alone: bool = False) -> _Try:
        if not self._running:
            answer = await self._guest.start(self._job)
            if answer.status != "ok":
                tried = self._failed(answer, answer.cpu_seconds, self._job.load_cpu_seconds)
                detail = "at its top level: " + tried.result.detail
                await self._end()
                return tried._replace(
                    result=replace(tried.result, detail=detail), alive=False, loaded=False
                )
            self._running = True
        limits = self._task.limits
        wall_seconds = limits.alone_wall_seconds if alone else limits.wall_seconds
        tried = await self._one(instance, wall_seconds)
        if not tried.alive:
            await self._end()
        return tried

    async def _try_alone(self, instance: dict[str, Any]) -> _Try:
        async with self._alone():
            tried = await self._try(instance, alone=True)
        result = tried.result
        if tried.early:
            waited = result.cpu_seconds < _IDLE * self._task.limits.cpu_seconds
            self._in_vain += GIVE_UP_AFTER if waited else 1
            detail = f"{result.detail}, also alone"
        else:
            detail = f"{result.detail}; {_AT_FIRST}" if result.detail else _AT_FIRST
        return tried._replace(result=replace(result, detail=detail))

    async def _one(self, instance: dict[str, Any], wall_seconds: float) -> _Try:
        limits = self._task.limits
        moves = self._task.play(instance)
        cpu = wall = 0.0
        try:
            arguments = next(moves)
            while True:
                answer = await self._guest.call(
                    arguments,
                    cpu_seconds=limits.cpu_seconds - cpu,
                    wall_seconds=wall_seconds - wall,
                )
                cpu += answer.cpu_seconds
                wall += answer.wall_seconds
                if answer.status != "ok":
                    return self._failed(answer, cpu, limits.cpu_seconds)
                arguments = moves.send(answer.value)
        except StopIteration as done:
            output = done.value
        except InvalidAnswer as error:
            return _Try(InstanceResult(self.low, "invalid", cpu, str(error)))
        try:
            return _Try(InstanceResult(self._task.score(instance, output), "ok", cpu))
        except InvalidAnswer as error:
            return _Try(InstanceResult(self.low, "invalid", cpu, str(error)))

    def _failed(self, answer: Answer, cpu: float, limit: float) -> _Try:
        """`cpu` of `limit` seconds were used for the instance, or for loading."""
        if answer.violation:
            self._note("frames", answer.detail, "host")
        detail = answer.detail
        if answer.by_clock:
            detail = f"stopped by the clock after {cpu:.2f} of {limit} CPU seconds"
        early = answer.by_clock and cpu < _NEARLY_ALL * limit
        return _Try(InstanceResult(self.low, answer.status, cpu, detail), answer.alive, early=early)

    async def _end(self) -> None:
        self._running = False
        output = await self._guest.end()
        self._out, self._err = self._out or output.stdout, self._err or output.stderr
        if output.violation:
            self._note("frames", output.violation, "host")
        self._note_signs()

    def _note_signs(self) -> None:
        for sign in self._guest.signs:
            self._note(sign.kind, sign.detail, sign.source)

    def events(self, identity: str) -> list[SecurityEvent]:
        """What the program of this id attempted so far."""
        return [seen(*attempt, program_id=identity) for attempt in self.attempts]

    def _note(self, kind: str, detail: str, source: Source) -> None:
        if sum(k == kind and s == source for k, _, s in self.attempts) < MAX_ATTEMPTS:
            self.attempts[(kind, detail, source)] = None


def _summary(results: list[InstanceResult]) -> tuple[Status, str]:
    bad = [r for r in results if r.status != "ok"]
    if not bad:
        return "ok", ""
    first = bad[0]
    share = "" if len(results) == 1 else f" ({len(bad)} of {len(results)} instances)"
    return first.status, first.detail + share
