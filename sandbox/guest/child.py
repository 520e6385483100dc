"""The process that runs a candidate: confine yourself, then obey `call` frames.

Everything before `_execute` is ours; from there on the process is the adversary's, and whatever it
sends is a claim. Limits that matter are kept by the relay, the kernel and the host.
"""

import ctypes
import io
import os
import resource
import signal
import socket
import struct
import sys
import traceback
import types

import chance
import frames
import hooks
import services

_LIBC = ctypes.CDLL(None, use_errno=True)
_PYTHON = ctypes.PyDLL(None, use_errno=True)  # calls that keep Python's own lock
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE_NEWNS, _CLONE_NEWPID, _CLONE_NEWIPC = 0x00020000, 0x20000000, 0x08000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18
_MS_RDONLY, _MS_REMOUNT, _MS_BIND = 1, 32, 4096
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_NOTIFY, _DENY = 0x7FC00000, 0x00050001
_OURS = ("boot", "relay", "sensors", "nursery", "watch", "child", "services", "hooks", "frames")
"""Modules that a program has no business with: it does not find them by their names."""


def fork(fds, uid, config, close):
    """Fork a guest that waits for its program on fds[0]; the rest: stdout, stderr, hook's words.

    In "namespace" mode the guest is the first process of a pid namespace of its own, with private
    mounts; in "uid" mode it has a user id of its own. Returns its pid.
    """
    namespaces = config["confine"] == "namespace"
    pid = _fork_into_pid_namespace() if namespaces else os.fork()
    if pid:
        return pid
    try:
        for fd in close:
            os.close(fd)
        _wire(fds)
        words = socket.socket(fileno=4)
        _confine(uid, config, namespaces, words)
        _rehearse()
        _main(socket.socket(fileno=3), words)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(70)


def _fork_into_pid_namespace():
    """`os.fork` whose child is the first process of a new pid namespace, by one system call.

    `unshare` would do it by way of a second process, and moves our own later children as well.
    Python is told what `os.fork` tells it. This process has one thread, so that no lock of the C
    library is held by another.
    """
    _PYTHON.PyOS_BeforeFork()
    pid = _PYTHON.syscall(_CLONE[os.uname().machine], _CLONE_NEWPID | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        _PYTHON.PyOS_AfterFork_Child()
        return 0
    _PYTHON.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(ctypes.get_errno(), "no pid namespace for the guest")
    return pid


def _wire(fds):
    """stdin from nowhere, stdout and stderr to the relay's pipes, channel on 3, words on 4."""
    null = os.open(os.devnull, os.O_RDONLY)
    high = [os.dup(fd) for fd in fds]  # away from the numbers to be filled
    os.dup2(null, 0)
    os.dup2(high[1], 1)
    os.dup2(high[2], 2)
    os.dup2(high[0], 3)
    os.dup2(high[3], 4)
    os.closerange(5, 1024)
    sys.stdin = io.TextIOWrapper(os.fdopen(0, "rb", closefd=False))
    sys.stdout = io.TextIOWrapper(
        os.fdopen(1, "wb", 0, closefd=False), "utf-8", "replace", write_through=True
    )
    sys.stderr = io.TextIOWrapper(
        os.fdopen(2, "wb", 0, closefd=False), "utf-8", "replace", write_through=True
    )


def _check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what} failed")


def _confine(uid, config, namespaces, words):
    os.setsid()
    _LIBC.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE 1: the zygote's 0 would lock us out of /proc/self
    with open("/proc/self/oom_score_adj", "w") as f:  # die before the relay does
        f.write("1000")
    if namespaces:
        _check(_LIBC.unshare(_CLONE_NEWNS | _CLONE_NEWIPC), "unshare")
        _check(_LIBC.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None), "mount")
        flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
        for place in (b"/tmp", b"/dev/shm"):
            size = f"size={config['tmpfs_mb']}m,nr_inodes=4096,mode=1777".encode()
            _check(_LIBC.mount(b"tmpfs", place, b"tmpfs", flags, size), "mount tmpfs")
        # A guest has the user id of whoever wrote what lies in /run.
        again = _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV
        _check(_LIBC.mount(None, b"/run", None, again, None), "remount /run")
        if _LIBC.mount(b"proc", b"/proc", b"proc", flags, None) != 0 and not config["old_proc"]:
            raise OSError(ctypes.get_errno(), "mount proc failed")
    os.chdir("/tmp")
    limit = resource.setrlimit
    limit(resource.RLIMIT_CORE, (0, 0))
    limit(resource.RLIMIT_NOFILE, (256, 256))
    limit(resource.RLIMIT_FSIZE, (config["tmpfs_mb"] << 20,) * 2)
    limit(resource.RLIMIT_NPROC, (config["pids"],) * 2)
    limit(resource.RLIMIT_MEMLOCK, (0, 0))
    limit(resource.RLIMIT_MSGQUEUE, (0, 0))
    _drop_privileges(uid, namespaces)
    _install_filter(config["filter"], words)
    os.environ.clear()
    os.environ.update(config["environment"])


def _drop_privileges(uid, namespaces):
    for capability in range(64):  # beyond the last one the kernel answers EINVAL
        if _LIBC.prctl(24, capability, 0, 0, 0) != 0:  # PR_CAPBSET_DROP
            break
    if not namespaces:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    _check(_LIBC.prctl(47, 4, 0, 0, 0), "clear ambient capabilities")
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _check(_LIBC.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    _check(_LIBC.prctl(38, 1, 0, 0, 0), "no_new_privs")


def packed_filter(program):
    """A seccomp filter out of [code, jt, jf, k] rows; denies quietly where nobody can be told."""
    try:
        with open("/proc/sys/kernel/seccomp/actions_avail") as f:
            told = "user_notif" in f.read()
    except OSError:
        told = False
    rows = ((*row[:3], row[3] if told or row[3] != _NOTIFY else _DENY) for row in program)
    return b"".join(struct.pack("=HBBI", *row) for row in rows)


def _install_filter(program, words):
    """Attach the filter, and give the relay the descriptor that hears of what it denies.

    No copy of the descriptor stays here: who holds it could allow what the filter denies.
    """

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.c_char_p))

    if not program:
        words.send(b"no filter")
        return
    prog = Program(len(program) // 8, program)
    call = _SECCOMP[os.uname().machine]
    told = struct.pack("=I", _NOTIFY) in program
    listener = _LIBC.syscall(call, 1, 8 if told else 0, ctypes.byref(prog))  # MODE_FILTER, LISTENER
    _check(min(listener, 0), "seccomp")
    if not told:
        words.send(b"no filter")
        return
    socket.send_fds(words, [b"filter"], [listener])
    os.close(listener)


def _main(channel, words):
    words.setblocking(False)
    job = services.receive(channel)
    job["pid"] = os.getpid()
    soft = job["memory_bytes"] + _own_size()
    resource.setrlimit(resource.RLIMIT_AS, (soft, soft))
    cpu = int(job["total_cpu"]) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    chance.begin(job["seed"])
    hooks.install(words)
    for name in _OURS:
        sys.modules.pop(name, None)
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


def _rehearse():
    """Do once what a job will do, so that the pages it writes to are copied before anyone waits."""
    chance.install()
    chance.begin(0)
    _execute({"source": "def algorithm(x):\n    return x\n", "entry": "algorithm"})
    node, blobs = frames.pack(({"text": [1, 2.5, None, True]},))
    text = frames.encode({"op": "answer", "value": node}, blobs)[frames.PREFIX.size :]
    frames.unpack(frames.decode_header(text)["value"], blobs)
    _own_size()


def _own_size():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[0]) * resource.getpagesize()


def _execute(job):
    """Run the program's top level. Returns (entry point, None) or (None, what is wrong)."""
    module = types.ModuleType("program")
    sys.modules["program"] = sys.modules["__main__"] = module
    module.__dict__["__name__"] = "program"
    import linecache  # so that tracebacks show the program's own lines

    lines = job["source"].splitlines(keepends=True)
    linecache.cache["<program>"] = (len(job["source"]), None, lines, "<program>")
    try:
        exec(compile(job["source"], "<program>", "exec"), module.__dict__)
        return module.__dict__[job["entry"]], None
    except BaseException as error:
        return None, _describe(error)


def _answer(entry, call, job, channel):
    """Call the entry point; the frame to send back."""
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


def _end_copies(job):
    """A program may fork and come back on both sides; the first process alone may answer."""
    if os.getpid() != job["pid"]:
        os._exit(0)


def _describe(error):
    """Status and the guest's own part of the traceback."""
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
