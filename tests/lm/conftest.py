"""No waiting, no network, no keys of the person who runs the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from stop.lm import tokens


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
def _virtual_time(pauses: list[float]) -> None:
    """No test waits between requests."""
