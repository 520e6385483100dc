"""The rules about what a program reaches for: code from text, the system, the interpreter."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from stop.audit.rules._clients import CLIENT_NAMES
from stop.audit.rules._flow import NOTHING, REACHING, Handlers, last_name
from stop.audit.rules._rule import Place, Rule
from stop.audit.rules._tables import TABLES, Patterns, Words, by_name

_ATTRIBUTES: Words = TABLES.attributes
_ARGUMENTS: Words = TABLES.arguments
_PATTERNS: Patterns = TABLES.arguments.patterns
_MENTIONED = {"__code__"}.union(*vars(_ATTRIBUTES).values())
_MODULES, _IMPORTS, _NAMES = map(by_name, (TABLES.modules, TABLES.imports, TABLES.names))
_checks = Handlers[str]()
"""Calls, by full name, that need a look at their arguments."""
GUEST: frozenset[str] = TABLES.imports.client
"""Modules of the guest but for its helpers."""


class Reach(Rule):
    """Looks at names, imports and calls."""

    def places(self) -> Iterator[Place]:
        for statement, module in self._index.imports:
            if rule := self._imported(module):
                yield rule, statement
        for node in self._mentions():
            if rule := self._mentioned(node):
                yield rule, node
        for call in self._index.calls:
            full = self._full(call.func)
            if rule := _rule_of(full) or self._called(call, full):
                yield rule, call
        if "modules" in self._index.words:
            for node in self._index.wholes:
                if self._full(node) == "sys.modules":
                    yield "introspection", node

    def _imported(self, module: str) -> str:
        rule = _NAMES.get(module, "")
        if rule in ("system_module", "client"):
            return rule
        rule = _IMPORTS.get(module.partition(".")[0], "")
        if rule == "client" and not self._clients.improver:
            return ""
        return rule or _rule_of_module(module)

    def _mentions(self) -> Iterator[Any]:
        """Subscripts that are read, and the names and attributes of the tables."""
        nodes = self._index.nodes
        yield from (node for node in nodes[ast.Subscript] if isinstance(node.ctx, ast.Load))
        if not self._index.words.isdisjoint(_MENTIONED):
            named = (*self._index.homes, *nodes[ast.Attribute])
            yield from (node for node in named if last_name(node) in _MENTIONED)

    def _mentioned(self, node: ast.expr) -> str:
        if isinstance(node, ast.Attribute):
            rule = self._attribute(node)
            if rule or node.attr not in _ATTRIBUTES.named:
                return rule
        full = self._full(node)
        by_import = isinstance(node, ast.Subscript) and _IMPORTS.get(full.partition(".")[0])
        return by_import or _rule_of(full)

    def _attribute(self, node: ast.Attribute) -> str:
        name, of = node.attr, node.value
        if name in _ATTRIBUTES.runners:
            return "dynamic_code"
        shown = name in _ATTRIBUTES.frames
        if name in _ATTRIBUTES.innards:
            shown = self._clients.improver or _is_special(of)
        elif name == "__code__":
            shown = _is_special(of) or last_name(of) in CLIENT_NAMES
        elif name in _ATTRIBUTES.bases:  # ().__class__.__base__: the way to all classes
            base = of.value if isinstance(of, ast.Attribute) and of.attr == "__class__" else None
            shown = isinstance(base, ast.Constant | ast.Tuple | ast.List | ast.Dict | ast.Set)
        return "introspection" if shown else ""

    def _called(self, call: ast.Call, full: str) -> str:
        if full in REACHING:
            return self._reached(call, full)
        name, func = last_name(call.func), call.func
        if name == "__getattribute__":
            shown = self._is_inner(call.args[-1:])
        elif name == "format" and isinstance(func, ast.Attribute):
            text = func.value.value if isinstance(func.value, ast.Constant) else None
            shown = isinstance(text, str) and _PATTERNS.inner_format.search(text) is not None
        elif "modules" in self._index.words and self._all_modules(call):
            shown = True
        else:
            check = _checks.get(full)
            return check(self, call) if check is not None else ""
        return "introspection" if shown else ""

    def _all_modules(self, call: ast.Call) -> bool:
        """`sys.modules.items()`, `list(sys.modules)`."""
        func = call.func
        if isinstance(func, ast.Attribute) and func.attr in ("items", "values", "keys", "copy"):
            return self._full(func.value) == "sys.modules"
        if last_name(func) not in _ARGUMENTS.copies:
            return False
        return any(self._full(a) == "sys.modules" for a in call.args[:1])

    def _reached(self, call: ast.Call, by: str) -> str:
        if rule := _rule_of(self._full(call)):
            return rule
        if not by.endswith(("getattr", "getattr_static")) or len(call.args) < 2:
            return ""
        if self._text(call.args[1]) in _ATTRIBUTES.runners:
            return "dynamic_code"
        return "introspection" if self._is_inner(call.args[1:2]) else ""

    def _is_inner(self, names: list[ast.expr]) -> bool:
        """Names, or dotted paths of names, of the innards of functions and frames."""
        wanted = _ATTRIBUTES.frames
        if self._clients.improver:
            wanted |= _ATTRIBUTES.innards
        texts = (self._text(name) or "" for name in names[:10])
        return any(not wanted.isdisjoint(text.split(".", 20)) for text in texts)

    @_checks.of(*_ARGUMENTS.attribute_paths)
    def _attribute_paths(self, call: ast.Call) -> str:
        return "introspection" if self._is_inner(call.args) else ""

    @_checks.of(*_ARGUMENTS.pickles)
    def _pickles(self, call: ast.Call) -> str:
        """Anything but what the program has pickled itself, which copies it."""
        leaves = self._trace(call.args[0])[:20] if call.args else []
        made = (self._full(leaf.node.func) for leaf in leaves if isinstance(leaf.node, ast.Call))
        return "" if any(name.endswith("pickle.dumps") for name in made) else "dynamic_code"

    @_checks.of(*_ARGUMENTS.arrays)
    def _arrays(self, call: ast.Call) -> str:
        given = (k.value for k in call.keywords if k.arg == "allow_pickle")
        return "dynamic_code" if any(self._fold(v) is True for v in given) else ""

    @_checks.of(*_ARGUMENTS.timers)
    def _timers(self, call: ast.Call) -> str:
        """Code as text; functions are called as anywhere."""
        given = [*call.args[:2], *(k.value for k in call.keywords if k.arg in ("stmt", "setup"))]
        for node in given:
            if isinstance(node, ast.JoinedStr | ast.BinOp) or self._text(node):
                return "dynamic_code"
        return ""

    @_checks.of(*_ARGUMENTS.signals)
    def _signals(self, call: ast.Call) -> str:
        """To ignore a signal that ends programs is to refuse to end."""
        if len(call.args) < 2:
            return ""
        number, handler = (self._full(a) for a in call.args[:2])
        fatal = number.rpartition(".")[2] in _ARGUMENTS.fatal_signals
        return "system_module" if fatal and handler == "signal.SIG_IGN" else ""

    @_checks.of(*_ARGUMENTS.limits)
    def _limits(self, call: ast.Call) -> str:
        name = self._full(call.args[0]) if call.args else ""
        return "" if name in _ARGUMENTS.free_limits else "system_module"

    @_checks.of(*_ARGUMENTS.sources)
    def _sources(self, call: ast.Call) -> str:
        """The source or the members of a client."""
        at = call.args[0] if call.args else None
        for _ in range(8):
            if at is not None and self._clients.has(at):
                return "introspection"
            if not isinstance(at, ast.Attribute):
                break
            at = at.value
        return ""

    @_checks.of(*_ARGUMENTS.descriptors)
    def _descriptors(self, call: ast.Call) -> str:
        """A descriptor that the program was not given: 0, 1 and 2 are its own."""
        if not call.args:
            return ""
        first = call.args[0]
        values = [self._fold(first)]
        if isinstance(first, ast.Name) and values == [NOTHING]:  # for fd in range(3, 20)
            bindings = self._index.lookup(first) or []
            ranges = [b.node for b in bindings[:5] if isinstance(b.node, ast.Call)]
            ends = [a for r in ranges if last_name(r.func) == "range" for a in r.args]
            values = [self._fold(e) for e in ends]
        return "introspection" if any(type(v) is int and v > 2 for v in values) else ""


def _rule_of(full: str) -> str:
    """The rule about a full name, "" if there is none."""
    return (_NAMES.get(full) or _rule_of_module(full)) if full else ""


def _rule_of_module(full: str) -> str:
    first, _, rest = full.partition(".")
    return _MODULES.get(first) or _MODULES.get(f"{first}.{rest.partition('.')[0]}", "")


def _is_special(node: ast.expr) -> bool:
    """`x.__init__`, `x.__call__`: the way to a module's globals through one of its objects."""
    name = last_name(node)
    return name.startswith("__") and name.endswith("__") and isinstance(node, ast.Attribute)
