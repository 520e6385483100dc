"""Process 2: passes frames between the host and one guest at a time, measures it, and ends it.

    host ──► start · call · reply · end        host ◄── ready · loaded · answer · request · ended

Frames of the guest travel to the host as they are, as the blob of a frame of ours, so that
nothing a guest writes can pass for a word of the relay. CPU time and memory are read from /proc for
every process that is not ours; clocks inside the guest do not count.
"""

import json
import os
import select
import sys
import time

import frames
from nursery import Nursery, ZygoteGone
from sensors import Sensors
from watch import Inbox, Violation, oom_kills, wipe

_OUTPUT_CAP = 64 << 10
_BACKLOG = 64 << 20  # bytes that a guest may leave unread before it counts as tampering
_GLANCE = 0.02  # seconds between two looks at what a guest uses


def main(zygote, config):
    Relay(zygote, config).serve()


class HostGone(Exception):
    """stdin ended: the host is dead or done with us."""


class Relay:
    def __init__(self, zygote, config):
        self.zygote = zygote
        self.namespaces = config["confine"] == "namespace"
        self.process_limit = config["pids"]
        self.nursery = Nursery(zygote, self.namespaces)
        self.sensors = Sensors(config["watched"], self._tell)
        self.host_inbox = Inbox(1 << 30)
        self.poll = select.poll()
        self.poll.register(0, select.POLLIN)
        self.poll.register(zygote.fileno(), select.POLLIN)
        self.guest = None
        self.call = None  # {"kind", "cpu", "wall", "cpu_start", "wall_start"} while one is pending
        self.ends, self.clean = [], True
        self.looked = 0.0
        self._oom_at_start = 0
        if not self.namespaces:  # see Guest.kill
            os.setresuid(config["uid_base"] + 511, 0, 0)

    def serve(self):
        self._tell({"op": "ready", "python": sys.version.split()[0], "pid": os.getpid()})
        self._take_guest()
        try:
            while True:
                self._step()
        except (HostGone, ZygoteGone, BrokenPipeError):
            return

    def _tell(self, header, blobs=b""):
        data = memoryview(frames.encode(header, blobs))
        while data:
            data = data[os.write(1, data) :]

    # --- the life of a guest

    def _take_guest(self):
        self.guest = self.nursery.take()
        self.call, self.ends, self.clean = None, [], True
        self.sensors.take(self.guest.words, self.guest.pid)
        for fd in (self.guest.channel.fileno(), *self.guest.pipes, *self.sensors.descriptors()):
            self.poll.register(fd, select.POLLIN)

    def _end_guest(self, verdict, detail=""):
        """Kill the guest; `verdict` answers the pending call, else the next question."""
        guest = self.guest
        cpu, wall = self._spent() if self.call is not None else (0.0, 0.0)
        oom = verdict == "died" and oom_kills() > self._oom_at_start
        self.sensors.listen()
        self.ends, self.clean = self.nursery.end(guest)
        self.sensors.died(self.ends)
        guest.alive = False
        self._drain_pipes()
        if verdict == "died":
            oom = oom or oom_kills() > self._oom_at_start
            verdict, detail = guest.cause_of_death(self.ends, oom)
        if self.call is not None:
            self._answer({"status": verdict, "detail": detail}, cpu, wall)
        elif verdict != "ended":
            guest.fate = (verdict, detail)

    def _finish(self):
        """Answer "end": what the guest printed, its CPU time; wipe; the next guest is there."""
        guest = self.guest
        if guest.alive:
            self._hear_last_words()
        if guest.alive:
            self._end_guest("ended")
        wiped = self.namespaces or all([wipe("/tmp"), wipe("/dev/shm")])
        out, err = (guest.pipes[fd] for fd in guest.order)
        violation = guest.fate[1] if guest.fate and guest.fate[0] == "violation" else ""
        header = {
            "op": "ended",
            "stdout": out[0].decode("utf-8", "replace"),
            "stderr": err[0].decode("utf-8", "replace"),
            "stdout_bytes": out[1],
            "stderr_bytes": err[1],
            "cpu": max([guest.cpu, *(c for pid, _, c in self.ends if pid == guest.pid)]),
            "clean": self.clean and wiped,
            "violation": violation,
        }
        for fd in (guest.channel.fileno(), *guest.pipes, *self.sensors.descriptors()):
            self._forget(fd)
        self.sensors.drop()
        self._tell(header)
        self.nursery.bury(guest)
        self._take_guest()

    def _hear_last_words(self):
        """Between an answer and the next question an honest guest has nothing to say."""
        try:
            said = self.guest.channel.recv(1)
        except (BlockingIOError, ConnectionResetError):
            said = b""
        if self.call is None and self.guest.started and (said or self.guest.inbox):
            self._end_guest("violation", "a frame after the answer")

    # --- passing frames

    def _step(self):
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
        due = time.monotonic() - self.looked > _GLANCE / 2
        if due and self.guest.started and self.guest.alive:
            self._check_limits()

    def _sense(self, fd, events):
        before = self.sensors.descriptors()
        self.sensors.listen()
        for new in self.sensors.descriptors():
            if new not in before:
                self.poll.register(new, select.POLLIN)
        if events & (select.POLLHUP | select.POLLERR | select.POLLNVAL):  # the other end is closed
            self._forget(fd)

    def _patience(self):
        """Milliseconds until limits must be looked at again."""
        if not self.guest.started or not self.guest.alive:
            return None
        if self.call is None:  # its threads go on between two questions
            return int(_GLANCE * 1000)
        wall = time.monotonic() - self.call["wall_start"]
        cpu = self.guest.clock() - self.call["cpu_start"]
        left = min(self.call["wall"] - wall, (self.call["cpu"] - cpu) / 2, _GLANCE)
        return max(1, int(left * 1000))

    def _from_host(self):
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
                self._begin("answer", header)
                self._to_guest(text, blobs)
            elif op == "reply":
                self._to_guest(text, blobs)
            elif op == "end":
                self._finish()

    def _start(self, header):
        job = header["job"]
        guest = self.guest
        self._oom_at_start = oom_kills()
        guest.inbox.cap = job["output_bytes"]
        guest.memory_limit = job["memory_bytes"]
        guest.process_limit = self.process_limit
        # What it took to confine it is not the candidate's.
        guest.cpu = guest.charged = guest.clock()
        self._begin("loaded", header)
        self._to_guest(json.dumps(job).encode(), b"")
        guest.started = True
        self.nursery.order()  # meanwhile, on another processor

    def _begin(self, kind, header):
        """A question is pending from now on; what was used since the last one counts for it."""
        self.call = {"kind": kind, "cpu": header["cpu"], "wall": header["wall"]}
        self.call["wall_start"] = time.monotonic()
        self.call["cpu_start"] = self.guest.charged
        self.call["number"] = header.get("number")
        if not self.guest.alive:
            status, detail = self.guest.fate or ("error", "the program has already ended")
            self.guest.fate = None
            self._answer({"status": status, "detail": detail}, 0.0, 0.0)

    def _spent(self):
        cpu = self._usage()[0] - self.call["cpu_start"]
        return max(0.0, cpu), time.monotonic() - self.call["wall_start"]

    def _usage(self):
        return self.guest.usage(self.nursery.our_pids(), passing=self.nursery.unborn)

    def _answer(self, header, cpu, wall, blobs=b""):
        kind, self.call = self.call["kind"], None
        self.guest.charged = self.guest.cpu
        self._tell({"op": kind, "cpu": cpu, "wall": wall, **header}, blobs)

    def _to_guest(self, text, blobs):
        if self.guest.alive:
            self.guest.outbox += frames.PREFIX.pack(len(text), len(blobs)) + text + blobs
            self._flush()
            if len(self.guest.outbox) > _BACKLOG + len(text) + len(blobs):
                self._end_guest("violation", "it asks and never reads the replies")

    def _flush(self):
        guest = self.guest
        try:
            while guest.outbox:
                del guest.outbox[: guest.channel.send(guest.outbox)]
            self.poll.modify(guest.channel.fileno(), select.POLLIN)
        except BlockingIOError:
            self.poll.modify(guest.channel.fileno(), select.POLLIN | select.POLLOUT)
        except (BrokenPipeError, ConnectionResetError):
            guest.outbox.clear()  # its death is noticed where we read

    def _guest_ready(self, events):
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
        except (Violation, frames.FrameError) as error:
            self._end_guest("violation", str(error))

    def _from_guest(self, text, blobs):
        header = frames.decode_header(text)
        op = header.get("op")
        raw = frames.PREFIX.pack(len(text), len(blobs)) + text + blobs
        if op == "request" and self.call is not None:
            self._tell({"op": "request"}, raw)
        elif op == "halt" and self.call is not None and len(raw) < 64:
            self._to_guest(text, blobs)
        elif op in ("loaded", "failed", "answer") and self.call is not None:
            if (self.call["kind"] == "loaded") != (op in ("loaded", "failed")):
                raise Violation("an answer to a question that was not asked")
            if op == "answer" and header.get("number") != self.call["number"]:
                raise Violation("an answer to another question")
            if self.namespaces and self.guest.mounts is None:
                self.guest.hold_mounts()
            cpu, wall = self._spent()
            if cpu > self.call["cpu"]:
                self._end_guest("timeout", f"{cpu:.3f} s of CPU time")
                return
            self._answer({"status": "guest"}, cpu, wall, raw)
        else:
            raise Violation("a frame that no guest sends")

    def _read_pipe(self, fd):
        kept = self.guest.pipes[fd]
        try:
            data = os.read(fd, 1 << 18)
        except BlockingIOError:
            return
        if not data:
            self._forget(fd)
        kept[1] += len(data)
        kept[0] += data[: max(0, _OUTPUT_CAP - len(kept[0]))]

    def _drain_pipes(self):
        for fd in self.guest.pipes:
            for _ in range(8):
                self._read_pipe(fd)

    def _forget(self, fd):
        try:
            self.poll.unregister(fd)
        except KeyError:
            pass

    def _check_limits(self):
        self.looked = time.monotonic()
        guest, call = self.guest, self.call
        cpu, memory, count = self._usage()
        if memory > guest.memory_limit:
            self._end_guest("oom", f"more than {guest.memory_limit >> 20} MB of memory")
        elif count > guest.process_limit:
            self._end_guest("error", f"more than {guest.process_limit} processes")
        elif guest.gone:
            self._end_guest("died")
        elif call is not None and cpu - call["cpu_start"] > call["cpu"]:
            self._end_guest("timeout", f"more than {call['cpu']:g} s of CPU time")
        elif call is not None and self.looked - call["wall_start"] > call["wall"]:
            self._end_guest("timeout", f"more than {call['wall']:g} s by the clock")
