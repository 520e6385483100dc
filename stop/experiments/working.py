"""Working on a run from synchronous code, and what the user hears when it ends early."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from stop._util.concurrency import run_sync
from stop.config import RunConfig
from stop.engine.session import Session, open_session
from stop.errors import StopError
from stop.events import Progress, ProgressListener
from stop.runs.folder import has_begun


def work_on(
    folder: Path,
    config: RunConfig,
    progress: ProgressListener,
    work: Callable[[Session], Awaitable[None]],
    reason: str = "",
) -> StopError | None:
    """Do in a session what a run lacks. Returns why it ended early; what is recorded stays.

    Args:
        folder: of the run.
        config: as of `stop.engine.session.open_session`.
        progress: told what happens.
        work: what there is to do; finished parts are not done again.
        reason: why a run that its policy halted should go on.

    Raises:
        StopError: nothing of it could begin.
    """

    async def in_session() -> None:
        async with open_session(folder, progress, config, reason) as session:
            await work(session)

    progress(Progress("message", f"recording in {folder}"))
    try:
        run_sync(in_session())
    except KeyboardInterrupt:
        progress(Progress("message", f"what is recorded stays; to go on: stop resume {folder}"))
        raise
    except StopError as error:
        if not has_begun(folder):
            raise
        return error
    return None
