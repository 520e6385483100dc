"""The folder of a run, and who may write into it.

runs/<name>/   config.json       what it is asked to do; never changed
               id, secret        what it is known by; what its instances derive from
               tasks/<i>-<name>/ its tasks as they were when it began
               run.db            programs, LM calls, evaluations, rounds
               audit.jsonl       the security log
               provenance.json   what it takes to do it again
               lock              held by the process that works on it
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from stop._util.locks import LockHeld, exclusive, writer
from stop._util.state import run_secret, write_private
from stop.audit.notes import ID_FILE
from stop.config import RunConfig
from stop.errors import ConfigError, RunError, StopError
from stop.lm.redact import redact
from stop.store import Store
from stop.tasks.task import Task, load_task

C = TypeVar("C", bound=RunConfig)

TASK_BYTES = 64 << 20
"""A task folder with more than this is not copied; runs then read the original."""

_TASKS = "tasks"
_SECRET_BYTES = 32


def create_run(config: RunConfig, runs_dir: Path) -> Path:
    """A new run folder with its configuration and its tasks; nothing is started.

    Raises:
        ConfigError, TaskError: a task is unknown or broken, or there twice.
        RunError: the folder cannot be made.
    """
    tasks = [load_task(name) for name in config.all_tasks]  # a mistyped name costs nothing yet
    for url in (config.base_url, config.meta_base_url):
        if url is not None and redact(url) != url:
            raise ConfigError(
                f"a key or password in the base URL {redact(url)} would be stored with the run",
                hint="give it as OPENAI_API_KEY",
            )
    if len({task.name for task in tasks}) < len(tasks):
        raise ConfigError("two tasks have the same name", hint="name is the first key of task.toml")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder = runs_dir / f"{stamp}-{config.kind}-{secrets.token_hex(2)}"
    draft = runs_dir / f".{folder.name}"  # a process that is killed here leaves no half of a run
    try:
        draft.mkdir(parents=True)
        fill_folder(draft, config, run_secret(config.random_seed, config.instances_of), tasks)
        draft.rename(folder)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise RunError(
            f"the run folder {folder} cannot be made: {error.strerror}",
            hint="choose another place with --runs-dir",
        ) from error
    return folder


def fill_folder(folder: Path, config: RunConfig, secret: bytes, tasks: Sequence[Task]) -> None:
    """Write what a run begins with into its empty folder. Raises `OSError`."""
    (folder / ID_FILE).write_text(secrets.token_hex(16), "ascii")
    (folder / "config.json").write_text(config.model_dump_json(indent=2) + "\n", "utf-8")
    write_private(folder / "secret", secret)
    for position, task in enumerate(tasks):
        _copy_task(task, folder / _TASKS / f"{position}-{task.name}")


def _copy_task(task: Task, target: Path) -> None:
    left = TASK_BYTES
    for file in task.folder.rglob("*"):
        left -= file.stat().st_size if file.is_file() else 0
        if left < 0:
            return
    shutil.copytree(task.folder, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))


@contextmanager
def new_run(config: RunConfig, runs_dir: Path) -> Iterator[Path]:
    """As `create_run`; removed again when nothing in it could begin: a mistake is no run."""
    folder = create_run(config, runs_dir)
    try:
        yield folder
    except StopError:
        if not has_begun(folder):
            shutil.rmtree(folder)
        raise


def has_begun(folder: Path) -> bool:
    """Whether a session has ever worked on a run."""
    return status_noted(folder) is not None


def status_noted(folder: Path) -> str | None:
    """The status that the last session of a run noted; None before the first."""
    if not (folder / "run.db").exists():
        return None
    with Store(folder / "run.db", read_only=True) as store:
        return store.meta("status")


def run_tasks(folder: Path, config: RunConfig) -> tuple[Task, ...]:
    """The tasks of a run as they were when it began, in the order of its configuration."""
    return tuple(
        load_task(task_copy(folder, position) or name)
        for position, name in enumerate(config.all_tasks)
    )


def task_copy(folder: Path, position: int) -> Path | None:
    """A run's own copy of the task in this place of its configuration; None without one."""
    return next((folder / _TASKS).glob(f"{position}-*"), None)


def checked_secret(folder: Path, store: Store, tasks: Sequence[Task]) -> bytes:
    """The secret of a run, if what its scores depend on is what it was in the first session.

    Raises:
        RunError: the secret, or a task's files in the folder, are missing, damaged or changed.
    """
    path = folder / "secret"
    try:
        secret = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    if len(secret) != _SECRET_BYTES:
        raise RunError(f"{path} is damaged: it should hold {_SECRET_BYTES} bytes")
    digests = {"secret": hashlib.sha256(secret).hexdigest()}
    digests |= {f"tasks/{i}-{task.name}": task.digest for i, task in enumerate(tasks)}
    for name, digest in digests.items():
        store.set_meta(f"digest.{name}", digest, keep=True)
        if store.meta(f"digest.{name}") != digest:
            raise RunError(
                f"{folder / name} is not what the run began with: its scores could not be compared",
                hint="put it back, or begin a new run",
            )
    return secret


def changed_tasks(tasks: Sequence[Task], config: RunConfig) -> list[str]:
    """Those of a run's tasks whose originals have changed since, or are gone."""
    changed = []
    for task, name in zip(tasks, config.all_tasks, strict=True):
        try:
            same = load_task(name).digest == task.digest
        except StopError:  # gone, or in the middle of being edited
            same = False
        if not same:
            changed.append(task.name)
    return changed


def read_config_file(folder: Path) -> dict[str, Any]:
    """Read the configuration of a run as plain data.

    Raises:
        RunError: the folder holds no run, or its configuration is damaged.
    """
    document = read_object(folder / "config.json")
    if document is None:
        raise RunError(f"there is no run in {folder}", hint="a run's folder holds config.json")
    return document


def read_object(path: Path, hint: str = "") -> dict[str, Any] | None:
    """Read a JSON object; None where there is no file. Raises `RunError` when it is damaged."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, OSError, RecursionError) as error:
        raise RunError(f"{path} cannot be read: {error}", hint=hint) from error
    if not isinstance(document, dict):
        raise RunError(f"{path} cannot be read: it holds no JSON object", hint=hint)
    return document


def read_config_as(folder: Path, kind: type[C]) -> C:
    """Read the configuration of a run.

    Args:
        folder: of the run.
        kind: the class of its kind, or `RunConfig` for what all kinds have in common.

    Raises:
        RunError: the folder holds no run, one of another kind, or a damaged configuration.
    """
    document = read_config_file(folder)
    if "version" not in document:  # it had one list of fields for all kinds of run
        named = {"random_seed" if name == "seed" else name: v for name, v in document.items()}
        document = {name: v for name, v in named.items() if name in kind.model_fields}
    if document.get("version", 2) == 2:  # it compared nothing at the end
        document["version"] = 3
        if "final_repetitions" in kind.model_fields:
            document["final_repetitions"] = 0
    try:
        return kind.checked(**{str(name): value for name, value in document.items()})
    except ConfigError as error:
        raise RunError(f"{folder / 'config.json'} cannot be read: {error.message}") from error


def run_status(folder: Path, store: Store) -> str:
    """ "new", "running", "done", "interrupted", "failed", "budget" or "halted".

    A process that is killed cannot note it: "running" is believed only while it lives.
    """
    noted = store.meta("status") or "new"
    if noted == "running" and writer(folder / "lock") is None:
        return "interrupted"
    return noted


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one process may work on a run; the lock goes with the process, however it ends."""
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(folder / "lock"))
        except LockHeld as held:
            raise RunError(
                f"another process (pid {held.pid or 'unknown'}) works on {folder}",
                hint="wait for it, or end it; reading commands work meanwhile",
            ) from None
        yield
