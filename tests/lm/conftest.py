"""No waiting, no network, no keys of the person who runs the tests."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from stop.lm import _clock, tokens


@pytest.fixture(autouse=True)
def environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)
    if request.node.get_closest_marker("model") is None:
        monkeypatch.setenv("STOP_MODELS_DIR", str(tmp_path / "models"))

    def no_vocabulary(self: object, name: str) -> None:
        """As on a machine without a network."""

    monkeypatch.setattr(tokens._Vocabularies, "_load", no_vocabulary)
    monkeypatch.setattr(tokens, "_vocabularies", tokens._Vocabularies())


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What would have been waited for between requests, in seconds.

    The clock goes on by it and by nothing else, so that a busy machine changes no test.
    """
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
