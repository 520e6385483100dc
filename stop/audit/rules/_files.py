"""The rules about files: telling names opened for writing, hidden things looked for."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from stop.audit.rules._flow import MAX_PATH, NOTHING, last_name, sole_value
from stop.audit.rules._rule import Place, Rule
from stop.audit.rules._tables import TABLES, Patterns, Words

_PATTERNS: Patterns = TABLES.files.patterns
_SETS: Words = TABLES.files
_DEPTH = 8
_UNKNOWN = "*"
"""Stands for the parts of a path that the text does not tell."""


class Files(Rule):
    """Looks at the calls that take paths."""

    def places(self) -> Iterator[Place]:
        spelled = not self._index.words.isdisjoint(_SETS.makers)
        spelled = spelled or any(_is_part(n.value) for n in self._index.nodes[ast.Constant])
        for call in self._index.calls:
            written = self._written(call)
            if any(_is_telling(path, mode) for path, mode in written):
                yield "configuration", call
            elif any(_is_hidden(path) for path, _ in written):
                yield "probe", call
            elif not written and self._takes_paths(call):
                yield from self._read(call)
            elif spelled and not written and self._hands_on(call):
                yield "probe", call

    # --- writing

    def _written(self, call: ast.Call) -> list[tuple[str, str]]:
        """Paths that a call opens for writing, with the mode."""
        func, args = call.func, call.args
        name, full = last_name(func), self._full(func)
        if full in _SETS.opens and args:
            mode = self._mode(call, 1) if full != "os.open" else _mode_of_flags(call)
            return self._with_mode(args[0], mode)
        if full in _SETS.moves and len(args) > 1:
            return self._with_mode(args[1], "w")
        if not isinstance(func, ast.Attribute) or full in _SETS.opens:
            return []
        if name in _SETS.writers:
            return self._with_mode(func.value, "w")
        if name == "open" and (args or call.keywords):
            return self._with_mode(func.value, self._mode(call, 0))
        if name in ("rename", "replace") and len(args) == 1:
            return self._with_mode(args[0], "w")
        return []

    def _mode(self, call: ast.Call, position: int) -> str:
        named = next((k.value for k in call.keywords if k.arg == "mode"), None)
        given = call.args[position] if len(call.args) > position else named
        return self._text(given) or "" if given is not None else "r"

    def _with_mode(self, path: ast.expr, mode: str) -> list[tuple[str, str]]:
        return [(p, mode) for p in self._paths(path)] if set(mode) & set("wax+") else []

    # --- looking for

    def _takes_paths(self, call: ast.Call) -> bool:
        full = self._full(call.func)
        if full:
            return full == "builtins.open" or full.partition(".")[0] in _SETS.modules
        return last_name(call.func) in _SETS.readers

    def _read(self, call: ast.Call) -> Iterator[Place]:
        name = last_name(call.func)
        given = list(call.args)
        if isinstance(call.func, ast.Attribute) and name in _SETS.readers:
            given.append(call.func.value)
        for path in (path for argument in given[:10] for path in self._paths(argument)):
            if _PATTERNS.own_memory.search(path):
                yield "introspection", call
            words = path.split()[:20] if name in ("system", "popen") else [path]
            lists = name in _SETS.listers and len(path) < MAX_PATH
            if any(map(_is_hidden, words)) or (lists and _PATTERNS.listed.fullmatch(path)):
                yield "probe", call
                return

    def _hands_on(self, call: ast.Call) -> bool:
        """Any other call that is given the path of something hidden, written out."""
        if last_name(call.func) in _SETS.keepers:
            return False
        for argument in [*call.args[:10], *(k.value for k in call.keywords[:10])]:
            if isinstance(argument, ast.Constant | ast.JoinedStr | ast.BinOp | ast.Name | ast.Call):
                path = self._fold(argument)
                if isinstance(path, bytes):
                    path = path[:MAX_PATH].decode("latin-1")
                if isinstance(path, str) and _is_hidden(path) and _PATTERNS.whole.fullmatch(path):
                    return True
        return False

    # --- paths

    def _paths(self, node: ast.expr) -> list[str]:
        """The paths that may arrive, each with `_UNKNOWN` for parts of it."""
        rough = [self._rough(node, 0)]
        if rough == [_UNKNOWN]:
            parts: list[ast.expr] = []
            if isinstance(node, ast.List | ast.Tuple):
                parts = node.elts[:20]
            elif not isinstance(node, ast.Constant):
                parts = [leaf.node for leaf in self._trace(node)[1:40]]
            rough = [self._rough(part, 1) for part in parts]
        return [path for path in rough if path != _UNKNOWN]

    def _rough(self, node: ast.expr, depth: int) -> str:
        value = self._fold(node)
        if isinstance(value, bytes):
            return value.decode("latin-1")
        if isinstance(value, str):
            return value
        if value is not NOTHING or depth > _DEPTH:
            return _UNKNOWN
        if isinstance(node, ast.FormattedValue):
            return self._rough(node.value, depth)
        if isinstance(node, ast.JoinedStr):
            return "".join(self._rough(part, depth + 1) for part in node.values[:50])
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Div):
            parts = [self._rough(node.left, depth + 1), self._rough(node.right, depth + 1)]
            return "".join(parts) if isinstance(node.op, ast.Add) else _joined(parts)
        if isinstance(node, ast.Name):
            of = sole_value(self._index.lookup(node))
            if isinstance(of, ast.expr):
                return self._rough(of, depth + 1)
        return self._made(node, depth + 1) if isinstance(node, ast.Call) else _UNKNOWN

    def _made(self, call: ast.Call, depth: int) -> str:
        name, func, args = last_name(call.func), call.func, call.args[:10]
        if isinstance(func, ast.Attribute):
            if name == "joinpath":
                args = [func.value, *args] if args else []
            elif name in ("expanduser", "resolve", "absolute") and not args:
                return self._rough(func.value, depth)
        if name in ("join", "joinpath", "Path", "PurePath", "PosixPath") and args:
            return _joined([self._rough(a, depth) for a in args])
        if name in ("str", "fspath", "expanduser", "abspath", "realpath") and args:
            return self._rough(args[0], depth)
        return _UNKNOWN


def _joined(parts: list[str]) -> str:
    path = ""
    for part in parts:
        path = part if part.startswith("/") or not path else f"{path.rstrip('/')}/{part}"
    return path


def _mode_of_flags(call: ast.Call) -> str:
    """The mode for the flags of `os.open`, joined with `|`."""
    flags = call.args[1] if len(call.args) > 1 else None
    for _ in range(10):
        last = flags.right if isinstance(flags, ast.BinOp) else flags
        if isinstance(last, ast.Attribute) and last.attr in _SETS.writing_flags:
            return "w"
        flags = flags.left if isinstance(flags, ast.BinOp) else None
    return "r"


def _is_part(text: object) -> bool:
    """Whether a constant could be a path or a part of one."""
    if isinstance(text, str):
        return len(text) < MAX_PATH and ("/" in text or "%c" in text)
    return isinstance(text, bytes)


def _is_hidden(path: str) -> bool:
    return len(path) < MAX_PATH and _PATTERNS.hidden.search(path) is not None


def _is_telling(path: str, mode: str) -> bool:
    name = path.rstrip("/").rpartition("/")[2].lower()
    if len(name) > 255 or not _PATTERNS.telling.fullmatch(name):
        return False
    return not (name.endswith(".pth") and "b" in mode and _PATTERNS.weights.search(name))
