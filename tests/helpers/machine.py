"""What this machine has: engines, namespaces, a browser."""

from __future__ import annotations

import asyncio
import os
import shutil

import pytest

from stop.errors import SandboxUnavailable

BACKENDS = (
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
)
"""The sandboxes, for `pytest.mark.parametrize`."""
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def engine_answers() -> bool:
    """Whether a container engine answers here."""
    from stop.sandbox.docker import connect

    try:
        client = connect()
    except SandboxUnavailable:
        return False
    client.close()
    return True


def namespaces_work() -> bool:
    """Whether bubblewrap can make a sandbox here."""
    from stop.sandbox import open_sandbox

    async def start_one() -> None:
        await (await open_sandbox("bubblewrap")).aclose()

    try:
        asyncio.run(start_one())
    except SandboxUnavailable:
        return False
    return True


def browser_path() -> str | None:
    """A Chromium of this machine, if there is one."""
    named = os.environ.get("STOP_TEST_BROWSER", "")
    return next(
        (found for name in (named, *BROWSERS) if name and (found := shutil.which(name))), None
    )
