"""Small tools for asyncio, and the bridge from synchronous callers."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def gather_or_cancel(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order; the first error cancels the others and is raised as itself."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Quiet:
    """Lets many work at once, or one of them alone.

    Who wants to be alone first makes room for others that want it, and goes before newcomers. So
    it never waits for one that waits: not even where everybody holds a place that others need.
    """

    def __init__(self) -> None:
        self._at_work = 0
        self._nobody = asyncio.Event()
        self._nobody.set()
        self._door = asyncio.Lock()  # held by who is alone, or waits until the others have left

    @contextlib.asynccontextmanager
    async def among_others(self) -> AsyncIterator[None]:
        """For the whole of a piece of work."""
        async with self._door:
            self._enter()
        try:
            yield
        finally:
            self._leave()

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Within `among_others`: waits until nobody else is at work, and keeps them waiting."""
        self._leave()
        try:
            async with self._door:
                await self._nobody.wait()
                yield
        finally:
            self._enter()

    def _enter(self) -> None:
        self._at_work += 1
        self._nobody.clear()

    def _leave(self) -> None:
        self._at_work -= 1
        if not self._at_work:
            self._nobody.set()


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine from synchronous code, also where a loop is running (notebooks).

    There it gets a thread and a loop of its own. An interrupt cancels the work, lets it clean up,
    and is raised as `KeyboardInterrupt`; SIGTERM counts as an interrupt.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run_in_main(work)
    return _run_in_thread(work)


def _run_in_main(work: Coroutine[Any, Any, T]) -> T:
    async def with_signals() -> T:
        task = asyncio.current_task()
        assert task is not None
        terminated = False

        def on_signal() -> None:
            nonlocal terminated
            terminated = True
            task.cancel()

        loop = asyncio.get_running_loop()
        # Also SIGINT: asyncio's own way breaks off the clean-up when it comes a second time.
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, on_signal)  # not in threads, not on Windows
        try:
            return await work
        except asyncio.CancelledError:
            if terminated:
                raise KeyboardInterrupt from None
            raise

    return asyncio.run(with_signals())


def _run_in_thread(work: Coroutine[Any, Any, T]) -> T:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="stop-loop", daemon=True)
    thread.start()
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        with contextlib.suppress(Exception):  # whatever the clean-up raises, the interrupt counts
            asyncio.run_coroutine_threadsafe(_settle(), loop).result(30)
        raise
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _settle() -> None:
    """Wait until everything else on this loop has ended."""
    others = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
    await asyncio.gather(*others, return_exceptions=True)
