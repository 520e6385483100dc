"""Calls as their callees see them: also those that another function makes, `submit(f, x)`."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

from stop.audit.rules._flow.scopes import EACH, Index, Path

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
