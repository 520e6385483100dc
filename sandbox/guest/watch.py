"""One running candidate as the relay sees it: its frames, what it uses, how it is killed."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Collection, Iterator
from typing import NamedTuple

from stop.sandbox import frames

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")
_MAX_FRAME = 1 << 30
"""Bytes; no honest client sends as much, because its memory ends before."""


class Violation(Exception):
    """The guest sent what the code of a guest never sends."""


class TooLarge(Exception):
    """The guest sent a frame larger than its job allows, which an honest program may do."""


class Inbox:
    """Cuts a byte stream into frames of at most `cap` bytes each."""

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self._data = bytearray()

    def __bool__(self) -> bool:
        return bool(self._data)

    def feed(self, data: bytes) -> None:
        self._data += data

    def frames(self) -> Iterator[tuple[bytes, bytes]]:
        """Yields (header, blobs) of each complete frame.

        Raises:
            TooLarge: a frame of more than `cap` bytes; it is not waited for.
            Violation: one that no honest client could send, of more than 1 GiB.
        """
        size = frames.PREFIX.size
        while len(self._data) >= size:
            header, blobs = frames.PREFIX.unpack(self._data[:size])
            if header + blobs > _MAX_FRAME:
                raise Violation(f"a frame of {header + blobs} bytes")
            if header + blobs > self.cap:
                raise TooLarge(f"{header + blobs} bytes; at most {self.cap} are taken")
            if len(self._data) < size + header + blobs:
                return
            end = size + header
            piece = bytes(self._data[size:end]), bytes(self._data[end : end + blobs])
            del self._data[: end + blobs]
            yield piece


class Output:
    """What a guest printed on one stream: the bytes kept and the number of bytes seen."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self.seen = 0


class End(NamedTuple):
    """How a process of a guest ended: its wait status and the CPU seconds that it used."""

    pid: int
    status: int
    cpu: float


class Lines(NamedTuple):
    """The relay's ends of what connects it to a guest.

    Attributes:
        channel: for frames.
        reports: of the hook in the guest's process; see `sensors`.
        pipes: its stdout and stderr.
    """

    channel: socket.socket
    reports: socket.socket
    pipes: tuple[int, int]


class Guest:
    """The processes of one candidate.

    Attributes:
        uid: its user id where it has one of its own; None where it is the first process of a pid
            namespace.
        pipes: the output on its stdout and stderr, in this order, by descriptor.
        gone: its first process is dead, though others may hold the channel open.
        fate: (status, detail) when it ended while no question was pending.
        mounts: a descriptor of its mount namespace, once `hold_mounts` has taken it.
        cpu: CPU seconds used, as last seen.
        charged: those of `cpu` that earlier questions have paid for.
    """

    def __init__(self, pid: int, uid: int | None, lines: Lines, baseline: int) -> None:
        self.pid = pid
        self.uid = uid
        self.channel, self.reports = lines.channel, lines.reports
        self.inbox = Inbox(64 << 20)
        self.outbox = bytearray()
        self.pipes = {fd: Output() for fd in lines.pipes}
        self.memory_limit = 1 << 40
        self.alive = True
        self.gone = False
        self.started = False
        self.fate: tuple[str, str] | None = None
        self.mounts: int | None = None
        self.cpu = 0.0
        self.charged = 0.0
        self._baseline = baseline
        self._last_clock = 0.0

    def usage(self, ours: Collection[int], spawning: bool) -> tuple[float, int, int]:
        """Returns (CPU seconds, private resident bytes, processes) of the guest.

        Args:
            ours: process ids that do not count.
            spawning: a process of ours is being made whose id is not known yet; children of
                process 1 do not count during that time.
        """
        cpu, memory, count = 0.0, 0, 0
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) in ours:
                continue
            pid = int(name)
            try:
                fields = _stat(pid)
                with open(f"/proc/{pid}/statm", "rb") as f:
                    pages = f.read().split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if pid == self.pid:
                cpu += self.clock()
                self.gone = fields[0] == b"Z"
            elif spawning and fields[1] == b"1":
                continue
            else:
                cpu += sum(map(int, fields[11:13])) / _TICKS_PER_SECOND
            cpu += sum(map(int, fields[13:15])) / _TICKS_PER_SECOND
            memory += max(0, (int(pages[1]) - int(pages[2])) * _PAGE_BYTES - self._baseline)
            count += 1
        self.cpu = max(self.cpu, cpu)
        return self.cpu, memory, count

    def clock(self) -> float:
        """Returns the precise CPU seconds of the guest's first process (clock_getcpuclockid)."""
        try:
            self._last_clock = time.clock_gettime((~self.pid << 3) | 2)
        except OSError:
            pass  # it has just died: its last reading stands
        return self._last_clock

    def kill(self) -> None:
        """Sends SIGKILL to all its processes at once, whatever they fork meanwhile.

        A pid namespace ends with its first process. A user id is killed from under that id: the
        kernel then passes over every process of another. Our real user id belongs to no guest (see
        `Relay`) and our saved one stays 0, so the guest cannot signal us.
        """
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        if self.uid is None:
            return
        os.seteuid(self.uid)
        try:
            os.kill(-1, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # nothing of that id is left
        finally:
            os.seteuid(0)

    def cause_of_death(self, ends: list[End], oom: bool) -> tuple[str, str]:
        """Returns (status, detail) from how it ended.

        Args:
            ends: of its processes.
            oom: whether the kernel killed a process here for memory.
        """
        status = next((end.status for end in ends if end.pid == self.pid), 0)
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGKILL and oom:
                return "oom", "killed by the kernel at the memory limit"
            if number == signal.SIGXCPU:
                return "timeout", "the CPU time limit of the whole job"
            return "error", f"died of signal {number} ({signal.strsignal(number) or 'real time'})"
        code = os.waitstatus_to_exitcode(status)
        return "error", f"the process ended (exit status {code}) before it answered"

    def hold_mounts(self) -> None:
        """Keeps its mount namespace past its death: taking it apart is slow, and can wait.

        Best effort: a guest that makes this fail only dies more slowly.
        """
        try:
            self.mounts = os.open(f"/proc/{self.pid}/ns/mnt", os.O_RDONLY)
        except OSError:
            pass

    def close(self) -> None:
        for fd in self.pipes:
            os.close(fd)
        self.channel.close()
        self.reports.close()


def _stat(pid: int) -> list[bytes]:
    """Returns the fields of /proc/PID/stat after the command: state, parent's pid, and so on."""
    with open(f"/proc/{pid}/stat", "rb") as f:
        return f.read().rpartition(b")")[2].split()


def is_running(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return _stat(pid)[0] not in (b"Z", b"X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def private_bytes() -> int:
    """Returns the resident bytes of this process that it shares with no file."""
    with open("/proc/self/statm") as f:
        pages = f.read().split()
    return (int(pages[1]) - int(pages[2])) * _PAGE_BYTES


def oom_kills() -> int:
    """Returns the kernel's OOM kills in our cgroup (v2, then v1); 0 where it cannot be read."""
    for path in ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"):
        try:
            with open(path) as f:
                for line in f:
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
        except OSError:
            continue
    return 0


def wipe(place: str) -> bool:
    """Empties a folder that a guest could write to, however deep. Returns whether it is empty.

    Takes folders over first (a sticky one gives up only what its owner removes) and moves up what
    lies deep, so that no depth of nesting costs stack or descriptors.
    """
    for _ in range(10_000):
        names = os.listdir(place)
        if not names:
            return True
        for name in names:
            path = os.path.join(place, name)
            if os.path.islink(path) or not os.path.isdir(path):
                os.unlink(path)
                continue
            os.chown(path, 0, 0)
            for inner in os.listdir(path):
                source = os.path.join(path, inner)
                if os.path.islink(source) or not os.path.isdir(source):
                    os.unlink(source)
                else:
                    os.chown(source, 0, 0)
                    os.rename(source, os.path.join(place, f"wipe-{os.urandom(8).hex()}"))
            os.rmdir(path)
    return False
