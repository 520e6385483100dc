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

_MOST = 24  # of one process; the relay counts on
_TELLING_NAME = re.compile(
    r"sandbox|seccomp|^\.env$|^(?:site|user)customize\.py$|\.pth$|^conftest\.py$|^task\.toml$"
    r"|^utility\.py$",
    re.I,
)
_TELLING_VARIABLE = re.compile(
    r"sandbox|isolation|seccomp|^stop_|unsafe|^ld_preload$|^ld_library_path$|^pythonstartup$", re.I
)
_PROBED = re.compile(
    r"^/proc/(?!self/|thread-self/)\d+/(?:mem|environ|maps|root|cwd|fd|exe)\b"
    r"|^/proc/(?:self|thread-self)/(?:mem|root/.)|docker\.sock$|^/proc/kcore|^/dev/k?mem$"
    r"|^/etc/g?shadow$|/\.ssh/|/\.aws/|^/run/(?:secrets|stop)/"
)
_KNOBS = re.compile(r"^/(?:proc/sys|proc/sysrq-trigger|sys|opt|etc|usr|s?bin|lib|lib64|boot)\b")

_channel = None
_told = set()
_guarded = ()


def install(channel):
    """Tell over `channel` from now on what this process and its children try."""
    global _channel  # noqa: PLW0603 - a hook cannot be given arguments
    _channel = channel
    sys.addaudithook(_hook)


def guard(functions):
    """Tell when code or defaults of these functions are replaced."""
    global _guarded  # noqa: PLW0603
    _guarded = functions


def tell(kind, detail):
    """Send one sign, each once; what cannot be sent is lost."""
    word = (kind, detail[:200])
    if word in _told or len(_told) >= _MOST or _channel is None:
        return
    _told.add(word)
    try:
        _channel.send(json.dumps({"kind": kind, "detail": word[1]}).encode())
    except OSError:
        pass


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


def _open(_event, arguments):
    path, mode, flags = arguments
    if not isinstance(path, str | bytes):
        return
    path = os.fsdecode(path)
    writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if flags else "r" not in (mode or "r")
    if _PROBED.search(path) or (writes and _KNOBS.search(path)):
        tell("probe", f"open {path}")
    elif writes and _TELLING_NAME.search(os.path.basename(path)):
        tell("configuration", f"{path} was written")


def _moved(event, arguments):
    target = arguments[1]
    if isinstance(target, str | bytes):
        name = os.path.basename(os.fsdecode(target))
        if _TELLING_NAME.search(name):
            tell("configuration", f"{event} to {name}")


def _connect(_event, arguments):
    address = arguments[1]
    if isinstance(address, str | bytes) and os.fsdecode(address)[:1] == "/":
        tell("probe", f"connect to {os.fsdecode(address)}")


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
    "os.rename": _moved,
    "os.link": _moved,
    "os.symlink": _moved,
    "socket.connect": _connect,
    "object.__setattr__": _attribute,
}
