"""The rule `sandbox_flag`: the flag of the utility is, or can be, something other than True."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from stop.audit.rules._flow import EACH, NOTHING, Path, Site, last_name
from stop.audit.rules._rule import Place, Rule
from stop.audit.rules._tables import TABLES, Patterns

_PATTERNS: Patterns = TABLES.flag.patterns
_FLAG = "usesandbox"
_MAX_VALUES = 60


def plain_name(name: object) -> str:
    """Returns a name in small letters without underscores; "" for what is not a text."""
    return name.lower().replace("_", "") if isinstance(name, str) else ""


def is_flag(name: object) -> bool:
    """Returns whether a name is that of the flag."""
    return plain_name(name) == _FLAG


class SandboxFlag(Rule):
    """Looks at the arguments of every call."""

    def places(self) -> Iterator[Place]:
        for site in self._flow.sites:
            given = self._clients.utility(site.callee)
            if given is not None:
                if self._positional(site, 1 - given) or self._by_name(site, telling=True):
                    yield "sandbox_flag", site.node
            elif not site.keywords and site.mapping is None:
                continue
            elif not self._own(site) and self._by_name(site, telling=False):
                yield "sandbox_flag", site.node

    def _own(self, site: Site) -> bool:
        """A function or class of the program: what it hands on is looked at where it does so."""
        callee = site.callee
        if isinstance(callee, ast.Attribute):
            return callee.attr in self._index.methods
        if not isinstance(callee, ast.Name):
            return False
        bindings = self._index.lookup(callee) or []
        return any(
            b.kind in ("function", "class") or isinstance(b.node, ast.Lambda) for b in bindings[:20]
        )

    def _positional(self, site: Site, position: int) -> bool:
        given = site.expanded(self._index)
        return 0 <= position < len(given) and self._can_be_untrue(*given[position])

    def _by_name(self, site: Site, *, telling: bool) -> bool:
        for keyword in site.keywords:
            wanted = _wanted(keyword.arg, telling)
            if wanted is not None and self._can_be_untrue(keyword.value, (), wanted):
                return True
        for mapping in site.mappings:
            for name in self._names(mapping):
                wanted = _wanted(name, telling)
                if wanted is not None and self._can_be_untrue(mapping, (name,), wanted):
                    return True
        return False

    def _names(self, mapping: ast.expr) -> set[str]:
        """Telling names that a `**` dictionary may hold."""
        keys = {"use_sandbox"}
        for leaf in self._trace(mapping, (EACH,)):
            if (name := self._text(leaf.node)) is not None:
                keys.add(name)
        for leaf in self._trace(mapping):
            if isinstance(leaf.node, ast.Call):
                keys |= {k.arg for k in leaf.node.keywords if k.arg}
        return keys

    def _can_be_untrue(self, node: ast.expr, path: Path, wanted: bool = True) -> bool:
        values = self._values(node, path)
        if wanted:
            return any(value is not True for value in values)
        return any(value is not NOTHING and bool(value) for value in values)

    def _values(self, node: ast.expr, path: Path, depth: int = 0) -> Iterator[Any]:
        """Constants that may arrive; `NOTHING` for a truth that the program works out."""
        if not path and not isinstance(node, ast.Attribute | ast.Subscript):
            value = self._fold(node)
            if value is not NOTHING:
                yield value
                return
        for leaf in self._trace(node, path)[:_MAX_VALUES]:
            at = leaf.node
            value = self._fold(at)
            if value is not NOTHING:
                if leaf.only is None or bool(value) is leaf.only:
                    yield value
            elif _worked_out(at) and leaf.only is not True:
                yield NOTHING
            elif isinstance(at, ast.Call) and last_name(at.func) == "bool" and depth < 3:
                for argument in at.args:
                    inner = self._values(argument, (), depth + 1)
                    yield from (v if v is NOTHING else bool(v) for v in inner)


def _wanted(name: str | None, telling: bool) -> bool | None:
    """What the flag of this name should be; None for other names."""
    plain = plain_name(name)
    if plain == _FLAG:
        return True
    if telling and _PATTERNS.unsafe.fullmatch(plain):
        return False
    return True if telling and _PATTERNS.safe.fullmatch(plain) else None


def _worked_out(node: ast.expr) -> bool:
    """A comparison or `not ...`; a test of the flag itself passes it through."""
    negated = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    if not negated and not isinstance(node, ast.Compare):
        return False
    operands = [node.left, *node.comparators] if isinstance(node, ast.Compare) else [node]
    parts = [p.operand if isinstance(p, ast.UnaryOp) else p for p in operands]
    return not any("sandbox" in last_name(part).lower() for part in parts)
