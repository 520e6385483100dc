"""Full names: which function or module of Python an expression stands for, however it is reached.

`os.system`, `from os import system as s`, `e = exec`, `getattr(builtins, "ex" + "ec")`,
`__import__("os").system`, `sys.modules["os"]`, `__builtins__["exec"]`, `vars(os)["system"]`.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Sequence

from stop.audit.rules._flow.folding import Folder, Fuel
from stop.audit.rules._flow.handlers import Handlers
from stop.audit.rules._flow.index import Binding, Index, sole_value

_BUILTINS = frozenset(dir(builtins)) | {"__builtins__"}
_DEPTH = 12
_SAME = {"posix": "os", "nt": "os", "__builtin__": "builtins", "builtins.__builtins__": "builtins"}
_IMPORTS = {"builtins.__import__", "importlib.import_module", "importlib.__import__"}
_LOOK_UPS = {"get", "pop", "__getitem__", "setdefault"}
REACHING = {
    *_IMPORTS,
    *("builtins.getattr", "builtins.vars", "builtins.globals", "builtins.locals"),
    *("importlib.reload", "inspect.getattr_static"),
}
"""Calls that give something by its name."""
WAYS = {
    *("getattr", "vars", "globals", "locals", "__dict__", "__getattribute__", "getattr_static"),
    *("__import__", "import_module", "modules", "__builtins__", "attrgetter", "reload"),
}
"""A program without these words cannot name anything but in plain words."""
_handlers = Handlers[type]()
"""The full name of a node, "" where there is none."""


class Names:
    """Resolves the expressions of one program."""

    def __init__(self, index: Index, folder: Folder, fuel: Fuel) -> None:
        self._index = index
        self._folder = folder
        self._fuel = fuel
        self._depth = 0
        self._known: dict[ast.AST, str] = {}

    def full(self, node: ast.AST | None) -> str:
        """Returns the full name, "" where there is none or the text does not tell it."""
        handler = _handlers.get(node.__class__)
        if node is None or handler is None or self._depth > _DEPTH:
            return ""
        self._fuel.burn()
        known = self._known.get(node)
        if known is None:
            self._known[node] = ""  # what refers to itself
            self._depth += 1
            name = handler(self, node)
            self._depth -= 1
            root, dot, rest = name.partition(".")
            known = _SAME.get(name) or _SAME.get(root, root) + dot + rest
            self._known[node] = known
        return known

    @_handlers.of(ast.Name)
    def _name(self, node: ast.Name) -> str:
        return self._named(node.id, self._index.lookup(node))

    def _named(self, name: str, bindings: Sequence[Binding] | None) -> str:
        if bindings is None:
            return f"builtins.{name}" if name in _BUILTINS else ""
        for binding in bindings[:8]:
            if binding.kind == "import":
                return binding.text
            if binding.kind == "value" and not binding.path:
                found = self.full(binding.node)
            elif binding.kind == "parameter":
                found = self.full(self._index.functions[binding.node].defaults.get(name))
            else:
                continue
            if found:
                return found
        return ""

    @_handlers.of(ast.Attribute)
    def _attribute(self, node: ast.Attribute) -> str:
        base = self.full(node.value)
        if base:
            if node.attr == "__self__" and base.startswith("builtins."):
                return "builtins"  # print.__self__
            return f"{base}.{node.attr}"
        return self.full(sole_value(self._index.attributes.get(node.attr)))

    @_handlers.of(ast.Subscript)
    def _subscript(self, node: ast.Subscript) -> str:
        return self._entry(self.full(node.value), node.slice)

    def _entry(self, base: str, key: ast.expr) -> str:
        """What a dictionary of names holds."""
        name = self._folder.text(key) if base else None
        if name is None:
            return ""
        if base == "sys.modules":
            return name
        if base == "globals()":
            module = self._index.module
            return self._named(name, module.bindings.get(name))
        if base == "builtins":
            return f"builtins.{name}"
        return f"{base[:-9]}.{name}" if base.endswith(".__dict__") else ""

    @_handlers.of(ast.Call)
    def _call(self, node: ast.Call) -> str:
        func, args = node.func, node.args
        if isinstance(func, ast.Attribute) and args:
            if func.attr in _LOOK_UPS and (found := self._entry(self.full(func.value), args[0])):
                return found
            if func.attr == "__getattribute__":
                return self._member(func.value, args[-1])
        called = self.full(func)
        if called in ("builtins.globals", "builtins.locals"):
            return "globals()"
        if called not in REACHING or not args:
            return ""
        if called in _IMPORTS:
            return self._folder.text(args[0]) or ""
        if called == "importlib.reload":
            return self.full(args[0])
        if called == "builtins.vars":
            base = self.full(args[0])
            return f"{base}.__dict__" if base else ""
        return self._member(args[0], args[1]) if len(args) > 1 else ""

    def _member(self, of: ast.expr, name: ast.expr) -> str:
        base, member = self.full(of), self._folder.text(name)
        return f"{base}.{member}" if base and member else ""

    @_handlers.of(ast.NamedExpr, ast.IfExp, ast.BoolOp)
    def _alternatives(self, node: ast.NamedExpr | ast.IfExp | ast.BoolOp) -> str:
        if isinstance(node, ast.NamedExpr):
            return self.full(node.value)
        either = node.values[:4] if isinstance(node, ast.BoolOp) else (node.body, node.orelse)
        return next(filter(None, map(self.full, either)), "")
