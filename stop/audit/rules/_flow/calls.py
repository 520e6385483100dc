"""Calls: who is called with what, also by another function, and which argument comes back.

`submit(f, x)` calls f; `list(x)`, `zip(a, b)`, `repeat(x)`, `d.get(k)` give back what they take.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from stop.audit.rules._flow.folding import Folder
from stop.audit.rules._flow.index import ANY, EACH, Index, Path, Step

_SAME = {"list", "tuple", "iter", "sorted", "reversed", "set", "cycle", "deque", "deepcopy"}
_ONE_OF = {"choice", "next", "max", "min"}
_DIRECT = {"submit", "call", "partial", "to_thread", "call_soon", "apply", "apply_async"}
_MAPS = {"map", "imap", "imap_unordered", "map_async", "starmap", "starmap_async"}
_UNKNOWN = 4
"""Positions of a row whose length the text does not tell: those that do not exist lead nowhere."""
Given = list[tuple[ast.expr, Path]]


@dataclass(slots=True)
class Site:
    """A call as its callee sees it: who is called with what, also when another function calls."""

    node: ast.Call
    callee: ast.expr
    args: Given
    keywords: list[ast.keyword] = field(default_factory=list)
    mapping: ast.expr | None = None  # a dict of further keywords

    @property
    def mappings(self) -> list[ast.expr]:
        """The dictionaries that are handed over with `**`."""
        found = [k.value for k in self.keywords if k.arg is None]
        return found + ([self.mapping] if self.mapping is not None else [])

    def expanded(self, index: Index) -> Given:
        """Positional arguments, those of `*args` included as far as they are known."""
        given: Given = []
        for node, path in self.args[:50]:
            if isinstance(node, ast.Starred):
                given.extend((node.value, (i,)) for i in range(_length(index, node.value)))
            else:
                given.append((node, path))
        return given


def _length(index: Index, row: ast.AST) -> int:
    if isinstance(row, ast.Name):
        bindings = index.lookup(row) or []
        if len(bindings) == 1 and not bindings[0].path:
            row = bindings[0].node
    return min(len(row.elts), 50) if isinstance(row, ast.Tuple | ast.List) else _UNKNOWN


def last_name(node: ast.AST) -> str:
    """Returns `c` of `a.b.c`, or of `c`."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def called(index: Index, func: ast.expr) -> str:
    """Returns the last part of a callee's name, of its real one if it is imported as another."""
    if isinstance(func, ast.Name):
        for binding in (index.lookup(func) or [])[:8]:
            if binding.kind == "import":
                return binding.text.rpartition(".")[2]
    return last_name(func)


def sites_of(index: Index, call: ast.Call) -> Iterable[Site]:
    """Yields a call, and the one that it makes: `submit(f, x)`, `map(f, xs)`, `partial(f, x)`."""
    args = call.args
    yield Site(call, call.func, _plain(args), call.keywords)
    name = called(index, call.func)
    if name in _DIRECT and args:
        if name.startswith("apply"):
            yield _packed(call, args[0], args[1:])
        else:
            yield Site(call, args[0], _plain(args[1:]), call.keywords)
    elif name == "run_in_executor" and len(args) > 1:
        yield Site(call, args[1], _plain(args[2:]))
    elif name in _MAPS and len(args) > 1:
        if name.startswith("star"):
            yield Site(call, args[0], [(args[1], (EACH, i)) for i in range(_UNKNOWN)])
        else:
            yield Site(call, args[0], [(a, (EACH,)) for a in args[1:]])
    elif name in ("Thread", "Process", "Timer"):
        given_by = {k.arg: k.value for k in call.keywords}
        callee = given_by.get("target") or given_by.get("function")
        if callee is not None:
            packed = [v for k in ("args", "kwargs") if (v := given_by.get(k)) is not None]
            yield _packed(call, callee, packed)


def _plain(args: list[ast.expr]) -> Given:
    return [(a, ()) for a in args]


def _packed(call: ast.Call, callee: ast.expr, packed: list[ast.expr]) -> Site:
    """`apply(f, (a, b), {...})`."""
    mapping = next((p for p in packed if isinstance(p, ast.Dict)), None)
    row = next((p for p in packed if p is not mapping), None)
    args: Given = [] if row is None else [(row, (i,)) for i in range(_UNKNOWN)]
    return Site(call, callee, args, mapping=mapping)


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

    def _function(self, node: ast.Call, path: Path) -> Iterable[Step]:
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
