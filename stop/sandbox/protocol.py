"""The protocol of a sandbox backend, and the plain data that crosses it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

SandboxChoice = Literal["auto", "docker", "bubblewrap"]
"""`auto`: docker if an engine answers, else bubblewrap. There is no other choice."""

Isolation = Literal["fork", "container"]
"""`fork`: each program is a fresh process of a warm sandbox. `container`: a sandbox of its own."""

GuestStatus = Literal["ok", "error", "timeout", "oom", "invalid"]
"""`error`: the program failed. `oom`: it took too much memory. `invalid`: its answer is no data."""


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
    """A program to load, and what it may use.

    Attributes:
        source: the program's text.
        entry_point: the function that `Guest.call` calls.
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
    """The outcome of loading a program or of one call.

    Attributes:
        status: "ok", or how the program failed.
        value: what the call returned, in exact builtin types and numpy arrays; None unless "ok".
        detail: why the program failed, for people; "" if it did not.
        cpu_seconds: CPU time since the answer before, background work included.
        wall_seconds: duration by the sandbox's clock, which the program cannot change.
        alive: whether the program can be called again. False: it was ended, or ended itself.
        violation: whether the guest broke the frame protocol: tampering, not a mistake.
        by_clock: whether it is a "timeout" by `wall_seconds`, which a busy machine can cause.
    """

    status: GuestStatus
    value: Any = None
    detail: str = ""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    alive: bool = True
    violation: bool = False
    by_clock: bool = False


@dataclass(frozen=True, slots=True)
class Sign:
    """An attempt of a guest, seen while it ran.

    Attributes:
        kind: "system_call", "network", "canary", "killed" and others of `stop.audit.evidence`.
        source: "kernel": the guest could not hide it. "guest": reported by a hook in its own
            process, which a guest can silence; what it attempts has no effect all the same.
        detail: what it was, as text of at most 300 characters.
    """

    kind: str
    source: Literal["kernel", "guest"]
    detail: str


@dataclass(frozen=True, slots=True)
class JobOutput:
    """What a job leaves: its prints, never a result.

    Attributes:
        stdout, stderr: the first 64 KiB of each stream.
        stdout_bytes, stderr_bytes: the number of bytes that it printed on each.
        cpu_seconds: CPU time of the whole job.
        violation: how it broke the frame protocol after its last answer, or "".
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

    What the program does is an `Answer`. Each method but `aclose` raises `SandboxBroken` when the
    sandbox itself is gone or does not answer: close it then and take another one.
    """

    @property
    def name(self) -> str:
        """How an operator finds it: the name of a container, or "bwrap-" and a process id."""
        ...

    @property
    def signs(self) -> Sequence[Sign]:
        """What the current job, or the last one, attempted; also after the sandbox broke."""
        ...

    async def start(self, job: Job) -> Answer:
        """Loads the program of a job under the load limits of the job.

        Returns:
            "ok" without a value, or why the program did not load. `end` must follow either way.
        """
        ...

    async def call(
        self,
        args: tuple[Any, ...],
        *,
        cpu_seconds: float,
        wall_seconds: float,
        on_request: RequestHandler | None = None,
    ) -> Answer:
        """Calls the entry point of the loaded program.

        Args:
            args: plain values and numpy arrays, see `stop.sandbox.frames`; the program gets copies.
            cpu_seconds: limit of CPU time since the answer before, of all its processes together.
            wall_seconds: limit of the duration, waits for `on_request` included.
            on_request: serves the requests of an improver, several at a time. What it raises ends
                the call and is raised here; the guest is then of no more use.

        Raises:
            FrameError: an argument that no frame can hold.
        """
        ...

    async def end(self) -> JobOutput:
        """Ends the job with all its processes and wipes what it wrote."""
        ...

    async def aclose(self) -> None:
        """Ends the sandbox. May be called again, and while a job runs."""
        ...


class Sandbox(Protocol):
    """A backend: starts guests."""

    @property
    def name(self) -> str:
        """The backend's word in options and records: "docker", "bubblewrap" or a third party's."""
        ...

    @property
    def image_digest(self) -> str:
        """The digest of the file system that guests see, "sha256:..."; "" before `open`."""
        ...

    async def open(self) -> None:
        """Prepares the image, removes what dead runs left, and checks that guests can run.

        Raises:
            SandboxUnavailable: guests cannot run here; the hint says what helps.
        """
        ...

    async def start(self, limits: GuestLimits) -> Guest:
        """Starts a guest under these limits. May be called concurrently.

        Raises:
            SandboxUnavailable: a limit cannot be applied here.
            SandboxError: the guest could not be started.
        """
        ...

    async def aclose(self) -> None:
        """Ends every guest that this backend started."""
        ...


@dataclass(frozen=True, slots=True)
class GuestConfig:
    """The configuration of the code inside a sandbox, sent at boot. Holds no secret.

    Attributes:
        confine: "uid" (each guest a user id of its own; Docker) or "namespace" (pid, mount and
            IPC namespaces of its own; bubblewrap).
        uid_base: with "uid", the first of 512 user ids for guests.
        pids: processes and threads of a guest.
        tmpfs_mb: size of /tmp and of /dev/shm each, MiB.
        seccomp: filter for guests as [code, jt, jf, k] rows, in addition to the engine's.
        watched: names of the system calls that the filter hands to the relay, by number.
        old_proc: go on with the sandbox's own /proc where the kernel refuses a fresh mount.
    """

    confine: Literal["uid", "namespace"]
    uid_base: int
    pids: int
    tmpfs_mb: int
    seccomp: list[list[int]]
    watched: dict[int, str]
    old_proc: bool = False
