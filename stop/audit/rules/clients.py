"""Which expressions are the host's clients: `utility` and `language_model`, under any name."""

from __future__ import annotations

import ast

from stop.audit.rules.flow import Flow
from stop.audit.rules.scopes import Scope
from stop.audit.rules.sites import called, last_name

_UTILITY = {"utility", "utility_fn", "utility_function", "meta_utility"}
_MODEL = {"language_model", "lm", "llm"}
_WRAPPERS = {"lru_cache", "cache", "memoize", "wraps", "staticmethod"}
CLIENT_NAMES = _UTILITY | _MODEL
_ENTRY = "improve_algorithm"
_DEPTH = 6
_PARTS = {*CLIENT_NAMES, "__call__", "__class__"}
_FIXED = {"import", "function", "class", "other"}
NAMED = (ast.Name, ast.Call, ast.Attribute)
"""Expressions that can be a client."""


class Clients:
    """Recognises them in one program."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._index = flow.index
        self.improver = _ENTRY in flow.index.bound
        self._known: dict[tuple[ast.AST, bool], int | None] = {}

    def utility(self, node: ast.expr, scope: Scope, depth: int = 0) -> int | None:
        """How many arguments `node` has been given already if it is the utility, else None.

        0 for the utility, 1 for `partial(utility, solution)`, -1 for `type(utility).__call__`.
        """
        return self._is(node, scope, True, depth)

    def model(self, node: ast.expr, scope: Scope, depth: int = 0) -> bool:
        """Whether `node` is the language model."""
        return self._is(node, scope, False, depth) is not None

    def any(self, node: ast.expr, scope: Scope, depth: int = 0) -> bool:
        """Whether `node` is one of the two."""
        return self.utility(node, scope, depth) is not None or self.model(node, scope, depth)

    def class_of_one(self, node: ast.expr, scope: Scope, depth: int = 0) -> bool:
        """`type(utility)`, `utility.__class__`, or a name for it."""
        if not isinstance(node, NAMED) or depth > _DEPTH:
            return False
        if self._leads_nowhere(node, scope):
            return False
        for leaf in self._flow.trace(node, scope):
            at = leaf.node
            if isinstance(at, ast.Call) and last_name(at.func) == "type" and len(at.args) == 1:
                if self.any(at.args[0], leaf.scope, depth + 1):
                    return True
            elif not isinstance(at, ast.Attribute) or at.attr != "__class__":
                continue
            elif self.any(at.value, leaf.scope, depth + 1):
                return True
        return False

    def _is(self, node: ast.expr, scope: Scope, utility: bool, depth: int) -> int | None:
        if depth > _DEPTH or isinstance(node, ast.Constant):
            return None
        if isinstance(node, ast.Name) and self._index.lookup(scope, node.id) is None:
            return 0 if node.id in (_UTILITY if utility else _MODEL) else None
        if self._leads_nowhere(node, scope):
            return None
        key = (node, utility)
        if key not in self._known:
            self._known[key] = None
            for leaf in self._flow.trace(node, scope):
                found = self._leaf(leaf.node, leaf.scope, utility, depth + 1)
                if found is not None:
                    self._known[key] = found
                    break
        return self._known[key]

    def _leads_nowhere(self, node: ast.expr, scope: Scope) -> bool:
        """`x.append`, that the program never sets; the name of a function or of an import."""
        if isinstance(node, ast.Name):
            if node.id in CLIENT_NAMES:
                return False
            bindings = self._index.lookup(scope, node.id) or ()
            return all(binding.kind in _FIXED for binding in bindings[:40])
        if not isinstance(node, ast.Attribute) or node.attr in _PARTS:
            return False
        return not self._flow.is_set(node.attr)

    def _leaf(self, node: ast.expr, scope: Scope, utility: bool, depth: int) -> int | None:
        names = _UTILITY if utility else _MODEL
        if isinstance(node, ast.Name):
            return 0 if self._named(node.id, scope, names) else None
        if isinstance(node, ast.Attribute):
            if node.attr in names and self.improver and node.attr not in self._index.methods:
                return 0
            if node.attr == "__call__" and utility:
                if self.class_of_one(node.value, scope, depth):
                    return -1
                return self._is(node.value, scope, utility, depth)
            return None
        if isinstance(node, ast.Subscript):  # globals()["utility"]
            name = self._flow.folder.fold(node.slice, scope)
            known = isinstance(name, str) and name in names
            return 0 if known and self._flow.names.full(node.value, scope) == "globals()" else None
        if isinstance(node, ast.Call) and node.args and utility:
            name = called(self._index, node.func, scope)
            if name == "partial":
                before = self._is(node.args[0], scope, utility, depth)
                return None if before is None else before + len(node.args) - 1
            if name in _WRAPPERS or last_name(getattr(node.func, "func", node)) in _WRAPPERS:
                return self._is(node.args[0], scope, utility, depth)
        return None

    def _named(self, name: str, scope: Scope, names: set[str]) -> bool:
        bindings = self._index.lookup(scope, name)
        if bindings is None:  # a piece of an improver
            return name in names
        for binding in bindings[:10]:
            if binding.kind == "parameter":
                function = self._index.functions[binding.node]
                if function.name == _ENTRY:
                    at = 1 if names is _UTILITY else 2
                    by_name = names & function.positions.keys()
                    if name in names or (not by_name and function.positions.get(name) == at):
                        return True
                elif name in names and self.improver and not self._flow.calls_of(function)[0]:
                    return True
            elif binding.kind == "import" and name in names and self.improver:
                return True
        return False
