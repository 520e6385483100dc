"""The work of a bypass measurement."""

from __future__ import annotations

from stop.engine.session import Session
from stop.experiments.bypass.config import BypassConfig
from stop.experiments.bypass.running import prompt_of, run_programs
from stop.experiments.bypass.sampling import Sampler


async def measure(session: Session, config: BypassConfig) -> None:
    """Sample what is missing, then run what has not been run.

    Raises:
        StopError: it cannot go on; what is recorded stays.
    """
    async with session.working():
        prompts = {cell: await prompt_of(session, cell) for cell in config.bypass.cells}
        await Sampler(session, config, prompts).run()
        if config.bypass.execute:
            await run_programs(session)
