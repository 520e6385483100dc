"""Waiting for something to happen, with a deadline that a busy machine does not reach."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

PATIENCE_SECONDS = 120


def wait_until(happened: Callable[[], object], what: str) -> None:
    """Return as soon as `happened()` is true; fail after `PATIENCE_SECONDS`.

    Args:
        happened: asked again and again.
        what: what is waited for, for the message of a failure.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_SECONDS} s"
        time.sleep(0.01)


async def until(happened: Callable[[], object], what: str) -> None:
    """As `wait_until`, while tasks of this loop go on."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_SECONDS} s"
        await asyncio.sleep(0.001)
