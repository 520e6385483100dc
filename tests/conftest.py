"""What all tests share: folders of their own, a closed network, scripted models, virtual time."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from stop.lm import _clock
from tests.helpers.machine import engine_answers, namespaces_work
from tests.helpers.programs import scripted_model

# By default an example fails that takes longer than 0.2 s: so it does on a busy machine.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _own_folders(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No test touches the user's runs, keys or secret. Images and models, big, are shared."""
    monkeypatch.setenv("STOP_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("STOP_RUNS_DIR", str(tmp_path / "runs"))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _closed_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections leave this machine only in tests that pull a model."""
    if request.node.get_closest_marker("model"):
        return
    real = socket.socket.connect

    def connect(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = str(address[0]) if isinstance(address, tuple) else str(address)
            if not host.startswith("127.") and host not in ("localhost", "::1"):
                raise AssertionError(f"a test tried to reach {host}")
        return real(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.hookimpl(trylast=True)  # so that only what is not deselected asks for an engine
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of what this machine has not are skipped by name, unless an engine is demanded."""
    demanded = os.environ.get("STOP_TEST_REQUIRE_ENGINE") == "1"
    for marker, works, reason in (
        ("docker", lambda: demanded or engine_answers(), "no container engine answers here"),
        ("bubblewrap", namespaces_work, "unprivileged namespaces are refused here"),
    ):
        wanted = [item for item in items if item.get_closest_marker(marker)]
        if wanted and not works():
            for item in wanted:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def scripted(tmp_path: Path):
    """scripted("reply", ...) -> the SPEC of a model that gives these replies in turn."""
    count = 0

    def make(*replies: str) -> str:
        nonlocal count
        count += 1
        return scripted_model(tmp_path / f"replies-{count}.jsonl", *replies)

    return make


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were to be waited between requests; the models' clock goes on by them alone."""
    waited: list[float] = []
    now = 1000.0

    async def pause(seconds: float) -> None:
        nonlocal now
        waited.append(seconds)
        end = now + seconds
        await asyncio.sleep(0)
        now = max(now, end)

    monkeypatch.setattr(_clock, "now", lambda: now)
    monkeypatch.setattr(_clock, "pause", pause)
    return waited
