"""Where values come from: names, parameters, containers, and the calls that hand them on.

Flows are followed without regard to order or conditions: what may be is what counts.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from stop.audit.rules._flow.calls import Calls, Site, last_name, sites_of
from stop.audit.rules._flow.folding import Folder, Fuel
from stop.audit.rules._flow.handlers import Handlers
from stop.audit.rules._flow.index import ANY, EACH, Binding, Function, Index, Path, Step
from stop.audit.rules._flow.values import NOTHING

_MAX_STEPS = 150
"""Of following one expression."""
_MAX_SITES = 40
_HOLDERS = {"SimpleNamespace", "Namespace"}
_handlers = Handlers[type]()
"""The expressions that the value of a node comes from."""


@dataclass(slots=True)
class Leaf:
    """An expression that is not followed any further. `only` True or False: seen when so."""

    node: ast.expr
    only: bool | None = None


class Flow:
    """Follows values through one program."""

    def __init__(self, index: Index, folder: Folder, fuel: Fuel) -> None:
        self._index = index
        self._folder = folder
        self._fuel = fuel
        self._calls = Calls(index, folder)
        self._traced: dict[ast.AST, list[Leaf]] = {}
        self.sites = [site for call in index.calls for site in sites_of(index, call)]
        self._sites_by_name: dict[str, list[Site]] = {}
        for site in self.sites:
            name = last_name(site.callee)
            if name:
                self._sites_by_name.setdefault(name, []).append(site)

    # --- calls

    def calls_of(self, function: Function) -> tuple[list[Site], int]:
        """Returns where a function is called, and how many parameters its object gives."""
        name = function.name
        if isinstance(function.node, ast.Lambda):
            name = self._lambda_names.get(function.node, "")
        elif function.bound and name == "__init__":
            name = self._index.classes.get(function.outer, "")
        return self._sites_by_name.get(name, [])[:_MAX_SITES], int(function.bound)

    @cached_property
    def _lambda_names(self) -> dict[ast.AST, str]:
        scopes = {f.outer for f in self._index.functions.values()} | {self._index.module}
        return {
            binding.node: name
            for scope in scopes
            for name, bindings in scope.bindings.items()
            for binding in bindings
            if isinstance(binding.node, ast.Lambda) and binding.kind == "value"
        }

    def _arguments(self, function: Function, parameter: str) -> Iterable[Step]:
        """What the program's calls give for a parameter."""
        arguments = function.node.args
        position = function.positions.get(parameter)
        rest = arguments.vararg is not None and arguments.vararg.arg == parameter
        sites, shift = self.calls_of(function)
        for site in sites:
            given = site.expanded(self._index)
            if position is not None and 0 <= position - shift < len(given):
                yield *given[position - shift], None
            for keyword in site.keywords:
                if keyword.arg == parameter and not rest:
                    yield keyword.value, (), None
            yield from ((mapping, (parameter,), None) for mapping in site.mappings)

    # --- values

    def trace(self, node: ast.AST, path: Path = ()) -> list[Leaf]:
        """Returns the expressions whose value may arrive at `node` (at `path` in it)."""
        known = None if path else self._traced.get(node)
        if known is not None:
            return known
        leaves: list[Leaf] = []
        if not path:
            self._traced[node] = leaves
        pending: list[Step] = [(node, path, None)]
        seen: set[tuple[ast.AST, Path]] = set()
        steps = 0
        while pending and steps < _MAX_STEPS:
            self._fuel.burn()
            at, path, only = pending.pop()
            if (at, path) in seen or len(path) > 6:
                continue
            seen.add((at, path))
            steps += 1
            follow = _handlers.get(at.__class__)
            if follow is not None:
                further = list(follow(self, at, path))
                pending.extend((n, p, only if o is None else o) for n, p, o in further)
            if not path and isinstance(at, ast.expr):
                leaves.append(Leaf(at, only))
        return leaves

    def can_be(self, node: ast.expr, test: Callable[[object], bool]) -> bool:
        """Returns whether a constant that may arrive at `node` passes a test."""
        value = self._folder.fold(node)
        if value is not NOTHING or not isinstance(node, ast.Name):
            return test(value)
        return any(test(self._folder.fold(leaf.node)) for leaf in self.trace(node)[:20])

    @_handlers.of(ast.Name)
    def _name(self, node: ast.Name, path: Path) -> Iterable[Step]:
        for binding in (self._index.lookup(node) or [])[:_MAX_SITES]:
            yield from self._binding(binding, path)
        if path:
            yield from self._entries_set(node.id, path)

    def _binding(self, binding: Binding, path: Path) -> Iterable[Step]:
        if binding.kind in ("value", "added"):
            yield binding.node, binding.path + path, None
        elif binding.kind == "parameter":
            yield from self._parameter(binding, path)

    def _parameter(self, binding: Binding, path: Path) -> Iterable[Step]:
        function, name = self._index.functions[binding.node], binding.text
        if name in function.overwritten:
            return
        default = function.defaults.get(name)
        if default is not None:
            yield default, path, None
        arguments = function.node.args
        if path and arguments.vararg is not None and arguments.vararg.arg == name:
            yield from self._rest(function, path)
            return
        if path and arguments.kwarg is not None and arguments.kwarg.arg == name:
            if not isinstance(path[0], str):
                return
            name, path = path[0], path[1:]
        for node, more, only in self._arguments(function, name):
            yield node, more + path, only

    def _rest(self, function: Function, path: Path) -> Iterable[Step]:
        sites, shift = self.calls_of(function)
        first = len(function.positions) - shift
        for site in sites:
            given = site.expanded(self._index)[first:]
            if isinstance(path[0], int):
                given = given[path[0] : path[0] + 1]
            yield from ((node, more + path[1:], None) for node, more in given)

    def _entries_set(self, name: str, path: Path) -> Iterable[Step]:
        """`name[key] = value`, `name.update(...)`, `name.append(...)` anywhere in the program."""
        for key, node in self._changes.get(name, [])[:_MAX_SITES]:
            if key is None:
                yield node, path, None
            elif path[0] in (EACH, ANY, key) or key is ANY:
                yield node, path[1:], None

    @cached_property
    def _changes(self) -> dict[str, list[tuple[object, ast.expr]]]:
        """By name: keys and the values set for them; None where a whole mapping is merged."""
        changes: dict[str, list[tuple[object, ast.expr]]] = {}
        for store in self._index.stores:
            if isinstance(store.target, ast.Subscript) and store.value is not None:
                key = self._folder.fold(store.target.slice)
                if isinstance(key, str | int) and not store.path:
                    name = last_name(store.target.value)
                    changes.setdefault(name, []).append((key, store.value))
        for call in self._index.calls:
            func = call.func
            if not isinstance(func, ast.Attribute):
                continue
            into = changes.setdefault(last_name(func.value), [])
            if func.attr == "update":
                into += [(k.arg, k.value) for k in call.keywords]
                into += [(None, a) for a in call.args[:1]]
            elif func.attr in ("setdefault", "__setitem__") and len(call.args) == 2:
                key = self._folder.fold(call.args[0])
                into += [(key, call.args[1])] if isinstance(key, str) else []
            elif func.attr in ("append", "add", "put") and len(call.args) == 1:
                into.append((ANY, call.args[0]))
        for merge in self._index.nodes[ast.AugAssign]:
            if isinstance(merge.op, ast.BitOr | ast.Add):
                changes.setdefault(last_name(merge.target), []).append((None, merge.value))
        return changes

    @_handlers.of(ast.Attribute)
    def _attribute(self, node: ast.Attribute, path: Path) -> Iterable[Step]:
        for binding in self._index.attributes.get(node.attr, [])[:_MAX_SITES]:
            yield from self._binding(binding, path)
        for value in self._held.get(node.attr, [])[:_MAX_SITES]:
            yield value, path, None
        if path:
            yield from self._entries_set(node.attr, path)

    def is_set(self, attribute: str) -> bool:
        """Returns whether the program gives any object such an attribute."""
        return attribute in self._index.attributes or attribute in self._held

    @cached_property
    def _held(self) -> dict[str, list[ast.expr]]:
        """Keywords of calls that make objects with fields: `Options(use_sandbox=False)`."""
        held: dict[str, list[ast.expr]] = {}
        makers = {*_HOLDERS, *self._index.classes.values()}
        for call in self._index.calls:
            if call.keywords and last_name(call.func) in makers:
                for keyword in call.keywords:
                    if keyword.arg:
                        held.setdefault(keyword.arg, []).append(keyword.value)
        return held

    @_handlers.of(ast.IfExp)
    def _condition(self, node: ast.IfExp, path: Path) -> Iterable[Step]:
        test = self._folder.fold(node.test)
        if test is NOTHING or test:
            yield node.body, path, None
        if test is NOTHING or not test:
            yield node.orelse, path, None

    @_handlers.of(ast.BoolOp)
    def _logic(self, node: ast.BoolOp, path: Path) -> Iterable[Step]:
        ends_at = isinstance(node.op, ast.Or)
        yield from ((operand, path, ends_at) for operand in node.values[:-1])
        yield node.values[-1], path, None

    @_handlers.of(ast.NamedExpr, ast.Await, ast.Starred)
    def _value(self, node: ast.NamedExpr | ast.Await | ast.Starred, path: Path) -> Iterable[Step]:
        yield node.value, path, None

    @_handlers.of(ast.Tuple, ast.List, ast.Set)
    def _display(self, node: ast.Tuple | ast.List | ast.Set, path: Path) -> Iterable[Step]:
        if not path:
            return
        chosen = node.elts[:100]
        if isinstance(path[0], int):
            chosen = node.elts[path[0] : path[0] + 1 or None]
        for element in chosen:
            if isinstance(element, ast.Starred):
                yield element.value, path, None
            else:
                yield element, path[1:], None

    @_handlers.of(ast.Dict)
    def _dict(self, node: ast.Dict, path: Path) -> Iterable[Step]:
        if not path:
            return
        for key, value in list(zip(node.keys, node.values, strict=True))[:200]:
            if key is None:
                yield value, path, None
            else:
                yield from self._entry(key, value, path)

    @_handlers.of(ast.DictComp)
    def _mapped(self, node: ast.DictComp, path: Path) -> Iterable[Step]:
        if path:
            yield from self._entry(node.key, node.value, path)

    def _entry(self, key: ast.expr, value: ast.expr, path: Path) -> Iterable[Step]:
        wanted, *rest = path
        if wanted is EACH:
            yield key, tuple(rest), None
        elif wanted is ANY or self.can_be(key, lambda found: found == wanted):
            yield value, tuple(rest), None

    @_handlers.of(ast.ListComp, ast.SetComp, ast.GeneratorExp)
    def _comprehension(self, node: ast.ListComp, path: Path) -> Iterable[Step]:
        if path:
            yield node.elt, path[1:], None

    @_handlers.of(ast.Subscript)
    def _subscript(self, node: ast.Subscript, path: Path) -> Iterable[Step]:
        if isinstance(node.slice, ast.Slice):
            yield node.value, (ANY, *path[1:]) if path else (), None
            return
        key = self._folder.fold(node.slice)
        yield node.value, (key if isinstance(key, str | int) else ANY, *path), None

    @_handlers.of(ast.BinOp)
    def _operation(self, node: ast.BinOp, path: Path) -> Iterable[Step]:
        if path and isinstance(node.op, ast.Add | ast.Mult | ast.BitOr):
            yield node.left, path, None
            yield node.right, path if isinstance(path[0], str) else (ANY, *path[1:]), None

    @_handlers.of(ast.Call)
    def _call(self, node: ast.Call, path: Path) -> Iterable[Step]:
        return self._calls.through(node, path)
