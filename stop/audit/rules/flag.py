"""The rule `sandbox_flag`: the flag of the utility is, or can be, something other than True."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from stop.audit.rules.clients import Clients
from stop.audit.rules.flow import Flow
from stop.audit.rules.scopes import EACH, Path, Scope
from stop.audit.rules.sites import Site, last_name
from stop.audit.rules.values import NOTHING

_FLAG = "usesandbox"
_SAFE = re.compile(r"(in|with|is|run|enable|run_?in)?(sandbox|sandboxed|sandboxing|isolat\w*)|safe")
_UNSAFE = re.compile(r"\w*(no|disable|skip|without|bypass|un|off)sandbox\w*|unsafe\w*|trusted")
_MAX_VALUES = 60


class SandboxFlag:
    """Looks at every call of one program."""

    def __init__(self, flow: Flow, clients: Clients) -> None:
        self._flow = flow
        self._clients = clients

    def places(self) -> Iterator[ast.Call]:
        """The calls that show it."""
        for site in self._flow.sites:
            given = self._clients.utility(site.callee, site.scope)
            if given is not None:
                if self._positional(site, 1 - given) or self._by_name(site, telling=True):
                    yield site.node
            elif not site.keywords and site.mapping is None:
                continue
            elif not self._own(site) and self._by_name(site, telling=False):
                yield site.node

    def _own(self, site: Site) -> bool:
        """A function or class of the program: what it hands on is looked at where it does so."""
        callee = site.callee
        if isinstance(callee, ast.Attribute):
            return callee.attr in self._flow.index.methods
        if not isinstance(callee, ast.Name):
            return False
        bindings = self._flow.index.lookup(site.scope, callee.id) or []
        return any(
            b.kind in ("function", "class") or isinstance(b.node, ast.Lambda) for b in bindings[:20]
        )

    def _positional(self, site: Site, position: int) -> bool:
        given = self._flow.expanded(site)
        if not 0 < position + 1 <= len(given):
            return False
        node, path, scope = given[position]
        return self._can_be_untrue(node, scope, path)

    def _by_name(self, site: Site, *, telling: bool) -> bool:
        for keyword in site.keywords:
            if keyword.arg is not None and self._named(keyword.arg, telling) is not None:
                wanted = self._named(keyword.arg, telling)
                if self._can_be_untrue(keyword.value, site.scope, (), wanted is True):
                    return True
        for mapping in self._flow.mappings(site):
            for name in self._keys(mapping, site.scope):
                wanted = self._named(name, telling)
                if wanted is not None and self._can_be_untrue(mapping, site.scope, (name,), wanted):
                    return True
        return False

    @staticmethod
    def _named(name: str, telling: bool) -> bool | None:
        """What the flag of this name should be; None for other names."""
        plain = name.lower().replace("_", "")
        if plain == _FLAG:
            return True
        if telling and _UNSAFE.fullmatch(plain):
            return False
        return True if telling and _SAFE.fullmatch(plain) else None

    def _keys(self, mapping: ast.expr, scope: Scope) -> set[str]:
        """Telling names that a `**` dictionary may hold."""
        keys = {"use_sandbox"}
        for leaf in self._flow.trace(mapping, scope, (EACH,)):
            keys |= {v for v in (self._flow.folder.fold(leaf.node, leaf.scope),) if _is_text(v)}
        for leaf in self._flow.trace(mapping, scope):
            if isinstance(leaf.node, ast.Call):
                keys |= {k.arg for k in leaf.node.keywords if k.arg}
        return keys

    def _can_be_untrue(self, node: ast.expr, scope: Scope, path: Path, wanted: bool = True) -> bool:
        values = self._values(node, scope, path)
        if wanted:
            return any(value is not True for value in values)
        return any(value is not NOTHING and bool(value) for value in values)

    def _values(self, node: ast.expr, scope: Scope, path: Path, depth: int = 0) -> Iterator[Any]:
        """Constants that may arrive; `NOTHING` for a truth that the program works out."""
        if not path and not isinstance(node, ast.Attribute | ast.Subscript):
            value = self._flow.folder.fold(node, scope)
            if value is not NOTHING:
                yield value
                return
        for leaf in self._flow.trace(node, scope, path)[:_MAX_VALUES]:
            at = leaf.node
            value = self._flow.folder.fold(at, leaf.scope)
            if value is not NOTHING:
                if leaf.only is None or bool(value) is leaf.only:
                    yield value
            elif _worked_out(at) and leaf.only is not True:
                yield NOTHING
            elif isinstance(at, ast.Call) and last_name(at.func) == "bool" and depth < 3:
                for argument in at.args:
                    inner = self._values(argument, leaf.scope, (), depth + 1)
                    yield from (v if v is NOTHING else bool(v) for v in inner)


def _worked_out(node: ast.expr) -> bool:
    """A comparison or `not ...`; a test of the flag itself passes it through."""
    negated = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    if not negated and not isinstance(node, ast.Compare):
        return False
    operands = [node.left, *node.comparators] if isinstance(node, ast.Compare) else [node]
    parts = [p.operand if isinstance(p, ast.UnaryOp) else p for p in operands]
    names = [p.id if isinstance(p, ast.Name) else getattr(p, "attr", "") for p in parts]
    return not any("sandbox" in str(name).lower() for name in names)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
