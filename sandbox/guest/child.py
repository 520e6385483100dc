"""The process that runs a candidate: confines itself, then obeys `call` frames.

Everything before `_execute` is ours; from there on the process is the adversary's, and whatever it
sends is a claim. Limits that matter are kept by the relay, the kernel and the host.
"""

from __future__ import annotations

import ctypes
import io
import linecache
import os
import resource
import signal
import socket
import struct
import sys
import traceback
import types
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from stop.sandbox import frames

from . import chance, hooks, services

if TYPE_CHECKING:
    from stop.sandbox.protocol import GuestConfig

_LIBC = ctypes.CDLL(None, use_errno=True)
_PYTHON = ctypes.PyDLL(None, use_errno=True)  # calls that keep Python's own lock
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE_NEWNS, _CLONE_NEWPID, _CLONE_NEWIPC = 0x00020000, 0x20000000, 0x08000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18
_MS_RDONLY, _MS_REMOUNT, _MS_BIND = 1, 32, 4096
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_NOTIFY, _DENY = 0x7FC00000, 0x00050001
_ENVIRONMENT = {
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}


def fork(fds: Sequence[int], uid: int, config: GuestConfig, seccomp: bytes, close: int) -> int:
    """Forks a guest that waits for its program. Returns its process id.

    In "namespace" mode the guest is the first process of a pid namespace of its own, with private
    mounts; in "uid" mode it has a user id of its own.

    Args:
        fds: channel, stdout, stderr and the socket for reports of its hook.
        uid: its user id in "uid" mode.
        config: of the sandbox.
        seccomp: its filter, from `packed_filter`.
        close: a descriptor of the zygote that the guest must not have.
    """
    namespaces = config.confine == "namespace"
    pid = _fork_into_pid_namespace() if namespaces else os.fork()
    if pid:
        return pid
    try:
        os.close(close)
        _wire(fds)
        reports = socket.socket(fileno=4)
        _confine(config, None if namespaces else uid)
        _install_filter(seccomp, reports)
        _reset_environment()
        _rehearse()
        _main(socket.socket(fileno=3), reports)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(70)


def _reset_environment() -> None:
    """Leaves of our variables only those that a guest needs to start the interpreter again."""
    kept = {name: os.environ.get(name) for name in ("LD_LIBRARY_PATH", "PYTHONPATH")}
    os.environ.clear()
    os.environ.update(_ENVIRONMENT | {name: value for name, value in kept.items() if value})


def _fork_into_pid_namespace() -> int:
    """Acts as `os.fork`; the child is the first process of a new pid namespace.

    `unshare` would need a second process and would also move our own later children. Python's own
    fork handlers are called as `os.fork` calls them. This process has one thread, so no other can
    hold a lock of the C library.
    """
    _PYTHON.PyOS_BeforeFork()
    pid: int = _PYTHON.syscall(
        _CLONE[os.uname().machine], _CLONE_NEWPID | signal.SIGCHLD, 0, 0, 0, 0
    )
    if pid == 0:
        _PYTHON.PyOS_AfterFork_Child()
        return 0
    _PYTHON.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(ctypes.get_errno(), "no pid namespace for the guest")
    return pid


def _wire(fds: Sequence[int]) -> None:
    """Puts an empty stdin on 0, the relay's pipes on 1 and 2, the channel on 3, reports on 4."""
    null = os.open(os.devnull, os.O_RDONLY)
    channel, out, err, reports = (os.dup(fd) for fd in fds)  # away from the numbers to be filled
    for target, fd in enumerate((null, out, err, channel, reports)):
        os.dup2(fd, target)
    os.closerange(5, 1024)
    sys.stdin = io.TextIOWrapper(os.fdopen(0, "rb", closefd=False))
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(
            os.fdopen(fd, "wb", 0, closefd=False), "utf-8", "replace", write_through=True
        )
        for fd in (1, 2)
    )


def _check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what} failed")


def _confine(config: GuestConfig, uid: int | None) -> None:
    """Takes from this process what a guest must not have; `uid`: None for namespaces instead."""
    os.setsid()
    _LIBC.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE 1: the zygote's 0 would lock us out of /proc/self
    with open("/proc/self/oom_score_adj", "w") as f:  # die before the relay does
        f.write("1000")
    if uid is None:
        _make_private_mounts(config)
    os.chdir("/tmp")
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_FSIZE, config.tmpfs_mb << 20),
        (resource.RLIMIT_NPROC, config.pids),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    for capability in range(64):  # beyond the last one the kernel answers EINVAL
        if _LIBC.prctl(24, capability, 0, 0, 0) != 0:  # PR_CAPBSET_DROP
            break
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    _check(_LIBC.prctl(47, 4, 0, 0, 0), "clear ambient capabilities")
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _check(_LIBC.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    _check(_LIBC.prctl(38, 1, 0, 0, 0), "no_new_privs")


def _make_private_mounts(config: GuestConfig) -> None:
    _check(_LIBC.unshare(_CLONE_NEWNS | _CLONE_NEWIPC), "unshare")
    _check(_LIBC.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None), "mount")
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    for place in (b"/tmp", b"/dev/shm"):
        size = f"size={config.tmpfs_mb}m,nr_inodes=4096,mode=1777".encode()
        _check(_LIBC.mount(b"tmpfs", place, b"tmpfs", flags, size), "mount tmpfs")
    # The canaries in /run were written under the user id that a guest has as well.
    again = _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV
    _check(_LIBC.mount(None, b"/run", None, again, None), "remount /run")
    if _LIBC.mount(b"proc", b"/proc", b"proc", flags, None) != 0 and not config.old_proc:
        raise OSError(ctypes.get_errno(), "mount proc failed")


def packed_filter(rows: Iterable[Sequence[int]]) -> bytes:
    """Packs a seccomp filter of [code, jt, jf, k] rows.

    Where the kernel cannot hand calls over, those that the relay would hear of are denied quietly.
    """
    try:
        with open("/proc/sys/kernel/seccomp/actions_avail") as f:
            notifies = "user_notif" in f.read()
    except OSError:
        notifies = False
    return b"".join(
        struct.pack("=HBBI", *row[:3], row[3] if notifies or row[3] != _NOTIFY else _DENY)
        for row in rows
    )


def _install_filter(seccomp: bytes, reports: socket.socket) -> None:
    """Attaches the filter and sends the relay the descriptor that hears of what it denies.

    No copy of the descriptor stays here: its holder could allow what the filter denies.
    """

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.c_char_p))

    notifies = struct.pack("=I", _NOTIFY) in seccomp
    if seccomp:
        program = Program(len(seccomp) // 8, seccomp)
        call = _SECCOMP[os.uname().machine]
        # SECCOMP_SET_MODE_FILTER with SECCOMP_FILTER_FLAG_NEW_LISTENER
        listener = _LIBC.syscall(call, 1, 8 if notifies else 0, ctypes.byref(program))
        _check(min(listener, 0), "seccomp")
    if not notifies:
        reports.send(b"no filter")
        return
    socket.send_fds(reports, [b"filter"], [listener])
    os.close(listener)


def _main(channel: socket.socket, reports: socket.socket) -> None:
    """Loads the program of a job and answers calls of its entry point until it is killed."""
    reports.setblocking(False)
    job = services.receive(channel)
    job["pid"] = os.getpid()
    memory = (job["memory_mb"] << 20) + _own_size()
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    cpu = int(job["total_cpu_seconds"]) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    chance.begin(job["random_seed"])
    hooks.install(reports)
    entry, problem = _execute(job)
    _end_copies(job)
    if problem:
        services.send(channel, {"op": "failed", **problem})
        return
    services.send(channel, {"op": "loaded"})
    while True:
        call = services.receive(channel)
        header, blobs = _answer(entry, call, job, channel)
        services.send(channel, {**header, "number": call["number"]}, blobs)


def _rehearse() -> None:
    """Does once what a job will do, so that the pages it writes to are copied ahead of time."""
    chance.install()
    chance.begin(0)
    _execute({"source": "def algorithm(x):\n    return x\n", "entry_point": "algorithm"})
    node, blobs = frames.pack(({"text": [1, 2.5, None, True]},))
    text = frames.encode({"op": "answer", "value": node}, blobs)[frames.PREFIX.size :]
    frames.unpack(frames.decode_header(text)["value"], blobs)
    _own_size()


def _own_size() -> int:
    with open("/proc/self/statm") as f:
        return int(f.read().split()[0]) * resource.getpagesize()


def _execute(job: dict[str, Any]) -> tuple[Any, dict[str, str] | None]:
    """Runs the program's top level. Returns (entry point, None) or (None, what is wrong)."""
    source = job["source"]
    module = types.ModuleType("program")
    sys.modules["program"] = sys.modules["__main__"] = module
    lines = source.splitlines(keepends=True)  # so that tracebacks show the program's own
    linecache.cache["<program>"] = (len(source), None, lines, "<program>")
    try:
        # Not under the __future__ of this module.
        exec(compile(source, "<program>", "exec", dont_inherit=True), module.__dict__)
        return module.__dict__[job["entry_point"]], None
    except BaseException as error:
        return None, _describe(error)


def _answer(
    entry: Any, call: dict[str, Any], job: dict[str, Any], channel: socket.socket
) -> tuple[dict[str, Any], bytes]:
    """Calls the entry point. Returns header and blobs of the frame to send back."""
    try:
        args = call["args"]
        if job["services"]:
            args = (*args, *services.connect(channel, job["services"]))
        value = entry(*args)
        node, blobs = frames.pack(value)
        return {"op": "answer", "value": node}, blobs
    except frames.FrameError as error:
        return {"op": "answer", "problem": {"status": "invalid", "detail": str(error)}}, b""
    except BaseException as error:
        return {"op": "answer", "problem": _describe(error)}, b""
    finally:
        _end_copies(job)
        services.disconnect()


def _end_copies(job: dict[str, Any]) -> None:
    """Ends a copy: a program may fork and return in both, and only the first may answer."""
    if os.getpid() != job["pid"]:
        os._exit(0)


def _describe(error: BaseException) -> dict[str, str]:
    """Returns the status and the guest's own part of the traceback."""
    status = "oom" if isinstance(error, MemoryError) else "error"
    try:
        entries = [
            e for e in traceback.extract_tb(error.__traceback__) if e.filename == "<program>"
        ]
        where = f" (line {entries[-1].lineno} in {entries[-1].name})" if entries else ""
        text = f"{type(error).__name__}: {error}"[:500] + where
    except BaseException:
        text = "an exception that cannot be shown"
    return {"status": status, "detail": text}
