"""An audit hook in the guest's own process: tells the relay what a program tries.

It sees what the kernel lets pass without harm: a variable that names the sandbox, a dropped
configuration file, `exec`, a patched client. A program that sets out to can silence it, and what
that program then tries has no effect either; the filter and the canaries, which are not in its
hands, report on their own. Words travel over a socket of their own, so that no thread and no fork
can garble an answer.
"""

import json
import os
import re
import sys

_MOST_OF_A_KIND = 6  # of one process; the relay counts on
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

_channel = None
_first = 0  # the process that the program began in
_told = set()
_counts = {}
_guarded = ()


def install(channel):
    """Tell over `channel` from now on what this process and its children try."""
    global _channel, _first
    _channel, _first = channel, os.getpid()
    sys.addaudithook(_hook)


def guard(functions):
    """Tell when code or defaults of these functions are replaced."""
    global _guarded  # noqa: PLW0603
    _guarded = functions


def tell(kind, detail):
    """Send one sign, each once; what cannot be sent now may be tried again."""
    word = (kind, detail[:200])
    if word in _told or _counts.get(kind, 0) >= _MOST_OF_A_KIND or _channel is None:
        return
    text = json.dumps({"kind": kind, "detail": word[1]})
    if len(text) > 1000:  # escapes take room
        text = json.dumps({"kind": kind, "detail": word[1][:60]})
    try:
        _channel.send(text.encode())
    except OSError:
        return
    _told.add(word)
    _counts[kind] = _counts.get(kind, 0) + 1


def _hook(event, arguments):
    look = _LOOKS.get(event)
    if look is not None:
        try:
            look(event, arguments)
        except Exception:  # a program's strange objects must not make its own calls fail
            tell("hook", event)


def _asked_by_program():
    """Whether the program itself, not a library on its own account, is behind this call.

    Walks up from the call to the first frame of the program; what an `import` does is not its.
    """
    frame = sys._getframe(3)
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


def _exec(_event, arguments):
    """Only where the program calls `exec` or `eval` itself: namedtuple and dataclasses do, too."""
    name = sys._getframe(2).f_code.co_filename
    if name.startswith("<") and not name.startswith(("<stop:", "<frozen")):
        tell("dynamic_code", f"exec of {getattr(arguments[0], 'co_filename', '?')}")


def _process(event, arguments):
    if _asked_by_program():
        tell("process", f"{event} {arguments[0]!r}")


def _native(event, arguments):
    if _asked_by_program():
        tell("native_code", f"{event} {arguments[0]!r}")


def _introspection(event, _arguments):
    if _asked_by_program():
        tell("introspection", event)


def _variable(_event, arguments):
    name = os.fsdecode(arguments[0])
    if _TELLING_VARIABLE.search(name):
        tell("environment", f"{name} was changed")


def _place(path):
    """A path as the kernel will walk it, with this process under one name."""
    path = os.path.normpath(os.path.join(os.getcwd(), os.fsdecode(path)))
    if path.startswith("//"):
        path = path[1:]
    parts = path.split("/")
    if parts[1:2] == ["proc"] and parts[2:3] and parts[2] in (str(os.getpid()), "thread-self"):
        parts[2] = "self"
    return "/".join(parts)


def _open(_event, arguments):
    path, mode, flags = arguments
    if not isinstance(path, str | bytes):
        return
    writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if flags else "r" not in (mode or "r")
    _touch(_place(path), "opened", writes)


def _touch(path, how, writes):
    knob = writes and _KNOBS.search(path) and "/__pycache__/" not in path
    if _PROBED.search(path) or knob:
        tell("probe", f"{path} {how}")
    elif writes:
        folder, name = os.path.split(path)
        if _SETTINGS.search(name) or (_ON_THE_PATH.search(name) and folder in sys.path):
            tell("configuration", f"{path} {how}")
        elif _TELLING_FILE.search(name):
            tell("telling_file", f"{path} {how}")


def _changed(event, arguments):
    for path in arguments[:2]:
        if isinstance(path, str | bytes):
            _touch(_place(path), f"by {event}", True)


def _listed(event, arguments):
    if isinstance(arguments[0], str | bytes) and _PROBED.search(_place(arguments[0])):
        tell("probe", f"{event} {_place(arguments[0])}")


def _killed(_event, arguments):
    if arguments[0] in (1, 2) and not _is_own(arguments[0]):
        tell("probe", f"a signal to process {arguments[0]}")


def _is_own(pid):
    """In a namespace of its own the program is process 1, and 2 is its child, if it has any."""
    if _first != 1 or pid == 1:
        return False
    try:
        os.getpgid(pid)
    except OSError:
        return False
    return True


def _connect(_event, arguments):
    address = arguments[1]
    if isinstance(address, str | bytes):
        path = os.fsdecode(address)
        if path.startswith("/") and not _SCRATCH.search(path):
            tell("probe", f"connect to {path}")


def _attribute(_event, arguments):
    target, name = arguments[0], arguments[1]
    if any(target is function for function in _guarded):
        tell("client", f"{name} of {getattr(target, '__qualname__', '?')} was replaced")


_LOOKS = {
    "exec": _exec,
    "subprocess.Popen": _process,
    "os.system": _process,
    "os.exec": _process,
    "os.posix_spawn": _process,
    "os.spawn": _process,
    "ctypes.dlopen": _native,
    "gc.get_objects": _introspection,
    "gc.get_referrers": _introspection,
    "os.putenv": _variable,
    "os.unsetenv": _variable,
    "open": _open,
    "os.rename": _changed,
    "os.link": _changed,
    "os.symlink": _changed,
    "os.remove": _changed,
    "os.rmdir": _changed,
    "os.mkdir": _changed,
    "os.chmod": _changed,
    "os.truncate": _changed,
    "os.listdir": _listed,
    "os.scandir": _listed,
    "os.kill": _killed,
    "socket.connect": _connect,
    "object.__setattr__": _attribute,
}
