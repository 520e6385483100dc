"""Process 1 of the sandbox, the zygote: forks the relay, then guests for it.

It never sees a program, an input or an answer, so the memory that a guest inherits holds nothing of
the guests before it. The relay talks to the host, measures and kills. Neither holds a secret.
"""

from __future__ import annotations

import ctypes
import gc
import heapq  # noqa: F401 - programs often need it, and inherit it from here
import json
import os
import socket
import sys
import time
import types
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy.random  # noqa: F401 - the slow import that a fork saves

from . import child, relay, sensors

if TYPE_CHECKING:
    from stop.sandbox.protocol import GuestConfig


def main(settings: dict[str, Any]) -> NoReturn:
    """Runs the zygote until the relay ends.

    Args:
        settings: the fields of a `GuestConfig`, as JSON brought them.
    """
    settings["watched"] = {int(number): name for number, name in settings["watched"].items()}
    config = cast("GuestConfig", types.SimpleNamespace(**settings))
    for name in [n for n in sys.modules if n.partition(".")[0] in ("guest", "stop")]:
        del sys.modules[name]  # so that no program finds our modules by their names
    ctypes.CDLL(None).mallopt(-8, 1)  # M_ARENA_MAX: arenas would eat threads' address space
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE 0: no guest may read our memory
    sensors.plant()
    seccomp = child.packed_filter(config.seccomp)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    relay_pid = os.fork()
    if relay_pid == 0:
        ours.close()
        try:
            relay.Relay(theirs, config).serve()
        finally:
            os._exit(0)
    theirs.close()
    _release_stdio()
    gc.collect()
    gc.freeze()  # a collection in a guest must not touch, and so copy, every page of ours
    _serve(ours, relay_pid, config, seccomp)


def _release_stdio() -> None:
    """Leaves stdin and stdout to the relay."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(null, fd)
    os.close(null)


def _serve(
    relay_socket: socket.socket, relay_pid: int, config: GuestConfig, seccomp: bytes
) -> NoReturn:
    """Carries out the relay's orders until it is gone; every process ends with process 1."""
    serial = 0
    while True:
        message, fds, _, _ = socket.recv_fds(relay_socket, 1024, 4)
        if not message:
            os._exit(0)
        order = json.loads(message)
        answer: dict[str, Any] | None = None
        if order["do"] == "spawn":
            serial += 1
            uid = config.uid_base + serial % 500
            pid = child.fork(fds, uid, config, seccomp, close=relay_socket.fileno())
            answer = {"pid": pid, "uid": uid}
        elif order["do"] == "reap":  # it and all it started were sent SIGKILL
            answer = _reap(order["pid"], {1, relay_pid, order["spare"]})
        if answer is not None:  # "drop" has none: closing its descriptor is all it asks
            relay_socket.send(json.dumps(answer).encode())
        for fd in fds:
            os.close(fd)


def _reap(guest: int, ours: set[int], patience: float = 1.0) -> dict[str, Any]:
    """Waits up to `patience` seconds for the end of `guest` and of all processes not in `ours`.

    Returns "ends", the last 200 as [pid, wait status, CPU seconds], and "clean", whether no
    process is left.
    """
    deadline = time.monotonic() + patience
    ends: list[tuple[int, int, float]] = []
    wanted, flags = guest, 0
    while True:
        try:
            pid, status, usage = os.wait4(wanted, flags)
        except ChildProcessError:
            pid = 0
        if pid:
            ends.append((pid, status, usage.ru_utime + usage.ru_stime))
        wanted, flags = -1, os.WNOHANG
        if pid not in (0, guest):
            continue
        left = any(p.isdigit() and int(p) not in ours for p in os.listdir("/proc"))
        if not left or time.monotonic() > deadline:
            return {"ends": ends[-200:], "clean": not left}
        time.sleep(0.0005)
