"""The protocol of a sandbox backend, and the plain data that crosses it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Isolation = Literal["fork", "container"]
"""`fork`: each program is a fresh process of a warm sandbox. `container`: a sandbox of its own."""

GuestStatus = Literal["ok", "error", "timeout", "oom", "invalid"]


@dataclass(frozen=True, slots=True)
class GuestLimits:
    """What one sandbox may take in all; a job may be limited further.

    Attributes:
        memory_mb: memory of the whole sandbox, MiB; no swap.
        pids: processes and threads.
        cpus: processors' worth of CPU time.
        tmpfs_mb: size of /tmp and of /dev/shm each, MiB; also the largest file.
    """

    memory_mb: int = 1024
    pids: int = 64
    cpus: float = 1.0
    tmpfs_mb: int = 32


@dataclass(frozen=True, slots=True)
class Job:
    """A program to be loaded, and what it may use.

    Attributes:
        source: the program's text.
        entry_point: the function that calls will call.
        random_seed: of `random` and `numpy.random` in the guest.
        load_cpu_seconds, load_wall_seconds: limits of running the top level.
        total_cpu_seconds: CPU time of the whole job; the kernel's own backstop.
        memory_mb: private memory of the job's processes together, MiB.
        output_bytes: largest single answer or request.
        services: what `utility` and `language_model` show of themselves, for improvers; their
            calls arrive at `Guest.call`'s `on_request`. None for solutions.
    """

    source: str
    entry_point: str
    random_seed: int = 0
    load_cpu_seconds: float = 5.0
    load_wall_seconds: float = 30.0
    total_cpu_seconds: float = 600.0
    memory_mb: int = 512
    output_bytes: int = 1 << 20
    services: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of loading a program or of one call. `value` holds exact builtin types."""

    status: GuestStatus
    value: Any = None
    detail: str = ""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    alive: bool = True
    """The program can be called again. False: it was ended, or ended itself."""
    violation: bool = False
    """The guest broke the frame protocol: tampering, not a mistake."""


@dataclass(frozen=True, slots=True)
class Sign:
    """An attempt of a guest, seen while it ran.

    Attributes:
        kind: "system_call", "network", "canary", "killed" and others of `stop.audit.evidence`.
        source: "kernel": the guest could not hide it. "guest": told by a hook in its own process,
            which a guest that tries can silence; then what it attempts has no effect all the same.
        detail: what it was, as text of at most 300 characters.
    """

    kind: str
    source: Literal["kernel", "guest"]
    detail: str


@dataclass(frozen=True, slots=True)
class JobOutput:
    """What a job leaves: its prints (the first 64 KiB of each stream), never a result.

    `violation` says how it broke the frame protocol after its last answer, else "".
    """

    stdout: str = ""
    stderr: str = ""
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    cpu_seconds: float = 0.0
    violation: str = ""


RequestHandler = Callable[[str, Any], Awaitable[Any]]
"""Answers a guest's request: (service, value) -> value."""


class Guest(Protocol):
    """A warm sandbox; runs one job at a time: `start`, any number of `call`s, `end`.

    Failures of the program are `Answer`s. `SandboxBroken` means that the sandbox itself is gone:
    close it and take another one.
    """

    @property
    def name(self) -> str:
        """How an operator finds it (container name or process id)."""
        ...

    @property
    def signs(self) -> Sequence[Sign]:
        """What the job that runs, or ran last, attempted; also when the sandbox broke."""
        ...

    async def start(self, job: Job) -> Answer: ...

    async def call(
        self,
        args: tuple[Any, ...],
        *,
        cpu_seconds: float,
        wall_seconds: float,
        on_request: RequestHandler | None = None,
    ) -> Answer: ...

    async def end(self) -> JobOutput: ...

    async def aclose(self) -> None: ...


class Sandbox(Protocol):
    """A backend: starts guests. `start` may be called concurrently."""

    @property
    def name(self) -> str:
        """ "docker", "bubblewrap", or a third party's own word."""
        ...

    @property
    def image_digest(self) -> str:
        """What the guests' file system is made of, as a digest."""
        ...

    async def open(self) -> None:
        """Check that guests can run here, prepare the image, reap what dead runs left."""
        ...

    async def start(self, limits: GuestLimits) -> Guest: ...

    async def aclose(self) -> None:
        """End every guest that this backend started."""
        ...


@dataclass(frozen=True, slots=True)
class GuestConfig:
    """What the code inside is told at boot. Holds no secret.

    Attributes:
        confine: "uid" (each guest a user id of its own; Docker) or "namespace" (pid, mount and
            IPC namespaces of its own; bubblewrap).
        seccomp: filter for guests as [code, jt, jf, k] rows, beside the engine's.
        watched: names of the system calls that the filter hands to the relay, by number.
        old_proc: go on with the sandbox's own /proc where the kernel refuses a fresh mount.
    """

    confine: Literal["uid", "namespace"]
    uid_base: int
    pids: int
    tmpfs_mb: int
    seccomp: list[list[int]] = field(default_factory=list)
    watched: dict[int, str] = field(default_factory=dict)
    old_proc: bool = False
    environment: dict[str, str] = field(
        default_factory=lambda: {
            "HOME": "/tmp",
            "TMPDIR": "/tmp",
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",
        }
    )
