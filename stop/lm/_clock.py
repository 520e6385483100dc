"""Time as the language models see it: all waiting between requests goes through here."""

from __future__ import annotations

import asyncio
import time


def now() -> float:
    """Seconds that only go forward and stand still while the machine sleeps; tests replace it."""
    return time.monotonic()


async def pause(seconds: float) -> None:
    """Wait; tests replace it."""
    await asyncio.sleep(seconds)
