"""Time as the language models see it: all waiting between requests goes through here."""

from __future__ import annotations

import asyncio
import time
from typing import Any


def now() -> float:
    """Seconds that only go forward and stand still while the machine sleeps; tests replace it."""
    return time.monotonic()


async def pause(seconds: float) -> None:
    """Wait; tests replace it."""
    await asyncio.sleep(seconds)


async def wait(event: asyncio.Event, seconds: float | None) -> None:
    """Wait until `event` is set, at most `seconds`."""
    waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(event.wait())]
    if seconds is not None:
        waits.append(asyncio.ensure_future(pause(seconds)))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
