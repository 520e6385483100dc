"""Warm sandboxes for evaluations, and one of its own for each improver run.

Capacity is per level: evaluations, improver runs on tasks, and improver runs on improvers each
have their own, so that an outer guest that waits never holds what an inner one needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, get_args

from stop._util.concurrency import Quiet
from stop.errors import ConfigError, SandboxError
from stop.sandbox.protocol import Guest, GuestLimits, Isolation, Sandbox


class SandboxPool:
    """Lends guests of one backend, in one event loop.

    Args:
        sandbox: an open backend.
        isolation: "fork" lends the same warm sandboxes again and again; "container" gives every
            lease a sandbox that was never used before, and prepares the next one meanwhile.
        evaluations: number of evaluations that may run at once.
        improver_runs: number of improver runs that may run at once, on each level.
        limits: of each sandbox.

    Raises:
        ConfigError: there is no such isolation.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        isolation: Isolation = "fork",
        evaluations: int = 2,
        improver_runs: int = 4,
        limits: GuestLimits | None = None,
    ) -> None:
        if isolation not in get_args(Isolation):
            choices = ", ".join(get_args(Isolation))
            raise ConfigError(f"unknown isolation {isolation!r}", hint=f"one of: {choices}")
        self.sandbox = sandbox
        self.isolation: Isolation = isolation
        self._limits = limits or GuestLimits()
        self._evaluations = asyncio.Semaphore(evaluations)
        self._quiet = Quiet()
        self._improver_runs = improver_runs
        self._levels: dict[int, asyncio.Semaphore] = {}
        self._idle: list[Guest] = []
        self._background: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def label(self) -> str:
        """The isolation that scores are recorded with, e.g. "docker/fork"."""
        return f"{self.sandbox.name}/{self.isolation}"

    @asynccontextmanager
    async def evaluation_guest(self, *, fresh: bool = False) -> AsyncIterator[Guest]:
        """Lends a guest for one program. An exception inside the block discards the guest.

        Args:
            fresh: start one now: when a sandbox broke, idle ones may have gone the same way (an
                engine that was restarted), and are given up.

        Raises:
            SandboxError: a guest could not be started.
        """
        async with self._evaluations, self._quiet.among_others():
            while fresh and self._idle:
                self._later(self._idle.pop().aclose())
            guest = self._idle.pop() if self._idle else await self.sandbox.start(self._limits)
            kept = False
            try:
                yield guest
                kept = self.isolation == "fork"
            finally:
                if kept and not self._closed:
                    self._idle.append(guest)
                else:
                    self._later(guest.aclose())
            if self.isolation == "container" and not self._idle and not self._closed:
                self._later(self._warm_one())

    def alone(self) -> AbstractAsyncContextManager[None]:
        """For who holds an evaluation guest in which no program runs: no other evaluation runs.

        Those under way end first; new ones, and others that want to be alone, wait.
        """
        return self._quiet.alone()

    @asynccontextmanager
    async def improver_guest(self, level: int) -> AsyncIterator[Guest]:
        """Starts a sandbox for one improver run; `level` 0 rewrites improvers, 1 solutions.

        Raises:
            SandboxError: it could not be started.
        """
        gate = self._levels.setdefault(level, asyncio.Semaphore(self._improver_runs))
        async with gate:
            guest = await self.sandbox.start(self._limits)
            try:
                yield guest
            finally:
                await guest.aclose()

    async def warm(self, count: int) -> None:
        """Starts guests until `count` are idle."""
        await asyncio.gather(*(self._warm_one() for _ in range(count - len(self._idle))))

    async def _warm_one(self) -> None:
        guest = await self.sandbox.start(self._limits)
        if self._closed:
            await guest.aclose()
        else:
            self._idle.append(guest)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        # A sandbox that could not be warmed or closed is met again, and raised, by the next lease
        # or by the backend's own clean-up; anything else is a bug to be seen.
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, SandboxError):
            raise error

    async def close_guests(self) -> None:
        """Closes every idle guest and waits for those that are being closed."""
        self._closed = True
        guests, self._idle = self._idle, []
        await asyncio.gather(*(guest.aclose() for guest in guests))
        while self._background:
            await asyncio.gather(*self._background, return_exceptions=True)

    async def aclose(self) -> None:
        """Closes the guests and the backend."""
        await self.close_guests()
        await self.sandbox.aclose()
