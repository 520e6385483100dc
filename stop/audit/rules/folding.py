"""Constant folding: what an expression of literals and names that are bound once comes to.

Nothing of the program is executed: each operation that is understood is carried out here on plain
values with a limit on size, on depth and on the work for one program.
"""

from __future__ import annotations

import ast
import codecs
import json
from collections.abc import Callable
from typing import Any

from stop.audit.rules.scopes import Index, Scope
from stop.audit.rules.values import (
    ARITHMETIC,
    BUILTIN,
    CODECS,
    COMPARE,
    FUNCTIONS,
    MAX_SIZE,
    NOTHING,
    ODD,
    listed,
    method,
    percent,
    plus,
)

MAX_DEPTH = 24
"""Of expressions within expressions, names followed included; long sums count once."""
MAX_STEPS = 100_000
"""Of one program, of following names and folding; under a second."""
_BIG = 1 << 64
_SIZED = (str, bytes, list, dict)


class OutOfFuel(Exception):
    """A program is so tangled that looking at it takes too long."""


class Fuel:
    """The work that one program may cause."""

    __slots__ = ("left",)

    def __init__(self, left: int = MAX_STEPS) -> None:
        self.left = left

    def burn(self, steps: int = 1) -> None:
        """Raises `OutOfFuel` when nothing is left."""
        self.left -= steps
        if self.left < 0:
            raise OutOfFuel


class Folder:
    """Folds expressions of one program."""

    def __init__(self, index: Index, fuel: Fuel) -> None:
        self._index = index
        self._fuel = fuel
        self._known: dict[ast.AST, Any] = {}
        self._local: dict[str, Any] = {}  # names of the comprehension that is being folded

    def fold(self, node: ast.AST | None, scope: Scope, depth: int = 0) -> Any:
        """The value (tuples as lists), or `NOTHING`."""
        if isinstance(node, ast.Constant):
            return node.value
        fold = _FOLDS.get(node.__class__)
        if node is None or fold is None or depth > MAX_DEPTH:
            return NOTHING
        self._fuel.burn()
        if node in self._known and not self._local:
            return self._known[node]
        self._known[node] = NOTHING  # what refers to itself
        try:
            value = fold(self, node, scope, depth + 1)
        except ODD:
            value = NOTHING
        if isinstance(value, _SIZED):
            size = len(value)
            self._fuel.burn(size >> 6)
            if size > MAX_SIZE:
                value = NOTHING
        elif isinstance(value, int) and not -_BIG < value < _BIG:
            value = NOTHING
        if self._local:
            self._known.pop(node, None)
        else:
            self._known[node] = value
        return value

    def text(self, node: ast.AST | None, scope: Scope) -> str | None:
        """The folded string, or None."""
        value = self.fold(node, scope)
        return value if isinstance(value, str) else None

    def _all(self, nodes: list[ast.expr], scope: Scope, depth: int) -> Any:
        values: list[Any] = []
        for node in nodes:
            value = self.fold(node, scope, depth)
            if value is NOTHING:
                return NOTHING
            values.append(value)
        return values

    def _name(self, node: ast.Name, scope: Scope, depth: int) -> Any:
        if node.id in self._local:
            return self._local[node.id]
        bindings = self._index.lookup(scope, node.id)
        if not bindings or bindings[0].kind != "value" or len(bindings) > 50:
            return NOTHING
        first = bindings[0]
        total = self.fold(first.node, first.scope, depth)
        for step in first.path:
            total = total[step] if isinstance(step, int) else NOTHING
        for binding in bindings[1:]:
            part = self.fold(binding.node, binding.scope, depth)
            if binding.kind != "added" or not isinstance(total, str) or not isinstance(part, str):
                return NOTHING
            total = plus(total, part)
        return total

    def _attribute(self, node: ast.Attribute, _scope: Scope, depth: int) -> Any:
        bindings = self._index.attributes.get(node.attr, [])
        if len(bindings) != 1 or bindings[0].kind != "value" or bindings[0].path:
            return NOTHING
        return self.fold(bindings[0].node, bindings[0].scope, depth)

    def _display(self, node: ast.List | ast.Tuple, scope: Scope, depth: int) -> Any:
        return self._all(node.elts, scope, depth)

    def _dict(self, node: ast.Dict, scope: Scope, depth: int) -> Any:
        keys = self._all([k for k in node.keys if k is not None], scope, depth)
        values = self._all(node.values, scope, depth)
        if keys is NOTHING or values is NOTHING or len(keys) != len(values):
            return NOTHING
        return dict(zip(keys, values, strict=True))

    def _joined(self, node: ast.JoinedStr, scope: Scope, depth: int) -> Any:
        parts = self._all(node.values, scope, depth)
        return NOTHING if parts is NOTHING else "".join(parts)

    def _formatted(self, node: ast.FormattedValue, scope: Scope, depth: int) -> Any:
        if node.format_spec is not None or node.conversion not in (-1, 115):
            return NOTHING
        value = self.fold(node.value, scope, depth)
        return str(value) if isinstance(value, str | int | float) else NOTHING

    def _operation(self, node: ast.BinOp, scope: Scope, depth: int) -> Any:
        if isinstance(node.op, ast.Add):
            return self._sum(node, scope, depth)
        left = self.fold(node.left, scope, depth)
        right = self.fold(node.right, scope, depth)
        if left is NOTHING or right is NOTHING:
            return NOTHING
        if isinstance(node.op, ast.Mult):
            for one, other in ((left, right), (right, left)):
                if isinstance(one, str | bytes | list):
                    return one * other if len(one) * other <= MAX_SIZE else NOTHING
            return left * right
        if isinstance(node.op, ast.Mod):
            return percent(left, right)
        does = ARITHMETIC.get(node.op.__class__)
        return NOTHING if does is None else does(left, right)

    def _sum(self, node: ast.BinOp, scope: Scope, depth: int) -> Any:
        """Sums lean to the left, thousands of terms deep."""
        terms: list[ast.expr] = []
        at: ast.expr = node
        while isinstance(at, ast.BinOp) and isinstance(at.op, ast.Add):
            terms.append(at.right)
            at = at.left
        values = self._all([at, *reversed(terms)], scope, depth)
        if values is NOTHING:
            return NOTHING
        if all(isinstance(v, str) for v in values):
            return "".join(values)
        total = values[0]
        for value in values[1:]:
            total = plus(total, value)
        return total

    def _unary(self, node: ast.UnaryOp, scope: Scope, depth: int) -> Any:
        value = self.fold(node.operand, scope, depth)
        if value is NOTHING:
            return NOTHING
        if isinstance(node.op, ast.Not):
            return not value
        if isinstance(node.op, ast.USub):
            return -value
        return ~value if isinstance(node.op, ast.Invert) else +value

    def _logic(self, node: ast.BoolOp, scope: Scope, depth: int) -> Any:
        ends_at = isinstance(node.op, ast.Or)
        value: Any = NOTHING
        for operand in node.values:
            value = self.fold(operand, scope, depth)
            if value is NOTHING or bool(value) is ends_at:
                return value
        return value

    def _comparison(self, node: ast.Compare, scope: Scope, depth: int) -> Any:
        if len(node.ops) != 1:
            return NOTHING
        left = self.fold(node.left, scope, depth)
        right = self.fold(node.comparators[0], scope, depth)
        if left is NOTHING or right is NOTHING:
            return NOTHING
        return bool(COMPARE[node.ops[0].__class__](left, right))

    def _condition(self, node: ast.IfExp, scope: Scope, depth: int) -> Any:
        test = self.fold(node.test, scope, depth)
        if test is NOTHING:
            return NOTHING
        return self.fold(node.body if test else node.orelse, scope, depth)

    def _inside(self, node: ast.NamedExpr, scope: Scope, depth: int) -> Any:
        return self.fold(node.value, scope, depth)

    def _subscript(self, node: ast.Subscript, scope: Scope, depth: int) -> Any:
        value = self.fold(node.value, scope, depth)
        if value is NOTHING:
            return NOTHING
        if not isinstance(node.slice, ast.Slice):
            key = self.fold(node.slice, scope, depth)
            return NOTHING if key is NOTHING else value[key]
        ends = [node.slice.lower, node.slice.upper, node.slice.step]
        bounds = [None if e is None else self.fold(e, scope, depth) for e in ends]
        return NOTHING if NOTHING in bounds else value[slice(*bounds)]

    def _comprehension(self, node: ast.ListComp, scope: Scope, depth: int) -> Any:
        generator = node.generators[0]
        target = generator.target
        if len(node.generators) > 1 or generator.ifs or not isinstance(target, ast.Name):
            return NOTHING
        items = self.fold(generator.iter, scope, depth)
        if not isinstance(items, list | str | bytes):
            return NOTHING
        self._fuel.burn(len(items))
        values: list[Any] = []
        before = dict(self._local)
        try:
            for item in items:
                self._local[target.id] = item
                value = self.fold(node.elt, self._index.inner.get(node, scope), depth)
                if value is NOTHING:
                    return NOTHING
                values.append(value)
        finally:
            self._local = before
        return values

    def _call(self, node: ast.Call, scope: Scope, depth: int) -> Any:
        func = node.func
        if isinstance(func, ast.Attribute):
            name = func.attr
        elif isinstance(func, ast.Name):
            name = func.id
            if name in BUILTIN and self._index.lookup(scope, name) is not None:
                return NOTHING
        else:
            return NOTHING
        return self._apply(name, node, scope, depth)

    def _apply(self, name: str, node: ast.Call, scope: Scope, depth: int) -> Any:
        func = node.func
        if name == "map" and isinstance(func, ast.Name) and len(node.args) == 2:
            items = self.fold(node.args[1], scope, depth)
            of = node.args[0]
            if isinstance(of, ast.Name) and of.id in ("chr", "str", "ord", "int") and items:
                return [FUNCTIONS[of.id](item) for item in items]
            return NOTHING
        named = [k.value for k in node.keywords if k.arg] if name == "format" else []
        if len(named) != len(node.keywords):
            return NOTHING
        args = self._all(node.args, scope, depth)
        named = self._all(named, scope, depth)
        if args is NOTHING or named is NOTHING:
            return NOTHING
        if name in FUNCTIONS and (isinstance(func, ast.Name)) == (name in BUILTIN):
            return FUNCTIONS[name](*args)
        if name in ("loads", "literal_eval") and len(args) == 1 and len(args[0]) < 2000:
            return json.loads(args[0]) if name == "loads" else listed(ast.literal_eval(args[0]))
        if not isinstance(func, ast.Attribute):
            return FUNCTIONS[name](*args) if name in FUNCTIONS else NOTHING
        if name == "decode" and isinstance(func.value, ast.Name) and func.value.id == "codecs":
            return codecs.decode(*args) if args[1:] and args[1] in CODECS else NOTHING
        keys = dict(zip((k.arg for k in node.keywords), named, strict=True))
        return method(self.fold(func.value, scope, depth), name, args, keys)


_FOLDS: dict[type, Callable[[Any, Any, Scope, int], Any]] = {
    ast.Name: Folder._name,
    ast.Attribute: Folder._attribute,
    ast.List: Folder._display,
    ast.Tuple: Folder._display,
    ast.Set: Folder._display,
    ast.Dict: Folder._dict,
    ast.JoinedStr: Folder._joined,
    ast.FormattedValue: Folder._formatted,
    ast.BinOp: Folder._operation,
    ast.UnaryOp: Folder._unary,
    ast.BoolOp: Folder._logic,
    ast.Compare: Folder._comparison,
    ast.IfExp: Folder._condition,
    ast.NamedExpr: Folder._inside,
    ast.Subscript: Folder._subscript,
    ast.ListComp: Folder._comprehension,
    ast.GeneratorExp: Folder._comprehension,
    ast.Call: Folder._call,
}
