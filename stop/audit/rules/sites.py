"""Calls as their callees see them: also those that another function makes, `submit(f, x)`."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

from stop.audit.rules.scopes import EACH, Index, Path, Scope

_DIRECT = {"submit", "call", "partial", "to_thread", "call_soon", "apply", "apply_async"}
_MAPS = {"map", "imap", "imap_unordered", "map_async", "starmap", "starmap_async"}


@dataclass(slots=True)
class Site:
    """A call as its callee sees it: who is called with what, also when another function calls."""

    node: ast.Call
    callee: ast.expr
    scope: Scope
    args: list[tuple[ast.expr, Path]]
    keywords: list[ast.keyword] = field(default_factory=list)
    mapping: ast.expr | None = None  # a dict of further keywords


def last_name(node: ast.AST) -> str:
    """`c` of `a.b.c`, or of `c`."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def called(index: Index, func: ast.expr, scope: Scope) -> str:
    """The last part of a callee's name, of its real one where it is imported under another."""
    if isinstance(func, ast.Name):
        for binding in (index.lookup(scope, func.id) or [])[:8]:
            if binding.kind == "import":
                return binding.text.rpartition(".")[2]
    return last_name(func)


def sites_of(index: Index, call: ast.Call, scope: Scope) -> Iterable[Site]:
    """A call, and the call that it makes in turn: `submit(f, x)`, `map(f, xs)`, `partial(f, x)`."""
    args = [(a, ()) for a in call.args]
    yield Site(call, call.func, scope, args, call.keywords)  # type: ignore[arg-type]
    name = called(index, call.func, scope)
    if name in _DIRECT and call.args:
        callee, rest = call.args[0], call.args[1:]
        if name.startswith("apply"):
            yield _packed(call, callee, scope, rest)
        else:
            given: list[tuple[ast.expr, Path]] = [(a, ()) for a in rest]
            yield Site(call, callee, scope, given, call.keywords)
    elif name == "run_in_executor" and len(call.args) > 1:
        yield Site(call, call.args[1], scope, [(a, ()) for a in call.args[2:]])
    elif name in _MAPS and len(call.args) > 1:
        if name.startswith("star"):
            each: list[tuple[ast.expr, Path]] = [(call.args[1], (EACH, i)) for i in range(4)]
        else:
            each = [(a, (EACH,)) for a in call.args[1:]]
        yield Site(call, call.args[0], scope, each)
    elif name in ("Thread", "Process", "Timer"):
        given_by = {k.arg: k.value for k in call.keywords}
        callee_ = given_by.get("target") or given_by.get("function")
        if callee_ is not None:
            packed = [v for k in ("args", "kwargs") if (v := given_by.get(k)) is not None]
            yield _packed(call, callee_, scope, packed)


def _packed(call: ast.Call, callee: ast.expr, scope: Scope, packed: list[ast.expr]) -> Site:
    """`apply(f, (a, b), {...})`."""
    mapping = next((p for p in packed if isinstance(p, ast.Dict)), None)
    row = next((p for p in packed if p is not mapping), None)
    args: list[tuple[ast.expr, Path]] = [] if row is None else [(row, (i,)) for i in range(4)]
    return Site(call, callee, scope, args, mapping=mapping)
