"""Backends as fixtures: each skips by name where it cannot run, and fails instead on demand."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import pytest
import pytest_asyncio

from stop.errors import StopError
from stop.sandbox import GuestLimits, open_sandbox
from stop.sandbox.protocol import Guest, Sandbox

BACKENDS = (
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
)


@cache
def _problem(name: str) -> str:
    """Why a backend cannot run here, or ""."""
    import asyncio

    async def attempt() -> None:
        backend = await open_sandbox(name)
        await backend.aclose()

    try:
        asyncio.run(attempt())
    except StopError as error:
        return error.message
    return ""


def _demand(name: str) -> None:
    if problem := _problem(name):
        if os.environ.get("STOP_TEST_REQUIRE_ENGINE") == "1":
            pytest.fail(f"{name} is required and cannot run: {problem}")
        pytest.skip(f"{name} cannot run here: {problem}")


@pytest.fixture(scope="session", params=BACKENDS)
def backend_name(request: pytest.FixtureRequest) -> str:
    """Each backend that can run here, by name."""
    _demand(request.param)
    return str(request.param)


@pytest.fixture(scope="session")
def docker_engine() -> None:
    _demand("docker")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(backend_name: str) -> AsyncIterator[Sandbox]:
    backend = await open_sandbox(backend_name)
    yield backend
    await backend.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def warm(sandbox: Sandbox) -> AsyncIterator[Guest]:
    """A guest that all tests of a module share: each must find it as if new."""
    shared = await sandbox.start(GuestLimits())
    yield shared
    await shared.aclose()


@pytest_asyncio.fixture(loop_scope="module", params=["fork", "container"])
async def guest(request: pytest.FixtureRequest, sandbox: Sandbox, warm: Guest) -> Any:
    """Under both isolations: the shared warm guest, and one of the test's own."""
    if request.param == "fork":
        yield warm
        return
    own = await sandbox.start(GuestLimits())
    yield own
    await own.aclose()
