"""Full names: which function or module of Python an expression stands for, however it is reached.

`os.system`, `from os import system as s`, `e = exec`, `getattr(builtins, "ex" + "ec")`,
`__import__("os").system`, `sys.modules["os"]`, `__builtins__["exec"]`, `vars(os)["system"]`.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from typing import Any

from stop.audit.rules.folding import Folder, Fuel
from stop.audit.rules.scopes import Index, Scope

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


class Names:
    """Resolves the expressions of one program."""

    def __init__(self, index: Index, folder: Folder, fuel: Fuel) -> None:
        self._index = index
        self._folder = folder
        self._fuel = fuel
        self._known: dict[ast.AST, str] = {}

    def full(self, node: ast.AST | None, scope: Scope, depth: int = 0) -> str:
        """The full name, "" where there is none or nobody can tell."""
        cls = node.__class__
        if node is None or cls not in _READERS or depth > _DEPTH:
            return ""
        self._fuel.burn()
        known = self._known.get(node)
        if known is None:
            self._known[node] = ""  # what refers to itself
            name = _READERS[cls](self, node, scope, depth + 1)
            root, dot, rest = name.partition(".")
            known = _SAME.get(name) or _SAME.get(root, root) + dot + rest
            self._known[node] = known
        return known

    def _name(self, node: ast.Name, scope: Scope, depth: int) -> str:
        return self._named(node.id, scope, depth)

    def _named(self, name: str, scope: Scope, depth: int) -> str:
        bindings = self._index.lookup(scope, name)
        if bindings is None:
            return f"builtins.{name}" if name in _BUILTINS else ""
        for binding in bindings[:8]:
            if binding.kind == "import":
                return binding.text
            if binding.kind == "value" and not binding.path:
                found = self.full(binding.node, binding.scope, depth)
            elif binding.kind == "parameter":
                default = self._index.functions[binding.node].defaults.get(name)
                found = self.full(default, binding.scope, depth)
            else:
                continue
            if found:
                return found
        return ""

    def _attribute(self, node: ast.Attribute, scope: Scope, depth: int) -> str:
        base = self.full(node.value, scope, depth)
        if base:
            if node.attr == "__self__" and base.startswith("builtins."):
                return "builtins"  # print.__self__
            return f"{base}.{node.attr}"
        bindings = self._index.attributes.get(node.attr, [])
        if len(bindings) == 1 and bindings[0].kind == "value" and not bindings[0].path:
            return self.full(bindings[0].node, bindings[0].scope, depth)
        return ""

    def _subscript(self, node: ast.Subscript, scope: Scope, depth: int) -> str:
        base = self.full(node.value, scope, depth)
        return self._entry(base, node.slice, scope, depth) if base else ""

    def _entry(self, base: str, key: ast.expr, scope: Scope, depth: int) -> str:
        """What a dictionary of names holds."""
        name = self._folder.text(key, scope)
        if name is None:
            return ""
        if base == "sys.modules":
            return name
        if base == "globals()":
            return self._named(name, self._index.module, depth)
        if base == "builtins":
            return f"builtins.{name}"
        if base.endswith(".__dict__"):
            return f"{base[:-9]}.{name}"
        return ""

    def _call(self, node: ast.Call, scope: Scope, depth: int) -> str:
        func = node.func
        if isinstance(func, ast.Attribute) and func.attr in _LOOK_UPS and node.args:
            base = self.full(func.value, scope, depth)
            found = self._entry(base, node.args[0], scope, depth) if base else ""
            if found:
                return found
        if isinstance(func, ast.Attribute) and func.attr == "__getattribute__" and node.args:
            return self._member(func.value, node.args[-1], scope, depth)
        called = self.full(func, scope, depth)
        if called in ("builtins.globals", "builtins.locals"):
            return "globals()"
        if called not in REACHING or not node.args:
            return ""
        first = node.args[0]
        if called in _IMPORTS:
            return self._folder.text(first, scope) or ""
        if called == "importlib.reload":
            return self.full(first, scope, depth)
        if called == "builtins.vars":
            base = self.full(first, scope, depth)
            return f"{base}.__dict__" if base else ""
        return self._member(first, node.args[1], scope, depth) if len(node.args) > 1 else ""

    def _member(self, of: ast.expr, name: ast.expr, scope: Scope, depth: int) -> str:
        base, member = self.full(of, scope, depth), self._folder.text(name, scope)
        return f"{base}.{member}" if base and member else ""

    def _inside(self, node: ast.NamedExpr, scope: Scope, depth: int) -> str:
        return self.full(node.value, scope, depth)

    def _condition(self, node: ast.IfExp, scope: Scope, depth: int) -> str:
        return self.full(node.body, scope, depth) or self.full(node.orelse, scope, depth)

    def _logic(self, node: ast.BoolOp, scope: Scope, depth: int) -> str:
        return next((n for v in node.values[:4] if (n := self.full(v, scope, depth))), "")


_READERS: dict[type, Callable[[Any, Any, Scope, int], str]] = {
    ast.Name: Names._name,
    ast.Attribute: Names._attribute,
    ast.Subscript: Names._subscript,
    ast.Call: Names._call,
    ast.NamedExpr: Names._inside,
    ast.IfExp: Names._condition,
    ast.BoolOp: Names._logic,
}
