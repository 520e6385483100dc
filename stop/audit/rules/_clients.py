"""Which expressions are the host's clients: `utility` and `language_model`, under any name."""

from __future__ import annotations

import ast

from stop.audit.rules._flow import Program, called, last_name
from stop.audit.rules._tables import TABLES, Words

_SETS: Words = TABLES.clients
_UTILITY: frozenset[str] = TABLES.clients.utility
_MODEL: frozenset[str] = TABLES.clients.model
CLIENT_NAMES = _UTILITY | _MODEL
_ENTRY = "improve_algorithm"
_DEPTH = 6
_PARTS = {*CLIENT_NAMES, "__call__", "__class__"}
_FIXED = {"import", "function", "class", "other"}


class Clients:
    """Recognises them in one program.

    Attributes:
        improver: the program is an improver, to whom they are given.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._index = program.index
        self.improver = _ENTRY in program.index.bound
        self._known: dict[tuple[ast.AST, bool], int | None] = {}

    def utility(self, node: ast.expr) -> int | None:
        """Returns how many arguments `node` has been given if it is the utility, else None.

        0 for the utility, 1 for `partial(utility, solution)`, -1 for `type(utility).__call__`.
        """
        return self._is(node, True, 0)

    def has(self, node: ast.expr) -> bool:
        """Returns whether `node` is one of the clients, or the class of one."""
        if not isinstance(node, ast.Name | ast.Call | ast.Attribute):
            return False
        return self._any(node, 0) or self.class_of_one(node)

    def class_of_one(self, node: ast.expr, depth: int = 0) -> bool:
        """Returns whether `node` is `type(utility)`, `utility.__class__`, or a name for it."""
        if not isinstance(node, ast.Name | ast.Call | ast.Attribute) or depth > _DEPTH:
            return False
        if self._leads_nowhere(node):
            return False
        for leaf in self._program.trace(node):
            at = leaf.node
            if isinstance(at, ast.Call) and last_name(at.func) == "type" and len(at.args) == 1:
                of = at.args[0]
            elif isinstance(at, ast.Attribute) and at.attr == "__class__":
                of = at.value
            else:
                continue
            if self._any(of, depth + 1):
                return True
        return False

    def _any(self, node: ast.expr, depth: int) -> bool:
        found = self._is(node, True, depth)
        return found is not None or self._is(node, False, depth) is not None

    def _is(self, node: ast.expr, utility: bool, depth: int) -> int | None:
        if depth > _DEPTH or isinstance(node, ast.Constant):
            return None
        if isinstance(node, ast.Name) and self._index.lookup(node) is None:
            return 0 if node.id in (_UTILITY if utility else _MODEL) else None
        if self._leads_nowhere(node):
            return None
        key = (node, utility)
        if key not in self._known:
            self._known[key] = None
            for leaf in self._program.trace(node):
                found = self._leaf(leaf.node, utility, depth + 1)
                if found is not None:
                    self._known[key] = found
                    break
        return self._known[key]

    def _leads_nowhere(self, node: ast.expr) -> bool:
        """`x.append`, that the program never sets; the name of a function or of an import."""
        if isinstance(node, ast.Name):
            if node.id in CLIENT_NAMES:
                return False
            bindings = self._index.lookup(node) or ()
            return all(binding.kind in _FIXED for binding in bindings[:40])
        if not isinstance(node, ast.Attribute) or node.attr in _PARTS:
            return False
        return not self._program.flow.is_set(node.attr)

    def _leaf(self, node: ast.expr, utility: bool, depth: int) -> int | None:
        names = _UTILITY if utility else _MODEL
        if isinstance(node, ast.Name):
            return 0 if self._named(node, names) else None
        if isinstance(node, ast.Attribute):
            if node.attr in names and self.improver and node.attr not in self._index.methods:
                return 0
            if node.attr == "__call__" and utility:
                if self.class_of_one(node.value, depth):
                    return -1
                return self._is(node.value, utility, depth)
        elif isinstance(node, ast.Subscript):  # globals()["utility"]
            known = self._program.text(node.slice) in names
            return 0 if known and self._program.full(node.value) == "globals()" else None
        elif isinstance(node, ast.Call) and node.args and utility:
            name = called(self._index, node.func)
            if name == "partial":
                before = self._is(node.args[0], utility, depth)
                return None if before is None else before + len(node.args) - 1
            makers = {name, last_name(getattr(node.func, "func", node))}
            if not makers.isdisjoint(_SETS.wrappers):
                return self._is(node.args[0], utility, depth)
        return None

    def _named(self, node: ast.Name, names: frozenset[str]) -> bool:
        bindings = self._index.lookup(node)
        name = node.id
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
                elif (
                    name in names and self.improver and not self._program.flow.calls_of(function)[0]
                ):
                    return True
            elif binding.kind == "import" and name in names and self.improver:
                return True
        return False
