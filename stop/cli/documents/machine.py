"""The documents of commands about this machine: its tasks, models, sandbox, key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stop.sandbox.selfcheck import CheckResult
from stop.tasks.files import InstanceCounts, Limits


@dataclass(frozen=True, slots=True)
class MachineKey:
    """The key that signs the audit logs of this machine.

    Attributes:
        fingerprint: of the public key.
        public_key: 64 hex digits.
    """

    fingerprint: str
    public_key: str


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """A task.

    Attributes:
        name: as in task.toml.
        description: as in task.toml.
        entry_point: the function that a solution defines.
        score_range: the lowest and the highest score.
        limits: what one instance may take.
        instances: number of instances in each split.
        folder: where it lies.
    """

    name: str
    description: str
    entry_point: str
    score_range: tuple[float, float]
    limits: Limits
    instances: InstanceCounts
    folder: Path


@dataclass(frozen=True, slots=True)
class TaskList:
    """The built-in tasks.

    Attributes:
        tasks: in order of their names.
    """

    tasks: tuple[TaskFacts, ...]


@dataclass(frozen=True, slots=True)
class TaskCheck:
    """Whether a task is a good one. Unless `ok`, the exit code is 2.

    Attributes:
        task: its name.
        ok: whether nothing is wrong.
        problems: in words.
        scores: of its seed, scored twice on different instances, by split.
        noise: the difference between the two scores, by split.
        intervals: of the first score, 95 %, by split.
    """

    task: str
    ok: bool
    problems: tuple[str, ...]
    scores: dict[str, tuple[float, float]]
    noise: dict[str, float]
    intervals: dict[str, tuple[float, float] | None]


@dataclass(frozen=True, slots=True)
class ModelLine:
    """A local model.

    Attributes:
        name: used as local:NAME.
        bytes: size of its file.
        licence: null for a file of your own.
        source: the repository that it is fetched from.
        pulled: whether it is here.
        path: of the file; null when it is not here.
    """

    name: str
    bytes: int
    licence: str | None
    source: str
    pulled: bool
    path: Path | None


@dataclass(frozen=True, slots=True)
class ModelList:
    """The local models.

    Attributes:
        folder: where they are kept.
        models: those that can be pulled, then files of your own.
    """

    folder: Path
    models: tuple[ModelLine, ...]


@dataclass(frozen=True, slots=True)
class PulledModel:
    """A model that was fetched.

    Attributes:
        name: used as local:NAME.
        path: of the file.
        bytes: its size.
    """

    name: str
    path: Path
    bytes: int


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image that was made from a Dockerfile.

    Attributes:
        key: names it.
        digest: of its content.
        bytes: its size.
        packages: that programs can import.
        seconds: that it took.
    """

    key: str
    digest: str
    bytes: int
    packages: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class BuiltFileSystem(BuiltImage):
    """The file system that programs see, made from this interpreter.

    Attributes:
        folder: where it lies.
        image: the image that was made of it; null when no engine answers.
    """

    folder: Path
    image: str | None


@dataclass(frozen=True, slots=True)
class SandboxCheck:
    """Whether each limit of a sandbox holds. Unless `ok`, the exit code is 4.

    Attributes:
        sandbox: the backend.
        isolation: "fork" or "container".
        image: digest of what programs see.
        ok: whether all hold.
        checks: one for each limit.
    """

    sandbox: str
    isolation: str
    image: str
    ok: bool
    checks: tuple[CheckResult, ...]


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed.

    Attributes:
        containers: number of containers.
        images: number of images.
        processes: number of processes.
    """

    containers: int
    images: int
    processes: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of this machine.

    Attributes:
        name: of what was checked.
        status: "ok", "warn" or "missing".
        detail: what was found.
        mend: the command or step that helps; "" where nothing is wrong.
    """

    name: str
    status: Literal["ok", "warn", "missing"]
    detail: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What works on this machine.

    Attributes:
        ok: whether a run is possible.
        checks: in order.
    """

    ok: bool
    checks: tuple[Finding, ...]
