"""Where values come from: names, parameters, containers, and the calls that hand them on.

Flows are followed without regard to order or conditions: what may be is what counts.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from stop.audit.rules.calls import Step, through
from stop.audit.rules.folding import Folder, Fuel
from stop.audit.rules.names import Names
from stop.audit.rules.scopes import ANY, EACH, Binding, Function, Index, Path, Scope
from stop.audit.rules.sites import Site, last_name, sites_of
from stop.audit.rules.values import NOTHING

_MAX_STEPS = 150
"""Of following one expression."""
_MAX_SITES = 40
_HOLDERS = {"SimpleNamespace", "Namespace"}


@dataclass(slots=True)
class Leaf:
    """An expression that is not followed any further. `only` True or False: seen when so."""

    node: ast.expr
    scope: Scope
    only: bool | None = None


class Flow:
    """Follows values through one program."""

    def __init__(self, index: Index, folder: Folder, names: Names, fuel: Fuel) -> None:
        self.index = index
        self.folder = folder
        self.names = names
        self._fuel = fuel
        self._lambdas: dict[ast.AST, str] | None = None
        self._traced: dict[ast.AST, list[Leaf]] = {}
        self._changed: dict[str, list[tuple[object, ast.expr, Scope]]] | None = None
        self._held: dict[str, list[tuple[ast.expr, Scope]]] | None = None
        self.sites = [s for call, scope in index.calls for s in sites_of(index, call, scope)]
        self._sites_by_name: dict[str, list[Site]] = {}
        for site in self.sites:
            name = last_name(site.callee)
            if name:
                self._sites_by_name.setdefault(name, []).append(site)

    # --- calls

    def calls_of(self, function: Function) -> tuple[list[Site], int]:
        """Where a function of the program is called, and how many parameters the object gives."""
        shift = 1 if function.bound else 0
        name = function.name
        if isinstance(function.node, ast.Lambda):
            name = self._lambda_name(function)
        elif function.bound and name == "__init__":
            name = self.index.class_names.get(function.outer, "")
        return self._sites_by_name.get(name, [])[:_MAX_SITES], shift

    def _lambda_name(self, function: Function) -> str:
        if self._lambdas is None:
            scopes = {f.outer for f in self.index.functions.values()} | {self.index.module}
            self._lambdas = {
                binding.node: name
                for scope in scopes
                for name, bindings in scope.bindings.items()
                for binding in bindings
                if isinstance(binding.node, ast.Lambda) and binding.kind == "value"
            }
        return self._lambdas.get(function.node, "")

    def arguments(self, function: Function, parameter: str) -> Iterable[Step]:
        """What the program's calls give for a parameter."""
        arguments = function.node.args
        position = function.positions.get(parameter)
        rest = arguments.vararg is not None and arguments.vararg.arg == parameter
        sites, shift = self.calls_of(function)
        for site in sites:
            given = self.expanded(site)
            if position is not None and 0 <= position - shift < len(given):
                node, path, scope = given[position - shift]
                yield node, scope, path, None
            for keyword in site.keywords:
                if keyword.arg == parameter and not rest:
                    yield keyword.value, site.scope, (), None
            for mapping in self.mappings(site):
                yield mapping, site.scope, (parameter,), None

    def expanded(self, site: Site) -> list[tuple[ast.expr, Path, Scope]]:
        """Positional arguments, those of `*args` included as far as they are known."""
        given: list[tuple[ast.expr, Path, Scope]] = []
        for node, path in site.args[:50]:
            if not isinstance(node, ast.Starred):
                given.append((node, path, site.scope))
                continue
            given.extend((node.value, (i,), site.scope) for i in range(self._length(node, site)))
        return given

    def _length(self, starred: ast.Starred, site: Site) -> int:
        """Four where nobody can tell: places that do not exist lead nowhere."""
        value: ast.AST = starred.value
        if isinstance(value, ast.Name):
            bindings = self.index.lookup(site.scope, value.id) or []
            if len(bindings) == 1 and not bindings[0].path:
                value = bindings[0].node
        if isinstance(value, ast.Tuple | ast.List):
            return min(len(value.elts), 50)
        return 4

    def mappings(self, site: Site) -> list[ast.expr]:
        """The dictionaries handed over with `**`."""
        found = [k.value for k in site.keywords if k.arg is None]
        return found + ([site.mapping] if site.mapping is not None else [])

    # --- values

    def trace(self, node: ast.AST, scope: Scope, path: Path = ()) -> list[Leaf]:
        """The expressions whose value may arrive at `node` (at `path` in it)."""
        known = None if path else self._traced.get(node)
        if known is not None:
            return known
        leaves: list[Leaf] = []
        if not path:
            self._traced[node] = leaves
        pending: list[Step] = [(node, scope, path, None)]
        seen: set[tuple[ast.AST, Path]] = set()
        steps = 0
        while pending and steps < _MAX_STEPS:
            self._fuel.burn()
            at, scope, path, only = pending.pop()
            if (at, path) in seen or len(path) > 6:
                continue
            seen.add((at, path))
            steps += 1
            follow = _FOLLOW.get(at.__class__)
            further = [] if follow is None else list(follow(self, at, scope, path))
            pending.extend((n, s, p, only if o is None else o) for n, s, p, o in further)
            if not path and isinstance(at, ast.expr):
                leaves.append(Leaf(at, scope, only))
        return leaves

    def _name(self, node: ast.Name, scope: Scope, path: Path) -> Iterable[Step]:
        for binding in (self.index.lookup(scope, node.id) or [])[:_MAX_SITES]:
            yield from self._binding(binding, path)
        if path:
            yield from self._entries_set(node.id, path)

    def _binding(self, binding: Binding, path: Path) -> Iterable[Step]:
        if binding.kind in ("value", "added"):
            yield binding.node, binding.scope, binding.path + path, None
        elif binding.kind == "parameter":
            yield from self._parameter(binding, path)

    def _parameter(self, binding: Binding, path: Path) -> Iterable[Step]:
        function, name = self.index.functions[binding.node], binding.text
        if name in function.overwritten:
            return
        default = function.defaults.get(name)
        if default is not None:
            yield default, binding.scope, path, None
        arguments = function.node.args
        if path and arguments.vararg is not None and arguments.vararg.arg == name:
            yield from self._rest(function, path)
        elif path and arguments.kwarg is not None and arguments.kwarg.arg == name:
            if isinstance(path[0], str):
                for node, scope, more, only in self.arguments(function, path[0]):
                    yield node, scope, more + path[1:], only
        else:
            for node, scope, more, only in self.arguments(function, name):
                yield node, scope, more + path, only

    def _rest(self, function: Function, path: Path) -> Iterable[Step]:
        sites, shift = self.calls_of(function)
        first = len(function.positions) - shift
        for site in sites:
            given = self.expanded(site)[first:]
            if isinstance(path[0], int):
                given = given[path[0] : path[0] + 1]
            for node, more, scope in given:
                yield node, scope, more + path[1:], None

    def _entries_set(self, name: str, path: Path) -> Iterable[Step]:
        """`name[key] = value`, `name.update(...)`, `name.append(...)` anywhere in the program."""
        for key, node, scope in self._changes().get(name, [])[:_MAX_SITES]:
            if key is None:
                yield node, scope, path, None
            elif path[0] in (EACH, ANY, key) or key is ANY:
                yield node, scope, path[1:], None

    def _changes(self) -> dict[str, list[tuple[object, ast.expr, Scope]]]:
        if self._changed is not None:
            return self._changed
        changes: dict[str, list[tuple[object, ast.expr, Scope]]] = {}
        self._changed = changes
        for store in self.index.stores:
            if isinstance(store.target, ast.Subscript) and store.value is not None:
                key = self.folder.fold(store.target.slice, store.scope)
                if isinstance(key, str | int) and not store.path:
                    name = last_name(store.target.value)
                    changes.setdefault(name, []).append((key, store.value, store.scope))
        for call, scope in self.index.calls:
            func = call.func
            if not isinstance(func, ast.Attribute):
                continue
            into = changes.setdefault(last_name(func.value), [])
            if func.attr == "update":
                into += [(k.arg, k.value, scope) for k in call.keywords]
                into += [(None, a, scope) for a in call.args[:1]]
            elif func.attr in ("setdefault", "__setitem__") and len(call.args) == 2:
                key = self.folder.fold(call.args[0], scope)
                into += [(key, call.args[1], scope)] if isinstance(key, str) else []
            elif func.attr in ("append", "add", "put") and len(call.args) == 1:
                into.append((ANY, call.args[0], scope))
        for merge, scope in self.index.merges:
            if isinstance(merge.op, ast.BitOr | ast.Add):
                into = changes.setdefault(last_name(merge.target), [])
                into.append((None, merge.value, scope))
        return changes

    def _attribute(self, node: ast.Attribute, _scope: Scope, path: Path) -> Iterable[Step]:
        for binding in self.index.attributes.get(node.attr, [])[:_MAX_SITES]:
            yield from self._binding(binding, path)
        for site in self._holders().get(node.attr, [])[:_MAX_SITES]:
            yield site[0], site[1], path, None
        if path:
            yield from self._entries_set(node.attr, path)

    def is_set(self, attribute: str) -> bool:
        """Whether the program gives any object such an attribute."""
        return attribute in self.index.attributes or attribute in self._holders()

    def _holders(self) -> dict[str, list[tuple[ast.expr, Scope]]]:
        """Keywords of calls that make objects with fields: `Options(use_sandbox=False)`."""
        if self._held is not None:
            return self._held
        self._held = {}
        for call, scope in self.index.calls:
            name = last_name(call.func)
            if call.keywords and (name in self.index.classes or name in _HOLDERS):
                for keyword in call.keywords:
                    if keyword.arg:
                        held = (keyword.value, scope)
                        self._held.setdefault(keyword.arg, []).append(held)
        return self._held

    def _condition(self, node: ast.IfExp, scope: Scope, path: Path) -> Iterable[Step]:
        test = self.folder.fold(node.test, scope)
        if test is NOTHING or test:
            yield node.body, scope, path, None
        if test is NOTHING or not test:
            yield node.orelse, scope, path, None

    def _logic(self, node: ast.BoolOp, scope: Scope, path: Path) -> Iterable[Step]:
        ends_at = isinstance(node.op, ast.Or)
        for operand in node.values[:-1]:
            yield operand, scope, path, ends_at
        yield node.values[-1], scope, path, None

    def _value(
        self, node: ast.NamedExpr | ast.Await | ast.Starred, scope: Scope, path: Path
    ) -> Iterable[Step]:
        yield node.value, scope, path, None

    def _display(
        self, node: ast.Tuple | ast.List | ast.Set, scope: Scope, path: Path
    ) -> Iterable[Step]:
        if path and isinstance(path[0], int):
            chosen = node.elts[path[0] : path[0] + 1] if path[0] >= 0 else node.elts[path[0] :][:1]
        else:
            chosen = node.elts[:100] if path else []
        for element in chosen:
            if isinstance(element, ast.Starred):
                yield element.value, scope, path, None
            else:
                yield element, scope, path[1:], None

    def _dict(self, node: ast.Dict, scope: Scope, path: Path) -> Iterable[Step]:
        if not path:
            return
        for key, value in list(zip(node.keys, node.values, strict=True))[:200]:
            if key is None:
                yield value, scope, path, None
            elif path[0] is EACH:
                yield key, scope, path[1:], None
            elif path[0] is ANY or self._can_be(key, scope, path[0]):
                yield value, scope, path[1:], None

    def _can_be(self, key: ast.expr, scope: Scope, wanted: object) -> bool:
        found = self.folder.fold(key, scope)
        if found is not NOTHING or not isinstance(key, ast.Name):
            return bool(found == wanted)
        leaves = self.trace(key, scope)[:20]
        return any(self.folder.fold(leaf.node, leaf.scope) == wanted for leaf in leaves)

    def _subscript(self, node: ast.Subscript, scope: Scope, path: Path) -> Iterable[Step]:
        if isinstance(node.slice, ast.Slice):
            yield node.value, scope, (ANY, *path[1:]) if path else (), None
            return
        key = self.folder.fold(node.slice, scope)
        yield node.value, scope, (key if isinstance(key, str | int) else ANY, *path), None

    def _operation(self, node: ast.BinOp, scope: Scope, path: Path) -> Iterable[Step]:
        if path and isinstance(node.op, ast.Add | ast.Mult | ast.BitOr):
            further = path if isinstance(path[0], str) else (ANY, *path[1:])
            yield node.left, scope, path, None
            yield node.right, scope, further, None

    def _comprehension(
        self, node: ast.ListComp | ast.DictComp, scope: Scope, path: Path
    ) -> Iterable[Step]:
        if not path:
            return
        inner = self.index.inner.get(node, scope)
        if isinstance(node, ast.DictComp):
            if path[0] is EACH:
                yield node.key, inner, path[1:], None
            elif path[0] is ANY or self._can_be(node.key, inner, path[0]):
                yield node.value, inner, path[1:], None
        else:
            yield node.elt, inner, path[1:], None


_FOLLOW: dict[type, Callable[..., Iterable[Step]]] = {
    ast.Name: Flow._name,
    ast.Attribute: Flow._attribute,
    ast.IfExp: Flow._condition,
    ast.BoolOp: Flow._logic,
    ast.NamedExpr: Flow._value,
    ast.Await: Flow._value,
    ast.Starred: Flow._value,
    ast.Tuple: Flow._display,
    ast.List: Flow._display,
    ast.Set: Flow._display,
    ast.Dict: Flow._dict,
    ast.Subscript: Flow._subscript,
    ast.BinOp: Flow._operation,
    ast.ListComp: Flow._comprehension,
    ast.SetComp: Flow._comprehension,
    ast.GeneratorExp: Flow._comprehension,
    ast.DictComp: Flow._comprehension,
    ast.Call: through,
}
