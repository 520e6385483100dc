"""The rules about what a program reaches for: code from text, the system, the interpreter."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from stop.audit.rules.clients import CLIENT_NAMES, Clients
from stop.audit.rules.flow import Flow
from stop.audit.rules.names import REACHING
from stop.audit.rules.scopes import Scope
from stop.audit.rules.sites import last_name
from stop.audit.rules.values import NOTHING

_DYNAMIC = {
    *("builtins.exec", "builtins.eval", "builtins.compile", "builtins.__import__"),
    *("importlib.import_module", "importlib.__import__", "importlib.util.module_from_spec"),
    *("importlib.util.spec_from_file_location", "importlib.machinery.SourceFileLoader"),
    *("runpy.run_path", "runpy.run_module", "code.interact", "code.InteractiveInterpreter"),
    *("code.InteractiveConsole", "imp.load_source"),
    "importlib.util.spec_from_loader",
    *("importlib.machinery.SourcelessFileLoader", "importlib.machinery.ExtensionFileLoader"),
    *("types.FunctionType", "types.LambdaType", "types.CodeType", "pydoc.locate"),
    *("pkgutil.resolve_name", "cProfile.run", "cProfile.runctx", "profile.run", "profile.runctx"),
    *("pdb.run", "pdb.runeval", "bdb.Bdb", "doctest.run_docstring_examples", "pandas.read_pickle"),
    *(f"{m}.{f}" for m in ("marshal", "dill", "cloudpickle", "joblib") for f in ("load", "loads")),
}
_PICKLES = {"pickle.load", "pickle.loads", "pickle.Unpickler", "_pickle.loads", "_pickle.load"}
_TIMERS = {"timeit.timeit", "timeit.repeat", "timeit.Timer"}
_RUNNERS = {
    *("InteractiveInterpreter", "InteractiveConsole", "runsource", "runcode", "exec_module"),
    "load_module",
}
"""Attributes that run code, whatever they belong to."""
_IMPORTS = {"runpy", "imp", "code", "zipimport"}
"""Modules with no other use."""
_NAMED_ATTRIBUTES = {"exec", "eval", "compile", "__import__", "import_module", "PROT_EXEC"}
_COPIES = {"list", "dict", "tuple", "set", "sorted", "iter", "enumerate", "repr", "str", "print"}
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
    *("_exit", "abort", "setsid", "setpgid", "setpgrp", "pivot_root", "prlimit"),
    *(f"exec{e}" for e in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
    *(f"spawn{e}" for e in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
}
_ASYNC = {
    *("asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell"),
    *("asyncio.open_connection", "asyncio.open_unix_connection"),
}
_SYSTEM = {f"os.{name}" for name in _OS} | _ASYNC
_SYSTEM |= {"fcntl.ioctl", "mmap.PROT_EXEC", "signal.pthread_sigmask", "resource.prlimit"}
_FATAL = {"SIGTERM", "SIGXCPU", "SIGSYS", "SIGHUP", "SIGXFSZ", "SIGQUIT"}
"""Signals that end a program; to ignore them is to refuse to end."""
_SHOWS = {
    *("getsource", "getsourcelines", "getsourcefile", "getfile", "getmembers", "getmodule"),
    *("getmembers_static", "dis", "getblock", "get_annotations"),
}
"""Functions of `inspect` and `dis`: on a client."""
_FORMAT = re.compile(
    r"\{[^{}]{0,200}?[.\[]__(globals|closure|code|subclasses|func|init|mro|base)__"
)
_BASES = {"__base__", "__bases__", "__mro__", "mro"}
_INTROSPECTION = {
    *("gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys._getframe"),
    *("sys._current_frames", "sys.settrace", "sys.setprofile", "threading.settrace"),
    *("inspect.stack", "inspect.currentframe", "inspect.trace", "inspect.getouterframes"),
    *("inspect.getinnerframes", "traceback.walk_stack", "inspect.getclosurevars", "__main__"),
    *("threading.setprofile", "threading.settrace_all_threads", "sys.addaudithook"),
    *("threading.setprofile_all_threads", "sys.call_tracing", "sys.monitoring", "gc.callbacks"),
}
_FRAMES = {
    *("tb_frame", "f_back", "f_globals", "f_locals", "f_builtins", "gi_frame", "cr_frame"),
    *("ag_frame", "__subclasses__", "f_code", "gi_code", "cr_code"),
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
GUEST = {
    *("guest", "services", "frames", "child", "relay"),
    *("nursery", "boot", "watch", "sensors", "hooks"),
}
"""Modules of the guest but for its helpers."""
_DESCRIPTORS = {"os.write", "os.read", "os.fdopen", "os.sendfile", "builtins.open", "os.dup"}


class Reach:
    """Looks at names, imports and calls of one program."""

    def __init__(self, flow: Flow, clients: Clients) -> None:
        self._flow = flow
        self._index = flow.index
        self._names = flow.names
        self._folder = flow.folder
        self._clients = clients
        self._improver = "improve_algorithm" in flow.index.bound

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
            if rule := rule_of(full) or self._called(call, scope, full):
                yield rule, call
        if "modules" in self._index.words:
            for node, scope in self._index.wholes:
                if self._names.full(node, scope) == "sys.modules":
                    yield "introspection", node

    def _called(self, call: ast.Call, scope: Scope, full: str) -> str:
        if full in REACHING:
            return self._reached(call, scope, full)
        name = last_name(call.func)
        if name == "__getattribute__":
            return "introspection" if self._is_inner(call.args[-1:], scope) else ""
        if name == "format" and isinstance(call.func, ast.Attribute):
            text = call.func.value
            shown = isinstance(text, ast.Constant) and isinstance(text.value, str)
            return "introspection" if shown and _FORMAT.search(text.value) else ""  # type: ignore[attr-defined]
        if "modules" in self._index.words and self._all_modules(call, scope):
            return "introspection"
        check = _CHECKS.get(full)
        return check(self, call, scope) if check is not None else ""

    def _imported(self, module: str) -> str:
        rule = _TABLE.get(module, "")
        parts = module.split(".", 3)
        if rule in ("system_module", "client") or parts[0] == "__main__":
            return rule or "introspection"
        if parts[0] in _IMPORTS:
            return "dynamic_code"
        if parts[0] in GUEST and self._improver:
            return "client"
        stems = (parts[0], ".".join(parts[:2]))
        return "system_module" if any(stem in _MODULES for stem in stems) else ""

    def _mentioned(self, node: ast.expr, scope: Scope) -> str:
        if isinstance(node, ast.Attribute):
            rule = self._attribute(node)
            if rule or node.attr not in _NAMED_ATTRIBUTES:
                return rule
        full = self._names.full(node, scope)
        if isinstance(node, ast.Subscript) and full.partition(".")[0] in GUEST:
            return "client"
        return rule_of(full)

    def _attribute(self, node: ast.Attribute) -> str:
        name, of = node.attr, node.value
        if name in _FRAMES:
            return "introspection"
        if name in _RUNNERS:
            return "dynamic_code"
        if name in _INNARDS:
            return "introspection" if self._improver or _is_special(of) else ""
        if name == "__code__":
            foreign = _is_special(of) or last_name(of) in CLIENT_NAMES
            return "introspection" if foreign else ""
        if name in _BASES:  # ().__class__.__base__: the way to all classes
            base = of.value if isinstance(of, ast.Attribute) and of.attr == "__class__" else None
            literal = isinstance(base, ast.Constant | ast.Tuple | ast.List | ast.Dict | ast.Set)
            return "introspection" if literal else ""
        return ""

    def _all_modules(self, call: ast.Call, scope: Scope) -> bool:
        """`sys.modules.items()`, `list(sys.modules)`."""
        func = call.func
        if isinstance(func, ast.Attribute) and func.attr in ("items", "values", "keys", "copy"):
            return self._names.full(func.value, scope) == "sys.modules"
        if last_name(func) not in _COPIES:
            return False
        return any(self._names.full(a, scope) == "sys.modules" for a in call.args[:1])

    def _reached(self, call: ast.Call, scope: Scope, by: str) -> str:
        full = self._names.full(call, scope)
        if rule := rule_of(full):
            return rule
        if not by.endswith(("getattr", "getattr_static")) or len(call.args) < 2:
            return ""
        name = self._folder.text(call.args[1], scope) or ""
        if name in _RUNNERS:
            return "dynamic_code"
        return "introspection" if self._is_inner(call.args[1:2], scope) else ""

    def _is_inner(self, names: list[ast.expr], scope: Scope) -> bool:
        """Names, or dotted paths of names, of the innards of functions and frames."""
        wanted = _FRAMES | _INNARDS if self._improver else _FRAMES
        texts = (self._folder.text(name, scope) or "" for name in names[:10])
        return any(not wanted.isdisjoint(text.split(".", 20)) for text in texts)

    # --- calls of these need a look at their arguments

    def _attrgetter(self, call: ast.Call, scope: Scope) -> str:
        return "introspection" if self._is_inner(call.args, scope) else ""

    def _unpickles(self, call: ast.Call, scope: Scope) -> str:
        """Anything but what the program has pickled itself, which copies it."""
        leaves = self._flow.trace(call.args[0], scope)[:20] if call.args else []
        made = (
            self._names.full(leaf.node.func, leaf.scope)
            for leaf in leaves
            if isinstance(leaf.node, ast.Call)
        )
        return "" if any(name.endswith("pickle.dumps") for name in made) else "dynamic_code"

    def _loads_array(self, call: ast.Call, scope: Scope) -> str:
        given = (k.value for k in call.keywords if k.arg == "allow_pickle")
        return "dynamic_code" if any(self._folder.fold(v, scope) is True for v in given) else ""

    def _times(self, call: ast.Call, scope: Scope) -> str:
        """Code as text; functions are called as anywhere."""
        given = [*call.args[:2], *(k.value for k in call.keywords if k.arg in ("stmt", "setup"))]
        for node in given:
            if isinstance(node, ast.JoinedStr | ast.BinOp) or self._folder.text(node, scope):
                return "dynamic_code"
        return ""

    def _ignores_signal(self, call: ast.Call, scope: Scope) -> str:
        if len(call.args) < 2:
            return ""
        number, handler = (self._names.full(a, scope) for a in call.args[:2])
        fatal = number.rpartition(".")[2] in _FATAL
        return "system_module" if fatal and handler == "signal.SIG_IGN" else ""

    def _limits(self, call: ast.Call, scope: Scope) -> str:
        """But for the stack's: that is what deep recursion needs."""
        name = self._names.full(call.args[0], scope) if call.args else ""
        return "" if name in ("resource.RLIMIT_STACK", "resource.RLIMIT_CORE") else "system_module"

    def _shows(self, call: ast.Call, scope: Scope) -> str:
        """The source or the members of a client."""
        for node in call.args[:1]:
            at: ast.expr = node
            for _ in range(8):
                if isinstance(at, ast.Name | ast.Attribute | ast.Call) and (
                    self._clients.any(at, scope) or self._clients.class_of_one(at, scope)
                ):
                    return "introspection"
                if not isinstance(at, ast.Attribute):
                    break
                at = at.value
        return ""

    def _high_descriptor(self, call: ast.Call, scope: Scope) -> str:
        """A descriptor that the program was not given: 0, 1 and 2 are its own."""
        if not call.args:
            return ""
        value = self._folder.fold(call.args[0], scope)
        if isinstance(call.args[0], ast.Name) and value is NOTHING:  # for fd in range(3, 20)
            bindings = self._index.lookup(scope, call.args[0].id) or []
            ranges = [b.node for b in bindings[:5] if isinstance(b.node, ast.Call)]
            ends = [a for r in ranges if last_name(r.func) == "range" for a in r.args]
            values = [self._folder.fold(e, scope) for e in ends]
        else:
            values = [value]
        return "introspection" if any(type(v) is int and v > 2 for v in values) else ""


_CHECKS: dict[str, Callable[[Reach, ast.Call, Scope], str]] = {
    "operator.attrgetter": Reach._attrgetter,
    **dict.fromkeys(_PICKLES, Reach._unpickles),
    "numpy.load": Reach._loads_array,
    **dict.fromkeys(_TIMERS, Reach._times),
    "signal.signal": Reach._ignores_signal,
    "resource.setrlimit": Reach._limits,
    **{f"{module}.{name}": Reach._shows for module in ("inspect", "dis") for name in _SHOWS},
    **dict.fromkeys(_DESCRIPTORS, Reach._high_descriptor),
}


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
