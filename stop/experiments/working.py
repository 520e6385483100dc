"""Working on a run from synchronous code, and what the user sees when it ends early."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from stop._util.concurrency import run_sync
from stop.config import RunConfig
from stop.engine.opening import open_session
from stop.engine.session import Session
from stop.errors import StopError
from stop.events import Progress, ProgressListener
from stop.runs.folder import has_begun


def work_on(
    folder: Path,
    config: RunConfig,
    progress: ProgressListener,
    work: Callable[[Session], Awaitable[Any]],
    reason: str = "",
) -> StopError | None:
    """Do work in a session of a run. Returns why it ended early; what is recorded stays.

    Args:
        folder: of the run.
        config: as of `stop.engine.opening.open_session`.
        progress: called with each Progress event.
        work: called with the session.
        reason: why a run that its policy halted should go on.

    Raises:
        StopError: nothing of it could begin.
    """

    async def in_session() -> None:
        async with open_session(folder, config, progress, reason) as session:
            await work(session)

    progress(Progress("message", f"recording in {folder}"))
    try:
        run_sync(in_session())
    except KeyboardInterrupt:
        progress(Progress("message", f"what is recorded stays; to go on: stop resume {folder}"))
        raise
    except StopError as error:
        error.run = folder
        if not has_begun(folder):
            raise
        return error
    return None
