"""One program over the instances of an evaluation: each is tried, and judged on the host.

load ─► one instance after the other ─► outputs ─► Task.score
          └─ killed: started again for the rest; stopped early by the clock: once more, alone
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, NamedTuple

from stop.audit.evidence import seen
from stop.events import SecurityEvent, Source
from stop.sandbox.protocol import Answer, Guest, Job
from stop.tasks.evaluation import InstanceResult
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


class Trial:
    """One program over all instances; a killed program is started again for the rest.

    A busy machine may be why the clock stops a program early, so such an instance is run again
    alone before it counts, unless the program was as late alone: waiting once, or too often.

    Args:
        source: text of the program.
        task: whose instances they are.
        alone: within it, no other evaluation runs.

    Attributes:
        low: the score of an instance that failed.
        attempts: what it attempted, as (kind, detail, source), each once.
    """

    def __init__(
        self, source: str, task: Task, alone: Callable[[], AbstractAsyncContextManager[None]]
    ) -> None:
        self._guest: Guest
        self._job = _job(source, task)
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


def _job(source: str, task: Task) -> Job:
    limits = task.limits
    return Job(
        source=source,
        entry_point=task.entry_point,
        memory_mb=limits.memory_mb,
        output_bytes=limits.output_kb << 10,
    )
