"""Process 2: passes frames between the host and one guest at a time, measures it, and ends it.

    host ──► start · call · reply · end        host ◄── ready · loaded · answer · request · ended

A guest's frames travel to the host as they are, as the blob of a frame of ours, so that nothing a
guest writes can pass for the relay's. CPU time and memory are read from /proc for every process
that is not ours; clocks inside the guest do not count.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from stop.sandbox import frames

from .nursery import Nursery, ZygoteGone
from .sensors import Sensors
from .watch import End, Guest, Inbox, TooLarge, Violation, oom_kills, wipe

if TYPE_CHECKING:
    from stop.sandbox.protocol import GuestConfig

_MAX_OUTPUT = 64 << 10
_MAX_UNREAD = 64 << 20
"""Bytes that a guest may leave unread before it counts as tampering."""
_GLANCE_SECONDS = 0.02
"""Time between two looks at what a guest uses."""


class HostGone(Exception):
    """stdin has ended: the host is dead or has finished with us."""


class Question(NamedTuple):
    """What the host waits for: that the program is loaded, or an answer.

    Attributes:
        op: of the frame that answers it, "loaded" or "answer".
        number: of the call; an answer repeats it.
        cpu, wall: limits in seconds.
        cpu_start, wall_start: the readings that they count from.
    """

    op: str
    number: int | None
    cpu: float
    wall: float
    cpu_start: float
    wall_start: float


class Relay:
    """The loop of process 2, with at most one guest at work."""

    guest: Guest

    def __init__(self, zygote: socket.socket, config: GuestConfig) -> None:
        self.zygote = zygote
        self.namespaces = config.confine == "namespace"
        self.process_limit = config.pids
        self.nursery = Nursery(zygote, self.namespaces)
        self.sensors = Sensors(config.watched, self._to_host)
        self.host_inbox = Inbox(1 << 30)
        self.poll = select.poll()
        self.poll.register(0, select.POLLIN)
        self.poll.register(zygote.fileno(), select.POLLIN)
        self.question: Question | None = None
        self.ends: list[End] = []
        self.clean = True
        self.looked = 0.0
        self._oom_at_start = 0
        if not self.namespaces:  # see Guest.kill
            os.setresuid(config.uid_base + 511, 0, 0)

    def serve(self) -> None:
        """Runs until the host or the zygote is gone."""
        self._to_host({"op": "ready", "python": sys.version.split()[0], "pid": os.getpid()})
        self._take_guest()
        try:
            while True:
                self._step()
        except (HostGone, ZygoteGone, BrokenPipeError):
            return

    def _to_host(self, header: dict[str, Any], blobs: bytes = b"") -> None:
        data = memoryview(frames.encode(header, blobs))
        while data:
            data = data[os.write(1, data) :]

    # --- the life of a guest

    def _take_guest(self) -> None:
        self.guest = self.nursery.take()
        self.question, self.ends, self.clean = None, [], True
        self.sensors.take(self.guest.reports, self.guest.pid)
        for fd in self._descriptors():
            self.poll.register(fd, select.POLLIN)

    def _descriptors(self) -> list[int]:
        return [self.guest.channel.fileno(), *self.guest.pipes, *self.sensors.descriptors()]

    def _end_guest(self, verdict: str, detail: str = "") -> None:
        """Kills the guest; `verdict` answers the pending question, else the next one."""
        guest = self.guest
        cpu, wall = self._spent(self.question) if self.question else (0.0, 0.0)
        oom = verdict == "died" and oom_kills() > self._oom_at_start
        self.sensors.listen()
        self.ends, self.clean = self.nursery.end(guest)
        self.sensors.died(self.ends)
        guest.alive = False
        self._drain_pipes()
        if verdict == "died":
            oom = oom or oom_kills() > self._oom_at_start
            verdict, detail = guest.cause_of_death(self.ends, oom)
        if self.question is not None:
            self._answer(self.question, {"status": verdict, "detail": detail}, cpu, wall)
        elif verdict != "ended":
            guest.fate = (verdict, detail)

    def _finish(self) -> None:
        """Answers "end" with output and CPU time; wipes the scratch; takes the next guest."""
        guest = self.guest
        if guest.alive:
            self._check_silence()
        if guest.alive:
            self._end_guest("ended")
        wiped = self.namespaces or all([wipe("/tmp"), wipe("/dev/shm")])
        out, err = guest.pipes.values()
        violation = guest.fate[1] if guest.fate and guest.fate[0] == "violation" else ""
        output = {  # the fields of a `JobOutput`
            "stdout": out.kept.decode("utf-8", "replace"),
            "stderr": err.kept.decode("utf-8", "replace"),
            "stdout_bytes": out.seen,
            "stderr_bytes": err.seen,
            "cpu_seconds": max(
                [guest.cpu, *(end.cpu for end in self.ends if end.pid == guest.pid)]
            ),
            "violation": violation,
        }
        header = {"op": "ended", "output": output, "clean": self.clean and wiped}
        for fd in self._descriptors():
            self._forget(fd)
        self.sensors.drop()
        self._to_host(header)
        self.nursery.release(guest)
        self._take_guest()

    def _check_silence(self) -> None:
        """Ends a guest that has sent anything since its answer: an honest one has not."""
        try:
            said = self.guest.channel.recv(1)
        except (BlockingIOError, ConnectionResetError):
            said = b""
        if self.question is None and self.guest.started and (said or self.guest.inbox):
            self._end_guest("violation", "a frame after the answer")

    # --- passing frames

    def _step(self) -> None:
        for fd, events in self.poll.poll(self._patience()):
            if fd == 0:
                self._from_host()
            elif fd == self.zygote.fileno():
                self.nursery.collect()
            elif fd == self.guest.channel.fileno():
                self._guest_ready(events)
            elif fd in self.guest.pipes:
                self._read_pipe(fd)
            else:
                self._sense(fd, events)
        due = time.monotonic() - self.looked > _GLANCE_SECONDS / 2
        if due and self.guest.started and self.guest.alive:
            self._check_limits()

    def _sense(self, fd: int, events: int) -> None:
        before = self.sensors.descriptors()
        self.sensors.listen()
        for new in self.sensors.descriptors():
            if new not in before:
                self.poll.register(new, select.POLLIN)
        if events & (select.POLLHUP | select.POLLERR | select.POLLNVAL):  # the other end is closed
            self._forget(fd)

    def _patience(self) -> int | None:
        """Returns the milliseconds until limits must be looked at again."""
        if not self.guest.started or not self.guest.alive:
            return None
        question = self.question
        if question is None:  # its threads go on between two questions
            return int(_GLANCE_SECONDS * 1000)
        wall = time.monotonic() - question.wall_start
        cpu = self.guest.clock() - question.cpu_start
        left = min(question.wall - wall, (question.cpu - cpu) / 2, _GLANCE_SECONDS)
        return max(1, int(left * 1000))

    def _from_host(self) -> None:
        data = os.read(0, 1 << 20)
        if not data:
            raise HostGone
        self.host_inbox.feed(data)
        for text, blobs in self.host_inbox.frames():
            header = frames.decode_header(text)
            op = header["op"]
            if op == "start":
                self._start(header)
            elif op == "call":
                self._ask("answer", header)
                self._to_guest(text, blobs)
            elif op == "reply":
                self._to_guest(text, blobs)
            elif op == "end":
                self._finish()

    def _start(self, header: dict[str, Any]) -> None:
        job = header["job"]
        guest = self.guest
        self._oom_at_start = oom_kills()
        guest.inbox.cap = job["output_bytes"]
        guest.memory_limit = job["memory_mb"] << 20
        # What it took to confine it is not the candidate's.
        guest.cpu = guest.charged = guest.clock()
        self._ask("loaded", header)
        self._to_guest(json.dumps(job).encode(), b"")
        guest.started = True
        self.nursery.order()  # meanwhile, on another processor

    def _ask(self, op: str, header: dict[str, Any]) -> None:
        """Makes a question pending; CPU time used since the last one counts for it."""
        self.question = question = Question(
            op, header.get("number"), header["cpu"], header["wall"],
            cpu_start=self.guest.charged, wall_start=time.monotonic(),
        )  # fmt: skip
        if not self.guest.alive:
            status, detail = self.guest.fate or ("error", "the program has already ended")
            self.guest.fate = None
            self._answer(question, {"status": status, "detail": detail}, 0.0, 0.0)

    def _spent(self, question: Question) -> tuple[float, float]:
        """Returns the seconds of (CPU, clock) that the question has taken so far."""
        cpu = self._usage()[0] - question.cpu_start
        return max(0.0, cpu), time.monotonic() - question.wall_start

    def _usage(self) -> tuple[float, int, int]:
        return self.guest.usage(self.nursery.own_pids(), self.nursery.is_spawning)

    def _answer(
        self,
        question: Question,
        header: dict[str, Any],
        cpu: float,
        wall: float,
        blobs: bytes = b"",
    ) -> None:
        self.question = None
        self.guest.charged = self.guest.cpu
        self._to_host({"op": question.op, "cpu": cpu, "wall": wall, **header}, blobs)

    def _to_guest(self, text: bytes, blobs: bytes) -> None:
        if self.guest.alive:
            self.guest.outbox += frames.PREFIX.pack(len(text), len(blobs)) + text + blobs
            self._flush()
            if len(self.guest.outbox) > _MAX_UNREAD + len(text) + len(blobs):
                self._end_guest("violation", "it asks and never reads the replies")

    def _flush(self) -> None:
        guest = self.guest
        try:
            while guest.outbox:
                del guest.outbox[: guest.channel.send(guest.outbox)]
            self.poll.modify(guest.channel.fileno(), select.POLLIN)
        except BlockingIOError:
            self.poll.modify(guest.channel.fileno(), select.POLLIN | select.POLLOUT)
        except (BrokenPipeError, ConnectionResetError):
            guest.outbox.clear()  # its death is noticed where we read

    def _guest_ready(self, events: int) -> None:
        guest = self.guest
        if not guest.alive:
            return
        if events & select.POLLOUT:
            self._flush()
        if not events & (select.POLLIN | select.POLLHUP | select.POLLERR):
            return
        try:
            data = guest.channel.recv(1 << 18)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._forget(guest.channel.fileno())
            self._end_guest("died")
            return
        guest.inbox.feed(data)
        try:
            for text, blobs in guest.inbox.frames():
                self._from_guest(text, blobs)
                if not guest.alive:
                    return
        except TooLarge as error:  # with no question pending, it should not send at all
            self._end_guest("too_large" if self.question else "violation", str(error))
        except (Violation, frames.FrameError) as error:
            self._end_guest("violation", str(error))

    def _from_guest(self, text: bytes, blobs: bytes) -> None:
        header = frames.decode_header(text)
        op, question = header.get("op"), self.question
        raw = frames.PREFIX.pack(len(text), len(blobs)) + text + blobs
        if question is None or op not in ("request", "halt", "loaded", "failed", "answer"):
            raise Violation("a frame that no guest sends")
        if op == "request":
            self._to_host({"op": "request"}, raw)
        elif op == "halt":
            if len(raw) >= 64:
                raise Violation("a frame that no guest sends")
            self._to_guest(text, blobs)
        else:
            if (question.op == "loaded") != (op in ("loaded", "failed")):
                raise Violation("an answer to a question that was not asked")
            if op == "answer" and header.get("number") != question.number:
                raise Violation("an answer to another question")
            if self.namespaces and self.guest.mounts is None:
                self.guest.hold_mounts()
            cpu, wall = self._spent(question)
            if cpu > question.cpu:
                self._end_guest("timeout", f"{cpu:.3f} s of CPU time")
                return
            self._answer(question, {"status": "guest"}, cpu, wall, raw)

    def _read_pipe(self, fd: int) -> None:
        output = self.guest.pipes[fd]
        try:
            data = os.read(fd, 1 << 18)
        except BlockingIOError:
            return
        if not data:
            self._forget(fd)
        output.seen += len(data)
        output.kept += data[: max(0, _MAX_OUTPUT - len(output.kept))]

    def _drain_pipes(self) -> None:
        for fd in self.guest.pipes:
            for _ in range(8):
                self._read_pipe(fd)

    def _forget(self, fd: int) -> None:
        try:
            self.poll.unregister(fd)
        except KeyError:
            pass

    def _check_limits(self) -> None:
        self.looked = time.monotonic()
        guest, question = self.guest, self.question
        cpu, memory, count = self._usage()
        if memory > guest.memory_limit:
            self._end_guest("oom", f"more than {guest.memory_limit >> 20} MB of memory")
        elif count > self.process_limit:
            self._end_guest("error", f"more than {self.process_limit} processes")
        elif guest.gone:
            self._end_guest("died")
        elif question is not None and cpu - question.cpu_start > question.cpu:
            self._end_guest("timeout", f"more than {question.cpu:g} s of CPU time")
        elif question is not None and self.looked - question.wall_start > question.wall:
            self._end_guest("clock", f"more than {question.wall:g} s by the clock")
