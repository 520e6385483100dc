"""The rules about files: telling names opened for writing, hidden things looked for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from stop.audit.rules.flow import Flow
from stop.audit.rules.names import Names
from stop.audit.rules.scopes import MAX_PATH, Scope
from stop.audit.rules.sites import last_name
from stop.audit.rules.values import NOTHING

_TELLING = re.compile(
    r"\.env(\..*)?|.*sandbox.*|config\.\w+|settings\.\w+|(site|user)customize\.py|.*\.pth"
    r"|conftest\.py|utility\.py|seccomp.*|.*\.(ini|cfg|toml|conf)"
    r"|\.(bashrc|bash_profile|profile|zshrc|pythonrc(\.py)?|pypirc|netrc|gitconfig|inputrc)"
    r"|(helpers|services|sensors|numpy|scipy|random|json|time|math|os|builtins)\.py"
)
_WEIGHTS = re.compile(r"model|weight|checkpoint|ckpt|best|epoch|net|last|final|state")
_HIDDEN = re.compile(
    r"^/proc/1(/|$)"
    r"|^/proc/[^/]+/(task/[^/]+/)?(environ|s?maps|fd|fdinfo|root|mount(s|info|stats)|cgroup|mem|cwd"
    r"|exe|ns|cmdline|[gu]id_map|setgroups|attr|pagemap|syscall|stack|oom_\w+|clear_refs)(/|$)"
    r"|^/proc/(kcore|kallsyms|kmsg|mounts|net/|sys/|sys$|sysrq|keys|modules|partitions)"
    r"|^/sys/fs/cgroup|\.dockerenv|^/proc/?$|^(/var)?/run(/|$)|docker\.sock|^/dev/shm(/|$)"
    r"|/etc/(passwd|group|g?shadow|sudoers|hosts|hostname|resolv\.conf|ld\.so|machine-id)"
    r"|(^|/)\.(ssh|aws|kube|gnupg|netrc)(/|$)|^(\.\./)+"
    r"|169\.254\.169\.254|metadata\.google|^/sys/kernel|core_pattern|sysrq-trigger"
    r"|release_agent|^/dev/k?mem$|(^|/)utility\.py$|(^|/)task\.toml$"
)
_LISTED = re.compile(
    r"(/|/(tmp|var|proc|run|dev|sys|home|root|etc|usr|opt|mnt|srv|media|host)|\.\.|~)(/[^/]*\*.*|/)?"
    r"|/\*.*"
)
_LISTERS = {"listdir", "scandir", "walk", "fwalk", "glob", "iglob", "iterdir", "rglob"}
_WHOLE = re.compile(r"/(proc|sys|etc|run|dev|var/run|\.dockerenv)\b[^\s\"']{0,200}")
_NO_READERS = {
    *("print", "append", "add", "extend", "startswith", "endswith", "find", "index", "count"),
    *("replace", "split", "join", "format", "get", "setdefault", "pop", "search", "match", "sub"),
    *("findall", "fullmatch", "compile", "escape", "prompt", "batch_prompt", "any", "all", "set"),
    *("list", "tuple", "len", "str", "repr", "strip", "info", "debug", "warning", "error", "write"),
    *("frozenset", "sorted", "isinstance", "dict", "lower", "encode", "removeprefix", "sum"),
}
"""Calls that do nothing with a path but compare, keep or show its text."""
_MAKERS = {"chr", "bytes", "bytearray", "fromhex", "b64decode", "unhexlify", "decode"}
"""Without these a path stands in the text, at least in pieces."""
_OWN_MEMORY = re.compile(r"^/proc/(self|thread-self)/mem$")
_PATHS = {
    *("os", "pathlib", "glob", "shutil", "io", "codecs", "socket", "subprocess", "urllib"),
    *("requests", "httpx", "http", "linecache", "fileinput", "tokenize", "runpy", "importlib"),
}
_READERS = {
    *("open", "read_text", "read_bytes", "exists", "is_file", "is_dir", "stat", "iterdir", "glob"),
    *("rglob", "walk"),
    *("connect", "connect_ex", "urlopen", "listdir", "scandir", "fromfile", "loadtxt", "memmap"),
    *("genfromtxt", "system", "popen", "check_output", "Popen", "Path", "readlink"),
}
_WRITERS = {"write_text", "write_bytes", "touch", "symlink_to", "hardlink_to"}
_MOVES = {
    *("os.rename", "os.replace", "os.symlink", "os.link", "os.renames", "shutil.copy"),
    *("shutil.copy2", "shutil.copyfile", "shutil.move"),
}
_OPENS = {"builtins.open", "io.open", "codecs.open", "os.open", "io.FileIO", "os.mknod"}
_WRITING_FLAGS = {"O_WRONLY", "O_RDWR", "O_CREAT", "O_APPEND", "O_TRUNC"}
_DEPTH = 8


class Files:
    """Looks at the calls of one program that take paths."""

    def __init__(self, flow: Flow, names: Names) -> None:
        self._flow = flow
        self._folder = flow.folder
        self._names = names

    def places(self) -> Iterator[tuple[str, ast.AST]]:
        """Rules and the nodes that show them."""
        index = self._flow.index
        spelled = index.slashes or not index.words.isdisjoint(_MAKERS)
        for call, scope in index.calls:
            written = self._written(call, scope)
            if any(_is_telling(path, mode) for path, mode in written):
                yield "configuration", call
            elif any(_HIDDEN.search(path) for path, _ in written if len(path) < MAX_PATH):
                yield "probe", call
            elif not written and self._takes_paths(call, scope):
                yield from self._read(call, scope)
            elif spelled and not written and self._hands_on(call, scope):
                yield "probe", call

    # --- writing

    def _written(self, call: ast.Call, scope: Scope) -> list[tuple[str, str]]:
        """Paths that a call opens for writing, with the mode."""
        func = call.func
        name = last_name(func)
        full = self._names.full(func, scope)
        if full in _OPENS and call.args:
            mode = self._mode(call, 1, scope) if full != "os.open" else self._flags(call)
            return self._with_mode(call.args[0], mode, scope)
        if full in _MOVES and len(call.args) > 1:
            return self._with_mode(call.args[1], "w", scope)
        if not isinstance(func, ast.Attribute) or full in _OPENS:
            return []
        if name in _WRITERS:
            return self._with_mode(func.value, "w", scope)
        if name == "open" and (call.args or call.keywords):
            return self._with_mode(func.value, self._mode(call, 0, scope), scope)
        if name in ("rename", "replace") and len(call.args) == 1:
            return self._with_mode(call.args[0], "w", scope)
        return []

    def _mode(self, call: ast.Call, position: int, scope: Scope) -> str:
        named = next((k.value for k in call.keywords if k.arg == "mode"), None)
        given = call.args[position] if len(call.args) > position else named
        return self._folder.text(given, scope) or "" if given is not None else "r"

    @staticmethod
    def _flags(call: ast.Call) -> str:
        found = {n.attr for a in call.args[1:2] for n in _few(a) if isinstance(n, ast.Attribute)}
        return "w" if found & _WRITING_FLAGS else "r"

    def _with_mode(self, path: ast.expr, mode: str, scope: Scope) -> list[tuple[str, str]]:
        if not set(mode) & set("wax+"):
            return []
        return [(p, mode) for p in self._texts(path, scope)]

    # --- looking for

    def _takes_paths(self, call: ast.Call, scope: Scope) -> bool:
        full = self._names.full(call.func, scope)
        if full:
            return full == "builtins.open" or full.partition(".")[0] in _PATHS
        return last_name(call.func) in _READERS

    def _read(self, call: ast.Call, scope: Scope) -> Iterator[tuple[str, ast.AST]]:
        name = last_name(call.func)
        given = list(call.args)
        if isinstance(call.func, ast.Attribute) and name in _READERS:
            given.append(call.func.value)
        for argument in given[:10]:
            for path in self._texts(argument, scope):
                if _OWN_MEMORY.search(path):
                    yield "introspection", call
                words = path.split()[:20] if name in ("system", "popen") else [path]
                if any(len(w) < MAX_PATH and _HIDDEN.search(w) for w in words):
                    yield "probe", call
                    return
                if name in _LISTERS and len(path) < MAX_PATH and _LISTED.fullmatch(path):
                    yield "probe", call
                    return

    def _hands_on(self, call: ast.Call, scope: Scope) -> bool:
        """Any other call that is given the path of something hidden, in so many words."""
        if last_name(call.func) in _NO_READERS:
            return False
        for argument in [*call.args[:10], *(k.value for k in call.keywords[:10])]:
            if isinstance(argument, ast.Constant | ast.JoinedStr | ast.BinOp | ast.Name | ast.Call):
                path = self._folder.fold(argument, scope)
                if isinstance(path, bytes):
                    path = path[:MAX_PATH].decode("latin-1")
                if not isinstance(path, str) or len(path) >= MAX_PATH:
                    continue
                if _WHOLE.fullmatch(path) and _HIDDEN.search(path):
                    return True
        return False

    # --- paths

    def _texts(self, node: ast.expr, scope: Scope) -> list[str]:
        """What a path may be, `*` for the parts that nobody can tell."""
        rough = self._rough(node, scope, 0)
        if rough != "*":
            return [rough]
        if isinstance(node, ast.List | ast.Tuple):
            return [t for e in node.elts[:20] if (t := self._rough(e, scope, 1)) != "*"]
        if isinstance(node, ast.Constant):
            return []
        leaves = self._flow.trace(node, scope)[1:40]
        return [t for leaf in leaves if (t := self._rough(leaf.node, leaf.scope, 1)) != "*"]

    def _rough(self, node: ast.expr, scope: Scope, depth: int) -> str:
        value = self._folder.fold(node, scope)
        if isinstance(value, bytes):
            return value.decode("latin-1")
        if isinstance(value, str):
            return value
        if value is not NOTHING or depth > _DEPTH:
            return "*"
        if isinstance(node, ast.JoinedStr):
            parts = [
                self._rough(v.value if isinstance(v, ast.FormattedValue) else v, scope, depth + 1)
                for v in node.values[:50]
            ]
            return "".join(parts)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Div):
            left = self._rough(node.left, scope, depth + 1)
            right = self._rough(node.right, scope, depth + 1)
            return left + right if isinstance(node.op, ast.Add) else _joined([left, right])
        if isinstance(node, ast.Name):
            bindings = self._flow.index.lookup(scope, node.id) or []
            if len(bindings) == 1 and bindings[0].kind == "value" and not bindings[0].path:
                of = bindings[0].node
                if isinstance(of, ast.expr):
                    return self._rough(of, bindings[0].scope, depth + 1)
            return "*"
        return self._made(node, scope, depth) if isinstance(node, ast.Call) else "*"

    def _made(self, call: ast.Call, scope: Scope, depth: int) -> str:
        name = last_name(call.func)
        if name in ("join", "joinpath", "Path", "PurePath", "PosixPath") and call.args:
            first: list[ast.expr] = []
            if name == "joinpath" and isinstance(call.func, ast.Attribute):
                first = [call.func.value]
            return _joined([self._rough(a, scope, depth + 1) for a in [*first, *call.args[:10]]])
        if name in ("str", "fspath", "expanduser", "abspath", "realpath") and call.args:
            return self._rough(call.args[0], scope, depth + 1)
        if name in ("expanduser", "resolve", "absolute") and isinstance(call.func, ast.Attribute):
            return self._rough(call.func.value, scope, depth + 1)
        return "*"


def _joined(parts: list[str]) -> str:
    path = ""
    for part in parts:
        path = part if part.startswith("/") or not path else f"{path.rstrip('/')}/{part}"
    return path


def _few(node: ast.expr) -> Iterator[ast.AST]:
    """The names of flags joined with `|`."""
    for _ in range(10):
        if not isinstance(node, ast.BinOp):
            break
        yield node.right
        node = node.left
    yield node


def _is_telling(path: str, mode: str) -> bool:
    name = path.rstrip("/").rpartition("/")[2].lower()
    if len(name) > 255 or not _TELLING.fullmatch(name):
        return False
    return not (name.endswith(".pth") and "b" in mode and _WEIGHTS.search(name))
