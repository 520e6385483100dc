"""An audit hook in the guest's own process: reports to the relay what a program tries.

It sees what the kernel lets pass without harm: a variable that names the sandbox, a dropped
configuration file, `exec`, a patched client. A program that sets out to can silence it, and what
that program then tries has no effect either; the filter and the canaries, which it cannot reach,
report on their own. Reports travel over a socket of their own, so that no thread and no fork can
garble an answer.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

_MAX_REPORTS_PER_KIND = 6  # of one process; the relay counts on
_SETTINGS = re.compile(
    r"^\.env$|^sandbox\.(?:toml|json|ya?ml|ini|cfg|conf|env|py)$|^seccomp.*\.json$|^task\.toml$",
    re.I,
)
_ON_THE_PATH = re.compile(r"^(?:site|user)customize\.py$|\.pth$|^conftest\.py$")
_TELLING_FILE = re.compile(r"sandbox|seccomp|^utility\.py$|customize\.py$|^conftest\.py$", re.I)
_TELLING_VARIABLE = re.compile(
    r"sandbox|seccomp|^(?:stop_)?isolation$|^stop_(?:state|cache|runs|models)_dir$|^stop_policy"
    r"|^ld_preload$|^ld_audit$|^pythonstartup$",
    re.I,
)
_PROBED = re.compile(
    r"^/proc/(?:\d+)/(?:mem|environ|maps|root|cwd|fd|exe)\b|^/proc/self/(?:mem$|root/.)"
    r"|docker\.sock$|^/proc/kcore|^/dev/k?mem$|^/etc/g?shadow$|/\.ssh/|/\.aws/"
    r"|^/run/(?:secrets|stop)\b"
)
_KNOBS = re.compile(r"^/(?:proc/sys|proc/sysrq-trigger|sys|opt|etc|usr|s?bin|lib|lib64|boot)\b")
_SCRATCH = re.compile(r"^/(?:tmp|dev/shm)(?:/|$)")
_Arguments = tuple[Any, ...]

_channel: socket.socket | None = None
_first = 0  # the process that the program began in
_reported: set[tuple[str, str]] = set()
_counts: dict[str, int] = {}
_guarded: Sequence[object] = ()


def install(channel: socket.socket) -> None:
    """Reports over `channel` from now on what this process and its children try."""
    global _channel, _first
    _channel, _first = channel, os.getpid()
    sys.addaudithook(_hook)


def guard(functions: Sequence[object]) -> None:
    """Reports when code or defaults of these functions are replaced."""
    global _guarded  # noqa: PLW0603 - one set in this process, as the hook itself
    _guarded = functions


def report(kind: str, detail: str) -> None:
    """Sends a sign, each once; what cannot be sent now may be tried again."""
    sign = (kind, detail[:200])
    if sign in _reported or _counts.get(kind, 0) >= _MAX_REPORTS_PER_KIND or _channel is None:
        return
    text = json.dumps({"kind": kind, "detail": sign[1]})
    if len(text) > 1000:  # escapes take room
        text = json.dumps({"kind": kind, "detail": sign[1][:60]})
    try:
        _channel.send(text.encode())
    except OSError:
        return
    _reported.add(sign)
    _counts[kind] = _counts.get(kind, 0) + 1


def _hook(event: str, arguments: _Arguments) -> None:
    handler = _HANDLERS.get(event)
    if handler is not None:
        try:
            handler(event, arguments)
        except Exception:  # a program's strange objects must not make its own calls fail
            report("hook", event)


def _asked_by_program() -> bool:
    """Whether the program itself, not a library on its own account, makes this call.

    Walks up from the call to the first frame of the program, but not past an `import`.
    """
    frame: FrameType | None = sys._getframe(3)
    for _ in range(12):
        if frame is None:
            return False
        name = frame.f_code.co_filename
        if name.startswith("<frozen importlib"):
            return False
        if name.startswith("<") and not name.startswith(("<stop:", "<frozen", "<__array")):
            return True
        frame = frame.f_back
    return False


def _exec(_event: str, arguments: _Arguments) -> None:
    """Reports only the program's own calls: namedtuple and dataclasses use `exec`, too."""
    name = sys._getframe(2).f_code.co_filename
    if name.startswith("<") and not name.startswith(("<stop:", "<frozen")):
        report("dynamic_code", f"exec of {getattr(arguments[0], 'co_filename', '?')}")


def _process(event: str, arguments: _Arguments) -> None:
    if _asked_by_program():
        report("process", f"{event} {arguments[0]!r}")


def _native(event: str, arguments: _Arguments) -> None:
    if _asked_by_program():
        report("native_code", f"{event} {arguments[0]!r}")


def _introspection(event: str, _arguments: _Arguments) -> None:
    if _asked_by_program():
        report("introspection", event)


def _variable(_event: str, arguments: _Arguments) -> None:
    name = os.fsdecode(arguments[0])
    if _TELLING_VARIABLE.search(name):
        report("environment", f"{name} was changed")


def _place(path: str | bytes) -> str:
    """Returns a path as the kernel will walk it, with this process under one name."""
    path = os.path.normpath(os.path.join(os.getcwd(), os.fsdecode(path)))
    if path.startswith("//"):
        path = path[1:]
    parts = path.split("/")
    if parts[1:2] == ["proc"] and parts[2:3] and parts[2] in (str(os.getpid()), "thread-self"):
        parts[2] = "self"
    return "/".join(parts)


def _open(_event: str, arguments: _Arguments) -> None:
    path, mode, flags = arguments
    if not isinstance(path, str | bytes):
        return
    writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if flags else "r" not in (mode or "r")
    _touch(_place(path), "opened", writes)


def _touch(path: str, how: str, writes: bool) -> None:
    knob = writes and _KNOBS.search(path) and "/__pycache__/" not in path
    if _PROBED.search(path) or knob:
        report("probe", f"{path} {how}")
    elif writes:
        folder, name = os.path.split(path)
        if _SETTINGS.search(name) or (_ON_THE_PATH.search(name) and folder in sys.path):
            report("configuration", f"{path} {how}")
        elif _TELLING_FILE.search(name):
            report("telling_file", f"{path} {how}")


def _changed(event: str, arguments: _Arguments) -> None:
    for path in arguments[:2]:
        if isinstance(path, str | bytes):
            _touch(_place(path), f"by {event}", True)


def _listed(event: str, arguments: _Arguments) -> None:
    if isinstance(arguments[0], str | bytes) and _PROBED.search(_place(arguments[0])):
        report("probe", f"{event} {_place(arguments[0])}")


def _killed(_event: str, arguments: _Arguments) -> None:
    if arguments[0] in (1, 2) and not _is_own(arguments[0]):
        report("probe", f"a signal to process {arguments[0]}")


def _is_own(pid: int) -> bool:
    """Whether it belongs to the program: process 1 of a pid namespace, and 2 once it has forked."""
    if _first != 1 or pid == 1:
        return False
    try:
        os.getpgid(pid)
    except OSError:
        return False
    return True


def _connect(_event: str, arguments: _Arguments) -> None:
    address = arguments[1]
    if isinstance(address, str | bytes):
        path = os.fsdecode(address)
        if path.startswith("/") and not _SCRATCH.search(path):
            report("probe", f"connect to {path}")


def _attribute(_event: str, arguments: _Arguments) -> None:
    target, name = arguments[0], arguments[1]
    if any(target is function for function in _guarded):
        report("client", f"{name} of {getattr(target, '__qualname__', '?')} was replaced")


_HANDLERS: dict[str, Callable[[str, _Arguments], None]] = {
    "exec": _exec,
    **dict.fromkeys(
        ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn"), _process
    ),
    "ctypes.dlopen": _native,
    **dict.fromkeys(("gc.get_objects", "gc.get_referrers"), _introspection),
    **dict.fromkeys(("os.putenv", "os.unsetenv"), _variable),
    "open": _open,
    **dict.fromkeys(("os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir"), _changed),
    **dict.fromkeys(("os.mkdir", "os.chmod", "os.truncate"), _changed),
    **dict.fromkeys(("os.listdir", "os.scandir"), _listed),
    "os.kill": _killed,
    "socket.connect": _connect,
    "object.__setattr__": _attribute,
}
