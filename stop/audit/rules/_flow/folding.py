"""Constant folding: the values of expressions of literals and of names that are bound once.

Nothing of the program is executed: each operation that is understood is carried out here on plain
values, with limits on their size, on depth and on the work for one program.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from stop.audit.rules._flow.handlers import Handlers
from stop.audit.rules._flow.index import Index, sole_value
from stop.audit.rules._flow.values import (
    BUILTINS,
    FUNCTIONS,
    MAX_SIZE,
    NOTHING,
    ODD,
    OPERATIONS,
    method,
    plus,
    recoded,
)

MAX_DEPTH = 24
"""Of expressions within expressions, names followed included; long sums count once."""
MAX_STEPS = 100_000
"""Of one program, of following names and folding; under a second."""
_BIG = 1 << 64
_SIZED = (str, bytes, list, dict)
_handlers = Handlers[type]()
"""What the value of a node is; what is in `ODD` may be raised where there is none."""


class OutOfFuel(Exception):
    """A program is so tangled that looking at it takes too long."""


class Fuel:
    """The work that one program may cause."""

    __slots__ = ("left",)

    def __init__(self, left: int = MAX_STEPS) -> None:
        self.left = left

    def burn(self, steps: int = 1) -> None:
        """Takes steps from what is left.

        Raises:
            OutOfFuel: nothing is left.
        """
        self.left -= steps
        if self.left < 0:
            raise OutOfFuel


class _Unknown(ValueError):
    """An operand has no known value."""


class Folder:
    """Folds expressions of one program."""

    def __init__(self, index: Index, fuel: Fuel) -> None:
        self._index = index
        self._fuel = fuel
        self._depth = 0
        self._known: dict[ast.AST, Any] = {}
        self._local: dict[str, Any] = {}  # names of the comprehension that is being folded

    def fold(self, node: ast.AST | None) -> Any:
        """Returns the value of a node (tuples as lists), or `NOTHING`."""
        cls = node.__class__
        if cls is ast.Constant:
            return node.value  # type: ignore[union-attr]
        handler = _handlers.get(cls)
        if node is None or handler is None or self._depth > MAX_DEPTH:
            return NOTHING
        self._fuel.burn()
        if node in self._known and not self._local:
            return self._known[node]
        self._known[node] = NOTHING  # what refers to itself
        self._depth += 1
        try:
            value = handler(self, node)
        except ODD:
            value = NOTHING
        self._depth -= 1
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

    def text(self, node: ast.AST | None) -> str | None:
        """Returns the folded string, or None."""
        value = self.fold(node)
        return value if isinstance(value, str) else None

    def _value(self, node: ast.AST) -> Any:
        value = self.fold(node)
        if value is NOTHING:
            raise _Unknown
        return value

    def _values(self, nodes: Iterable[ast.AST]) -> list[Any]:
        return [self._value(node) for node in nodes]

    @_handlers.of(ast.Name)
    def _name(self, node: ast.Name) -> Any:
        if node.id in self._local:
            return self._local[node.id]
        bindings = self._index.lookup(node)
        if not bindings or bindings[0].kind != "value" or len(bindings) > 50:
            return NOTHING
        total = self.fold(bindings[0].node)
        if total is NOTHING:
            return NOTHING
        for step in bindings[0].path:
            total = total[step] if isinstance(step, int) else NOTHING
        for binding in bindings[1:]:
            part = self.fold(binding.node)
            if binding.kind != "added" or not isinstance(total, str) or not isinstance(part, str):
                return NOTHING
            total = plus(total, part)
        return total

    @_handlers.of(ast.Attribute)
    def _attribute(self, node: ast.Attribute) -> Any:
        return self.fold(sole_value(self._index.attributes.get(node.attr)))

    @_handlers.of(ast.List, ast.Tuple, ast.Set)
    def _display(self, node: ast.List | ast.Tuple | ast.Set) -> Any:
        return self._values(node.elts)

    @_handlers.of(ast.Dict)
    def _dict(self, node: ast.Dict) -> Any:
        keys = self._values([k for k in node.keys if k is not None])
        return dict(zip(keys, self._values(node.values), strict=True))

    @_handlers.of(ast.JoinedStr)
    def _joined(self, node: ast.JoinedStr) -> Any:
        return "".join(self._values(node.values))

    @_handlers.of(ast.FormattedValue)
    def _formatted(self, node: ast.FormattedValue) -> Any:
        if node.format_spec is not None or node.conversion not in (-1, 115):
            return NOTHING
        value = self.fold(node.value)
        return str(value) if isinstance(value, (str, int, float)) else NOTHING

    @_handlers.of(ast.BinOp)
    def _operation(self, node: ast.BinOp) -> Any:
        """Sums lean to the left, thousands of terms deep."""
        if not isinstance(node.op, ast.Add):
            left, right = self._value(node.left), self._value(node.right)
            return OPERATIONS[node.op.__class__](left, right)
        terms: list[ast.expr] = []
        at: ast.expr = node
        while isinstance(at, ast.BinOp) and isinstance(at.op, ast.Add):
            terms.append(at.right)
            at = at.left
        total, *values = self._values([at, *reversed(terms)])
        if isinstance(total, str) and all(isinstance(v, str) for v in values):
            return "".join([total, *values])
        for value in values:
            total = plus(total, value)
        return total

    @_handlers.of(ast.UnaryOp)
    def _unary(self, node: ast.UnaryOp) -> Any:
        return OPERATIONS[node.op.__class__](self._value(node.operand))

    @_handlers.of(ast.BoolOp)
    def _logic(self, node: ast.BoolOp) -> Any:
        ends_at = isinstance(node.op, ast.Or)
        value: Any = NOTHING
        for operand in node.values:
            value = self._value(operand)
            if bool(value) is ends_at:
                break
        return value

    @_handlers.of(ast.Compare)
    def _comparison(self, node: ast.Compare) -> Any:
        if len(node.ops) != 1:
            return NOTHING
        left, right = self._value(node.left), self._value(node.comparators[0])
        return bool(OPERATIONS[node.ops[0].__class__](left, right))

    @_handlers.of(ast.IfExp)
    def _condition(self, node: ast.IfExp) -> Any:
        return self.fold(node.body if self._value(node.test) else node.orelse)

    @_handlers.of(ast.NamedExpr)
    def _inside(self, node: ast.NamedExpr) -> Any:
        return self.fold(node.value)

    @_handlers.of(ast.Subscript)
    def _subscript(self, node: ast.Subscript) -> Any:
        value = self._value(node.value)
        if not isinstance(node.slice, ast.Slice):
            return value[self._value(node.slice)]
        ends = (node.slice.lower, node.slice.upper, node.slice.step)
        return value[slice(*(None if end is None else self._value(end) for end in ends))]

    @_handlers.of(ast.ListComp, ast.GeneratorExp)
    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp) -> Any:
        generator = node.generators[0]
        target = generator.target
        if len(node.generators) > 1 or generator.ifs or not isinstance(target, ast.Name):
            return NOTHING
        items = self.fold(generator.iter)
        if not isinstance(items, list | str | bytes):
            return NOTHING
        self._fuel.burn(len(items))
        values: list[Any] = []
        before = dict(self._local)
        try:
            for item in items:
                self._local[target.id] = item
                values.append(self._value(node.elt))
        finally:
            self._local = before
        return values

    @_handlers.of(ast.Call)
    def _call(self, node: ast.Call) -> Any:
        func = node.func
        if isinstance(func, ast.Name):
            name = func.id
            if name in BUILTINS and self._index.lookup(func) is not None:
                return NOTHING
            if name == "map" and len(node.args) == 2:
                return self._mapped(*node.args)
        elif isinstance(func, ast.Attribute):
            name = func.attr
        else:
            return NOTHING
        if node.keywords and (name != "format" or not all(k.arg for k in node.keywords)):
            return NOTHING
        args = self._values(node.args)
        keys = {keyword.arg: self._value(keyword.value) for keyword in node.keywords}
        if isinstance(func, ast.Name) and name in BUILTINS:
            return BUILTINS[name](*args)
        if name in FUNCTIONS:
            return FUNCTIONS[name](*args)
        if isinstance(func, ast.Name):
            return NOTHING
        if name == "decode" and isinstance(func.value, ast.Name) and func.value.id == "codecs":
            return recoded(*args)
        return method(self.fold(func.value), name, args, keys)

    def _mapped(self, function: ast.expr, items: ast.expr) -> Any:
        values = self._value(items)
        if isinstance(function, ast.Name) and function.id in ("chr", "str", "ord", "int"):
            return [BUILTINS[function.id](value) for value in values]
        return NOTHING
