"""One running candidate as the relay sees it: its frames, what it uses, how all of it is killed."""

import os
import signal
import time

import frames

_TICK = os.sysconf("SC_CLK_TCK")
_ABSURD = 1 << 30  # no frame of an honest client: its memory ends before
_PAGE = os.sysconf("SC_PAGESIZE")


class Violation(Exception):
    """The guest sent what no guest sends."""


class Inbox:
    """Cuts a byte stream into frames of at most `cap` bytes each."""

    def __init__(self, cap):
        self.cap = cap
        self._data = bytearray()

    def __bool__(self):
        return bool(self._data)

    def feed(self, data):
        self._data += data

    def frames(self):
        """Yield (header bytes, blobs) for each complete frame."""
        size = frames.PREFIX.size
        while len(self._data) >= size:
            header, blobs = frames.PREFIX.unpack(self._data[:size])
            if header + blobs > _ABSURD:
                raise Violation(f"a frame of {header + blobs} bytes")
            if header + blobs > self.cap:
                raise Violation(f"too_large: {header + blobs} bytes; at most {self.cap} are taken")
            if len(self._data) < size + header + blobs:
                return
            end = size + header
            piece = bytes(self._data[size:end]), bytes(self._data[end : end + blobs])
            del self._data[: end + blobs]
            yield piece


def private_bytes():
    """Resident bytes of this process that it shares with no file."""
    with open("/proc/self/statm") as f:
        pages = f.read().split()
    return (int(pages[1]) - int(pages[2])) * _PAGE


class Guest:
    """A candidate's process with everything that it starts.

    `uid` is its user id where it has one of its own, None where it is the first process of a pid
    namespace. `fate` is (status, detail) when it ended while nobody had asked it anything.
    """

    def __init__(self, pid, uid, *, channel, words, pipes, baseline):
        self.pid = pid
        self.uid = uid
        self.channel = channel
        self.words = words  # of the hook in its process; see `sensors`
        self.inbox = Inbox(64 << 20)
        self.outbox = bytearray()
        self.pipes = {fd: [bytearray(), 0] for fd in pipes}  # kept bytes, bytes seen
        self.order = list(pipes)
        self.memory_limit = 1 << 40
        self.process_limit = 1 << 20
        self.alive = True
        self.gone = False  # its first process is dead; others may hold the channel open
        self.started = False
        self.fate = None
        self.mounts = None
        self.cpu = 0.0  # used so far, as last seen
        self.charged = 0.0  # of that, what earlier questions have paid for
        self._baseline = baseline
        self._last_clock = 0.0

    def usage(self, ours, passing=False):
        """(CPU seconds, private resident bytes, processes) of the guest.

        `ours` are the process ids that do not count. `passing`: a process of ours is being made
        whose number is not known yet; children of process 1 do not count that moment.
        """
        cpu, memory, count = 0.0, 0, 0
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) in ours:
                continue
            pid = int(name)
            try:
                with open(f"/proc/{pid}/stat", "rb") as f:
                    fields = f.read().rpartition(b")")[2].split()
                with open(f"/proc/{pid}/statm", "rb") as f:
                    pages = f.read().split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if pid == self.pid:
                cpu += self.clock()
                self.gone = fields[0] == b"Z"
            elif passing and fields[1] == b"1":
                continue
            else:
                cpu += sum(map(int, fields[11:13])) / _TICK
            cpu += sum(map(int, fields[13:15])) / _TICK
            memory += max(0, (int(pages[1]) - int(pages[2])) * _PAGE - self._baseline)
            count += 1
        self.cpu = max(self.cpu, cpu)
        return self.cpu, memory, count

    def clock(self):
        """The precise CPU clock of the guest's first process (clock_getcpuclockid)."""
        try:
            self._last_clock = time.clock_gettime((~self.pid << 3) | 2)
        except OSError:
            pass  # it has just died: its last reading stands
        return self._last_clock

    def kill(self):
        """SIGKILL to all of it at once, whatever it forks meanwhile.

        A pid namespace ends with its first process. A user id is killed from under that id: the
        kernel then passes over everything that has another. Our real id is nobody's (see `Relay`),
        and our saved one stays 0, so that the guest cannot signal us.
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

    def cause_of_death(self, ends, oom):
        """(status, detail) from how it ended; `oom`: the kernel killed someone for memory."""
        status = next((s for pid, s, _ in ends if pid == self.pid), 0)
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGKILL and oom:
                return "oom", "killed by the kernel at the memory limit"
            if number == signal.SIGXCPU:
                return "timeout", "the CPU time limit of the whole job"
            return "error", f"died of signal {number} ({signal.strsignal(number) or 'real time'})"
        code = os.waitstatus_to_exitcode(status)
        return "error", f"the process ended (exit status {code}) before it answered"

    def hold_mounts(self):
        """Keep its mount namespace past its death: taking it apart is slow, and can wait.

        Best effort: a guest that closes itself off dies as slowly as it likes to.
        """
        try:
            self.mounts = os.open(f"/proc/{self.pid}/ns/mnt", os.O_RDONLY)
        except OSError:
            pass

    def close(self):
        for fd in self.pipes:
            os.close(fd)
        self.channel.close()
        self.words.close()


def oom_kills():
    """Kernel OOM kills in our cgroup, where the cgroup can be read (v2, then v1), else 0."""
    for path in ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"):
        try:
            with open(path) as f:
                for line in f:
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
        except OSError:
            continue
    return 0


def wipe(place):
    """Empty a folder that a guest could write to, however deep; whether it is empty now.

    Folders are taken over first (a sticky one gives up only what its owner removes), and what lies
    deep is moved up, so that no depth of nesting costs us stack or descriptors.
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
