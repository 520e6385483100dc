"""Which of its arguments a call gives back: `list(x)`, `zip(a, b)`, `repeat(x)`, `d.get(k)`."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from stop.audit.rules._flow.folding import Folder
from stop.audit.rules._flow.scopes import ANY, EACH, Index, Path, Step
from stop.audit.rules._flow.sites import called

_SAME = {"list", "tuple", "iter", "sorted", "reversed", "set", "cycle", "deque", "deepcopy"}
_ONE_OF = {"choice", "next", "max", "min"}


class Calls:
    """Follows values through the calls of one program."""

    def __init__(self, index: Index, folder: Folder) -> None:
        self._index = index
        self._folder = folder

    def through(self, node: ast.Call, path: Path) -> Iterable[Step]:
        """Yields the expressions that the value of a call comes from."""
        if isinstance(node.func, ast.Attribute):
            yield from self._method(node.func, node.args, path)
        yield from self._function(node, path)
        yield from self._returned(node.func, path)

    def _function(self, node: ast.Call, path: Path) -> Iterable[Step]:  # noqa: PLR0912 - cases
        args = node.args
        name = called(self._index, node.func)
        if name in _SAME or name == "copy":
            yield from ((a, path, None) for a in args[:1])
        elif name == "repeat" and path:
            yield from ((a, path[1:], None) for a in args[:1])
        elif name == "chain":
            yield from ((a, path, None) for a in args[:20])
        elif name in ("zip", "product", "enumerate") and len(path) > 1 and isinstance(path[1], int):
            at = path[1] - (name == "enumerate")
            yield from ((a, (EACH, *path[2:]), None) for a in args[at : at + 1] if at >= 0)
        elif name == "dict" and path:
            yield from self._dictionary(node, path)
        elif name == "fromkeys" and path and len(args) == 2:
            yield args[1], path[1:], None
        elif name in ("loads", "literal_eval") and path:
            yield from _part(self._folder.fold(node), path)
        elif name in _ONE_OF:
            yield from ((a, (ANY, *path), None) for a in args[:1])
        elif name == "getattr" and len(args) > 1:
            member = self._folder.text(args[1])
            for binding in self._index.attributes.get(member or "", [])[:20]:
                if binding.kind == "value":
                    yield binding.node, binding.path + path, None
            yield from ((a, path, None) for a in args[2:3])

    def _method(self, func: ast.Attribute, args: list[ast.expr], path: Path) -> Iterable[Step]:
        value = func.value
        if func.attr == "items" and len(path) > 1:
            yield value, (ANY if path[1] == 1 else EACH, *path[2:]), None
        elif func.attr == "values" and path:
            yield value, (ANY, *path[1:]), None
        elif func.attr == "keys" or (func.attr == "copy" and not args):
            yield value, path, None
        elif func.attr in ("get", "pop", "setdefault") and args:
            key = self._folder.fold(args[0])
            yield value, (key if isinstance(key, str | int) else ANY, *path), None
            yield from ((a, path, None) for a in args[1:2])

    def _dictionary(self, node: ast.Call, path: Path) -> Iterable[Step]:
        for keyword in node.keywords:
            if keyword.arg is None:
                yield keyword.value, path, None
            elif path[0] in (ANY, keyword.arg):
                yield keyword.value, path[1:], None
        for given in node.args[:1]:
            yield given, path, None
            if isinstance(given, ast.List | ast.Tuple | ast.ListComp | ast.GeneratorExp):
                for key, value in _pairs(given):
                    if path[0] is ANY or self._folder.fold(key) == path[0]:
                        yield value, path[1:], None
            elif isinstance(given, ast.Call) and len(given.args) == 2:  # zip(keys, values)
                keys = self._folder.fold(given.args[0])
                if isinstance(keys, list) and path[0] in keys:
                    yield given.args[1], (keys.index(path[0]), *path[1:]), None

    def _returned(self, func: ast.expr, path: Path) -> Iterable[Step]:
        """What a function of the program returns."""
        if isinstance(func, ast.Lambda):
            yield func.body, path, None
        if not isinstance(func, ast.Name):
            return
        for binding in (self._index.lookup(func) or [])[:10]:
            function = self._index.functions.get(binding.node)
            if function is not None and binding.kind in ("function", "value") and not binding.path:
                yield from ((value, path, None) for value in function.scope.returns[:20])


def _part(value: Any, path: Path) -> Iterable[Step]:
    """What a folded dictionary or list holds at a path."""
    for step in path:
        listed = isinstance(value, list) and isinstance(step, int) and -1 < step < len(value)
        if not listed and not (isinstance(value, dict) and step in value):
            return
        value = value[step]
    yield ast.Constant(value), (), None


def _pairs(given: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    rows = given.elts if isinstance(given, ast.List | ast.Tuple) else [getattr(given, "elt", given)]
    return [
        (row.elts[0], row.elts[1])
        for row in rows[:100]
        if isinstance(row, ast.Tuple | ast.List) and len(row.elts) == 2
    ]
