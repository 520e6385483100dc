"""First code in the sandbox: becomes process 1, the zygote, and forks the relay.

    host ──stdio── relay (process 2) ──socket── guest (the candidate, one at a time)
                     │                            ▲
                     └─"spawn", "reap"─► zygote (process 1) forks it

The zygote imports numpy once and then only forks and reaps. It never sees a program, an input or
an answer, so that the memory a guest inherits tells nothing of the guests before it. The relay
talks to the host, measures, and kills. Neither holds a secret.

Started as `python -c BOOTSTRAP`: the bootstrap reads the bundle of these modules from stdin,
registers them, and calls `main`.
"""

import ctypes
import gc
import json
import os
import socket
import time

import child
import relay
import sensors


def main(config):
    """Never returns. `config`: see `stop.sandbox.guest.bundle`."""
    import numpy
    import numpy.random  # noqa: F401

    for name in ("random", "math", "heapq", "itertools", "collections", "threading", "traceback"):
        __import__(name)
    ctypes.CDLL(None).mallopt(-8, 1)  # M_ARENA_MAX: arenas would eat threads' address space
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE 0: no guest may read our memory
    for name in ("LD_LIBRARY_PATH", "PYTHONPATH"):  # a guest may start the interpreter again
        if name in os.environ:
            config["environment"][name] = os.environ[name]
    sensors.plant()
    config["filter"] = child.packed_filter(config["seccomp"])
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    relay_pid = os.fork()
    if relay_pid == 0:
        ours.close()
        try:
            relay.main(theirs, config)
        finally:
            os._exit(0)
    theirs.close()
    _silence()
    gc.collect()
    gc.freeze()  # a collection in a guest must not touch, and so copy, every page of ours
    serve(ours, relay_pid, config)


def _silence():
    """The zygote lets go of the stdio that belongs to the relay."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(null, fd)
    os.close(null)


def serve(relay_socket, relay_pid, config):
    """Answer the relay until it is gone: then every process here ends with process 1."""
    serial = 0
    while True:
        message, fds, _, _ = socket.recv_fds(relay_socket, 1024, 4)
        if not message:
            os._exit(0)
        order = json.loads(message)
        answer = None
        if order["do"] == "spawn":
            serial += 1
            uid = config["uid_base"] + serial % 500
            answer = {"pid": child.fork(fds, uid, config, close=[relay_socket.fileno()])}
            answer["uid"] = uid
        elif order["do"] == "reap":  # it and all it started were sent SIGKILL
            answer = _reap(order["pid"], {1, relay_pid, order["spare"]})
        if answer is not None:  # "drop" has none: closing what came with it is all
            relay_socket.send(json.dumps(answer).encode())
        for fd in fds:
            os.close(fd)


def _reap(guest, ours, patience=1.0):
    """Wait for `guest`, then for everything that is not ours; "clean" says that nothing is left.

    "ends" are [pid, wait status, CPU seconds], the last 200.
    """
    deadline = time.monotonic() + patience
    ends = []
    wanted, flags = guest, 0
    while True:
        try:
            pid, status, usage = os.wait4(wanted, flags)
        except ChildProcessError:
            pid = 0
        if pid:
            ends.append([pid, status, usage.ru_utime + usage.ru_stime])
        wanted, flags = -1, os.WNOHANG
        if pid not in (0, guest):
            continue
        left = any(p.isdigit() and int(p) not in ours for p in os.listdir("/proc"))
        if not left or time.monotonic() > deadline:
            return {"ends": ends[-200:], "clean": not left}
        time.sleep(0.0005)
