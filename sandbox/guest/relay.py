"""Process 2: passes frames between the host and one guest at a time, measures it, and ends it.

    host ──► start · call · reply · end        host ◄── ready · loaded · answer · request · ended

Frames of the guest travel to the host as they are, as the blob of a frame of ours, so that
nothing a guest writes can pass for a word of the relay. CPU time and memory are read from /proc for
every process that is not ours; clocks inside the guest do not count.
"""

import json
import os
import select
import shutil
import signal
import socket
import sys
import time

import frames

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGESIZE")
_OUTPUT_CAP = 64 << 10


def guest_pids():
    """Every process but the zygote (process 1) and this one."""
    return [int(n) for n in os.listdir("/proc") if n.isdigit() and int(n) not in (1, os.getpid())]


def main(zygote, config):
    Relay(zygote, config).serve()


class HostGone(Exception):
    """stdin ended: the host is dead or done with us."""


class Violation(Exception):
    """The guest sent what no guest sends."""


class Inbox:
    """Cuts a byte stream into frames of at most `cap` bytes each."""

    def __init__(self, cap):
        self.cap = cap
        self._data = bytearray()

    def feed(self, data):
        self._data += data

    def frames(self):
        """Yield (header bytes, blobs) for each complete frame."""
        size = frames.PREFIX.size
        while len(self._data) >= size:
            header, blobs = frames.PREFIX.unpack(self._data[:size])
            if header + blobs > self.cap:
                raise Violation(f"too_large: {header + blobs} bytes; at most {self.cap} are taken")
            if len(self._data) < size + header + blobs:
                return
            end = size + header
            piece = bytes(self._data[size:end]), bytes(self._data[end : end + blobs])
            del self._data[: end + blobs]
            yield piece


class Guest:
    """The running candidate as the relay sees it."""

    def __init__(self, pid, channel, pipes, baseline):
        self.pid = pid
        self.channel = channel
        self.inbox = Inbox(64 << 20)
        self.outbox = bytearray()
        self.pipes = {fd: [bytearray(), 0] for fd in pipes}  # kept bytes, bytes seen
        self.order = list(pipes)
        self.baseline = baseline
        self.memory_limit = 1 << 40
        self.process_limit = 1 << 20
        self.alive = True
        self._last_clock = 0.0

    def usage(self):
        """(CPU seconds, private resident bytes, processes) of everything that is not ours."""
        cpu, memory, count = 0.0, 0, 0
        for pid in guest_pids():
            try:
                with open(f"/proc/{pid}/stat", "rb") as f:
                    fields = f.read().rpartition(b")")[2].split()
                with open(f"/proc/{pid}/statm", "rb") as f:
                    pages = f.read().split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            own, children = fields[11:13], fields[13:15]
            if pid == self.pid:
                cpu += self._clock()
            else:
                cpu += sum(map(int, own)) / _TICK
            cpu += sum(map(int, children)) / _TICK
            memory += max(0, (int(pages[1]) - int(pages[2])) * _PAGE - self.baseline)
            count += 1
        return cpu, memory, count

    def _clock(self):
        """The precise CPU clock of the guest's main process (clock_getcpuclockid)."""
        try:
            self._last_clock = time.clock_gettime((~self.pid << 3) | 2)
        except OSError:
            pass  # it has just died: its last reading stands
        return self._last_clock


class Relay:
    def __init__(self, zygote, config):
        self.zygote = zygote
        self.config = config
        self.host_inbox = Inbox(1 << 30)
        self.poll = select.poll()
        self.poll.register(0, select.POLLIN)
        self.guest = None
        self.call = None  # {"kind", "cpu", "wall", "cpu_start", "wall_start"} while one is pending
        self.ended_by = None
        with open("/proc/self/statm") as f:
            pages = f.read().split()
        self.baseline = (int(pages[1]) - int(pages[2])) * _PAGE

    def serve(self):
        self._tell({"op": "ready", "python": sys.version.split()[0], "pid": os.getpid()})
        self._spawn()
        try:
            while True:
                self._step()
        except (HostGone, BrokenPipeError):
            return

    def _tell(self, header, blobs=b""):
        data = memoryview(frames.encode(header, blobs))
        while data:
            data = data[os.write(1, data) :]

    # --- the life of a guest

    def _ask_zygote(self, word, fds=()):
        socket.send_fds(self.zygote, [word], list(fds))
        return json.loads(self.zygote.recv(1 << 20))

    def _spawn(self):
        """Have the next guest ready before it is asked for."""
        ours, theirs = socket.socketpair()
        out_r, out_w = os.pipe()
        err_r, err_w = os.pipe()
        answer = self._ask_zygote(b"spawn", [theirs.fileno(), out_w, err_w])
        theirs.close()
        os.close(out_w)
        os.close(err_w)
        ours.setblocking(False)
        for fd in (out_r, err_r):
            os.set_blocking(fd, False)
            self.poll.register(fd, select.POLLIN)
        self.poll.register(ours.fileno(), select.POLLIN)
        self.guest = Guest(answer["pid"], ours, (out_r, err_r), self.baseline)
        self.call = self.ended_by = None

    def _kill_all(self):
        """SIGKILL to every process but process 1 and us, again until none is left."""
        deadline = time.monotonic() + 5
        ends = []
        while time.monotonic() < deadline:
            try:
                os.kill(-1, signal.SIGKILL)
            except ProcessLookupError:
                pass
            ends += self._ask_zygote(b"drain")["ends"]
            if not guest_pids():
                return ends, True
        return ends, False

    def _end_guest(self, verdict, detail=""):
        """Kill the guest; `verdict` is the answer to the pending call, if there is one."""
        guest = self.guest
        cpu, wall = self._spent()
        oom_before = self._oom_kills()
        ends, clean = self._kill_all()
        guest.alive = False
        self._drain_pipes()
        self.ended_by = {"ends": ends, "clean": clean}
        if verdict == "died":
            verdict, detail = self._cause(ends, oom_before)
        if self.call is not None:
            self._answer({"status": verdict, "detail": detail}, cpu, wall)

    def _cause(self, ends, oom_before):
        status = next((s for pid, s, _ in ends if pid == self.guest.pid), 0)
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGKILL and (
                self._oom_kills() > self._oom_at_start or oom_before > self._oom_at_start
            ):
                return "oom", "killed by the kernel at the memory limit"
            if number == signal.SIGXCPU:
                return "timeout", "the CPU time limit of the whole job"
            return "error", f"died of signal {number} ({signal.Signals(number).name})"
        code = os.waitstatus_to_exitcode(status)
        return "error", f"the process ended (exit status {code}) before it answered"

    @staticmethod
    def _oom_kills():
        """Kernel OOM kills in our cgroup, where the cgroup can be read (v2, then v1)."""
        for path in ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"):
            try:
                with open(path) as f:
                    for line in f:
                        if line.startswith("oom_kill "):
                            return int(line.split()[1])
            except OSError:
                continue
        return 0

    def _finish(self):
        """Answer "end": what the guest printed, its CPU time; wipe; prepare the next one."""
        guest = self.guest
        cpu = guest.usage()[0] if guest.alive else 0.0
        if guest.alive:
            self._end_guest("ended")
        for fd in guest.pipes:
            self._forget(fd)
            os.close(fd)
        self._forget(guest.channel.fileno())
        guest.channel.close()
        wiped = self._wipe()
        out, err = (guest.pipes[fd] for fd in guest.order)
        header = {
            "op": "ended",
            "stdout": out[0].decode("utf-8", "replace"),
            "stderr": err[0].decode("utf-8", "replace"),
            "stdout_bytes": out[1],
            "stderr_bytes": err[1],
            "cpu": max([cpu, *(c for pid, _, c in self.ended_by["ends"] if pid == guest.pid)]),
            "clean": self.ended_by["clean"] and wiped,
        }
        self.guest = None
        self._tell(header)
        self._spawn()

    def _wipe(self):
        if self.config["confine"] == "namespace":
            return True  # its /tmp and /dev/shm went with its mount namespace
        for place in ("/tmp", "/dev/shm"):
            for name in os.listdir(place):
                path = os.path.join(place, name)
                if os.path.isdir(path) and not os.path.islink(path):
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    os.unlink(path)
            if os.listdir(place):
                return False
        return True

    # --- passing frames

    def _step(self):
        for fd, events in self.poll.poll(self._patience()):
            if fd == 0:
                self._from_host()
            elif self.guest and fd == self.guest.channel.fileno():
                self._guest_ready(events)
            elif self.guest and fd in self.guest.pipes:
                self._read_pipe(fd)
        if self.call is not None:
            self._check_limits()

    def _patience(self):
        """Milliseconds until limits must be looked at again."""
        if self.call is None:
            return None
        cpu, wall = self._spent()
        left = min(self.call["wall"] - wall, (self.call["cpu"] - cpu) / 2, 0.02)
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
        self._oom_at_start = self._oom_kills()
        self.guest.inbox.cap = job["output_bytes"]
        self.guest.memory_limit = job["memory_bytes"]
        self.guest.process_limit = self.config["pids"]
        self._begin("loaded", header)
        self._to_guest(json.dumps(job).encode(), b"")

    def _begin(self, kind, header):
        self.call = {"kind": kind, "cpu": header["cpu"], "wall": header["wall"]}
        self.call["wall_start"] = time.monotonic()
        self.call["cpu_start"] = self.guest.usage()[0] if self.guest.alive else 0.0
        if not self.guest.alive:
            self._answer({"status": "error", "detail": "the program has already ended"}, 0.0, 0.0)

    def _spent(self):
        if self.call is None:
            return 0.0, 0.0
        cpu = self.guest.usage()[0] - self.call["cpu_start"]
        return max(0.0, cpu), time.monotonic() - self.call["wall_start"]

    def _answer(self, header, cpu, wall, blobs=b""):
        kind, self.call = self.call["kind"], None
        self._tell({"op": kind, "cpu": cpu, "wall": wall, **header}, blobs)

    def _to_guest(self, text, blobs):
        if self.guest.alive:
            self.guest.outbox += frames.PREFIX.pack(len(text), len(blobs)) + text + blobs
            self._flush()

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
        op = frames.decode_header(text).get("op")
        raw = frames.PREFIX.pack(len(text), len(blobs)) + text + blobs
        if op == "request" and self.call is not None:
            self._tell({"op": "request"}, raw)
        elif op == "halt" and self.call is not None:
            self._to_guest(text, blobs)
        elif op in ("loaded", "failed", "answer") and self.call is not None:
            if (self.call["kind"] == "loaded") != (op in ("loaded", "failed")):
                raise Violation("an answer to a question that was not asked")
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
        cpu, memory, count = self.guest.usage()
        cpu -= self.call["cpu_start"]
        wall = time.monotonic() - self.call["wall_start"]
        if cpu > self.call["cpu"]:
            self._end_guest("timeout", f"more than {self.call['cpu']:g} s of CPU time")
        elif wall > self.call["wall"]:
            self._end_guest("timeout", f"more than {self.call['wall']:g} s by the clock")
        elif memory > self.guest.memory_limit:
            self._end_guest("oom", f"more than {self.guest.memory_limit >> 20} MB of memory")
        elif count > self.guest.process_limit:
            self._end_guest("error", f"more than {self.guest.process_limit} processes")
