"""Which of its arguments a call gives back: `list(x)`, `zip(a, b)`, `repeat(x)`, `d.get(k)`."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from stop.audit.rules.scopes import ANY, EACH, Path, Scope
from stop.audit.rules.sites import called

if TYPE_CHECKING:
    from stop.audit.rules.flow import Flow

Step = tuple[ast.AST, Scope, Path, "bool | None"]
"""Where to look next: an expression, its scope, a path into it, and the truth it must have."""
_SAME = {"list", "tuple", "iter", "sorted", "reversed", "set", "cycle", "deque", "deepcopy"}
_ONE_OF = {"choice", "next", "max", "min"}


def through(flow: Flow, node: ast.Call, scope: Scope, path: Path) -> Iterable[Step]:
    """The expressions that the value of a call comes from."""
    if isinstance(node.func, ast.Attribute):
        yield from _method(flow, node.func, node.args, scope, path)
    yield from _function(flow, node, scope, path)
    yield from _returned(flow, node.func, scope, path)


def _function(  # noqa: PLR0912 - a list of cases
    flow: Flow, node: ast.Call, scope: Scope, path: Path
) -> Iterable[Step]:
    func, args = node.func, node.args
    name = called(flow.index, func, scope)
    first = args[0] if args else None
    if name in _SAME or (name == "copy" and first is not None):
        if first is not None:
            yield first, scope, path, None
    elif name == "repeat" and path:
        yield from ((a, scope, path[1:], None) for a in args[:1])
    elif name == "chain":
        yield from ((a, scope, path, None) for a in args[:20])
    elif name in ("zip", "product", "enumerate") and len(path) > 1 and isinstance(path[1], int):
        at = path[1] - (name == "enumerate")
        yield from ((a, scope, (EACH, *path[2:]), None) for a in args[at : at + 1] if at >= 0)
    elif name == "dict":
        yield from _dictionary(flow, node, scope, path)
    elif name == "fromkeys" and path and len(args) == 2:
        yield args[1], scope, path[1:], None
    elif name in ("loads", "literal_eval") and path:
        value = _part(flow.folder.fold(node, scope), path)
        if value is not None:
            yield ast.Constant(value[0]), scope, (), None
    elif name in _ONE_OF and first is not None:
        yield first, scope, (ANY, *path), None
    elif name == "getattr" and len(args) > 1:
        member = flow.folder.text(args[1], scope)
        for binding in flow.index.attributes.get(member or "", [])[:20]:
            if binding.kind == "value":
                yield binding.node, binding.scope, binding.path + path, None
        yield from ((a, scope, path, None) for a in args[2:3])


def _part(value: Any, path: Path) -> list[Any] | None:
    """What a folded dictionary or list holds at a path, in a list."""
    for step in path:
        listed = isinstance(value, list) and isinstance(step, int) and -1 < step < len(value)
        if not listed and not (isinstance(value, dict) and step in value):
            return None
        value = value[step]
    return [value]


def _method(
    flow: Flow, func: ast.Attribute, args: list[ast.expr], scope: Scope, path: Path
) -> Iterable[Step]:
    value = func.value
    if func.attr == "items" and len(path) > 1:
        yield value, scope, (ANY if path[1] == 1 else EACH, *path[2:]), None
    elif func.attr == "values" and path:
        yield value, scope, (ANY, *path[1:]), None
    elif func.attr == "keys" or (func.attr == "copy" and not args):
        yield value, scope, path, None
    elif func.attr in ("get", "pop", "setdefault") and args:
        key = flow.folder.fold(args[0], scope)
        yield value, scope, (key if isinstance(key, str | int) else ANY, *path), None
        yield from ((a, scope, path, None) for a in args[1:2])


def _dictionary(flow: Flow, node: ast.Call, scope: Scope, path: Path) -> Iterable[Step]:
    if not path:
        return
    for keyword in node.keywords:
        if keyword.arg is None:
            yield keyword.value, scope, path, None
        elif path[0] in (ANY, keyword.arg):
            yield keyword.value, scope, path[1:], None
    for given in node.args[:1]:
        yield given, scope, path, None
        if isinstance(given, ast.List | ast.Tuple | ast.ListComp | ast.GeneratorExp):
            for key, value in _pairs(given):
                if path[0] is ANY or flow.folder.fold(key, scope) == path[0]:
                    yield value, flow.index.inner.get(given, scope), path[1:], None
        elif isinstance(given, ast.Call) and len(given.args) == 2:  # zip(keys, values)
            keys = flow.folder.fold(given.args[0], scope)
            if isinstance(keys, list) and path[0] in keys:
                yield given.args[1], scope, (keys.index(path[0]), *path[1:]), None


def _pairs(given: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    rows = given.elts if isinstance(given, ast.List | ast.Tuple) else [getattr(given, "elt", given)]
    return [
        (row.elts[0], row.elts[1])
        for row in rows[:100]
        if isinstance(row, ast.Tuple | ast.List) and len(row.elts) == 2
    ]


def _returned(flow: Flow, func: ast.expr, scope: Scope, path: Path) -> Iterable[Step]:
    """What a function of the program returns."""
    if isinstance(func, ast.Lambda):
        yield func.body, flow.index.functions[func].scope, path, None
    if not isinstance(func, ast.Name):
        return
    for binding in (flow.index.lookup(scope, func.id) or [])[:10]:
        function = flow.index.functions.get(binding.node)
        if function is not None and binding.kind in ("function", "value") and not binding.path:
            for value in function.scope.returns[:20]:
                yield value, function.scope, path, None
