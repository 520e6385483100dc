"""The rules about what a program reaches for: code from text, the system, the interpreter."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from stop.audit.rules.folding import Folder
from stop.audit.rules.names import REACHING, Names
from stop.audit.rules.scopes import Index, Scope
from stop.audit.rules.sites import last_name
from stop.audit.rules.values import NOTHING

_DYNAMIC = {
    *("builtins.exec", "builtins.eval", "builtins.compile", "builtins.__import__"),
    *("importlib.import_module", "importlib.__import__", "importlib.util.module_from_spec"),
    *("importlib.util.spec_from_file_location", "importlib.machinery.SourceFileLoader"),
    *("runpy.run_path", "runpy.run_module", "code.interact", "code.InteractiveInterpreter"),
    *("code.InteractiveConsole", "imp.load_source"),
}
_DYNAMIC_ATTRIBUTES = {"exec", "eval", "compile", "__import__", "import_module"}
_MODULES = {
    *("subprocess", "_posixsubprocess", "ctypes", "_ctypes", "cffi", "_cffi_backend", "socket"),
    *("_socket", "pty", "multiprocessing.shared_memory", "_posixshmem", "urllib.request"),
    *("http.client", "requests", "httpx", "aiohttp", "urllib3", "ftplib", "smtplib", "telnetlib"),
    *("numpy.ctypeslib", "pexpect"),
}
_OS = {
    *("system", "popen", "fork", "forkpty", "kill", "killpg", "posix_spawn", "posix_spawnp"),
    *("pidfd_open", "pidfd_send_signal", "setns", "unshare", "mknod", "chroot", "mount", "ptrace"),
    *("setuid", "setgid", "setresuid", "setreuid", "seteuid", "startfile", "memfd_create"),
    *(f"exec{e}" for e in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
    *(f"spawn{e}" for e in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
}
_ASYNC = {
    *("asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell"),
    *("asyncio.open_connection", "asyncio.open_unix_connection"),
}
_SYSTEM = {f"os.{name}" for name in _OS} | _ASYNC
_INTROSPECTION = {
    *("gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys._getframe"),
    *("sys._current_frames", "sys.settrace", "sys.setprofile", "threading.settrace"),
    *("inspect.stack", "inspect.currentframe", "inspect.trace", "inspect.getouterframes"),
    *("inspect.getinnerframes", "traceback.walk_stack"),
}
_FRAMES = {
    *("tb_frame", "f_back", "f_globals", "f_locals", "f_builtins", "gi_frame", "cr_frame"),
    *("ag_frame", "__subclasses__"),
}
_INNARDS = {"__globals__", "__closure__", "cell_contents"}
"""Of functions: on the way to the parts of a client; elsewhere in honest use."""
_CLIENT_PARTS = {
    *("services.Utility", "services.LanguageModel", "services.Connection", "services.connect"),
    *("services.send", "services.receive", "services.disconnect"),
}
_TABLE = {
    **dict.fromkeys(_DYNAMIC, "dynamic_code"),
    **dict.fromkeys(_MODULES | _SYSTEM, "system_module"),
    **dict.fromkeys(_INTROSPECTION, "introspection"),
    **dict.fromkeys(_CLIENT_PARTS, "client"),
}
_DESCRIPTORS = {"os.write", "os.read", "os.fdopen", "os.sendfile", "builtins.open", "os.dup"}


class Reach:
    """Looks at names, imports and calls of one program."""

    def __init__(self, index: Index, names: Names, folder: Folder) -> None:
        self._index = index
        self._names = names
        self._folder = folder

    def places(self) -> Iterator[tuple[str, ast.AST]]:
        """Rules and the nodes that show them."""
        for statement, module in self._index.imports:
            if rule := self._imported(module):
                yield rule, statement
        for node, scope in self._index.mentions:
            if rule := self._mentioned(node, scope):
                yield rule, node
        for call, scope in self._index.calls:
            full = self._names.full(call.func, scope)
            if full and (rule := rule_of(full) or self._called(call, scope, full)):
                yield rule, call

    def _called(self, call: ast.Call, scope: Scope, full: str) -> str:
        if full in REACHING:
            return self._reached(call, scope, full)
        deep = full == "operator.attrgetter" and self._frame_names(call, scope)
        high = full in _DESCRIPTORS and self._high_descriptor(call, scope)
        return "introspection" if deep or high else ""

    @staticmethod
    def _imported(module: str) -> str:
        rule = _TABLE.get(module, "")
        if rule in ("system_module", "client"):
            return rule
        parts = module.split(".", 3)
        stems = (parts[0], ".".join(parts[:2]))
        return "system_module" if any(stem in _MODULES for stem in stems) else ""

    def _mentioned(self, node: ast.expr, scope: Scope) -> str:
        if isinstance(node, ast.Attribute):
            if node.attr in _FRAMES:
                return "introspection"
            if node.attr in _INNARDS:
                wanted = "improve_algorithm" in self._index.bound or _is_special(node.value)
                return "introspection" if wanted else ""
            if node.attr not in _DYNAMIC_ATTRIBUTES:
                return ""
        full = self._names.full(node, scope)
        if isinstance(node, ast.Subscript) and full.partition(".")[0] in GUEST:
            return "client"
        return rule_of(full)

    def _reached(self, call: ast.Call, scope: Scope, by: str) -> str:
        full = self._names.full(call, scope)
        if rule := rule_of(full):
            return rule
        if not by.endswith(("getattr", "getattr_static")) or len(call.args) < 2:
            return ""
        return "introspection" if self._folder.text(call.args[1], scope) in _FRAMES else ""

    def _frame_names(self, call: ast.Call, scope: Scope) -> bool:
        return any(self._folder.text(a, scope) in _FRAMES for a in call.args[:10])

    def _high_descriptor(self, call: ast.Call, scope: Scope) -> bool:
        """A descriptor that the program was not given: 0, 1 and 2 are its own."""
        if not call.args:
            return False
        value = self._folder.fold(call.args[0], scope)
        if isinstance(call.args[0], ast.Name) and value is NOTHING:  # for fd in range(3, 20)
            bindings = self._index.lookup(scope, call.args[0].id) or []
            ranges = [b.node for b in bindings[:5] if isinstance(b.node, ast.Call)]
            ends = [a for r in ranges if last_name(r.func) == "range" for a in r.args]
            return any(type(v := self._folder.fold(e, scope)) is int and v > 2 for e in ends)
        return type(value) is int and value > 2


GUEST = {"services", "frames", "child", "relay", "nursery", "boot", "watch", "sensors", "hooks"}


def rule_of(full: str) -> str:
    """The rule about a full name, "" if there is none."""
    if not full:
        return ""
    rule = _TABLE.get(full, "")
    if rule:
        return rule
    first, _, rest = full.partition(".")
    stem = f"{first}.{rest.partition('.')[0]}"
    return "system_module" if first in _MODULES or stem in _MODULES else ""


def _is_special(node: ast.expr) -> bool:
    """`x.__init__`, `x.__call__`: the way to a module's globals through one of its objects."""
    name = last_name(node)
    return name.startswith("__") and name.endswith("__") and isinstance(node, ast.Attribute)
