"""What the rules have in common: a program, its clients, and the places that they find."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from stop.audit.rules._clients import Clients
from stop.audit.rules._flow import Program

Place = tuple[str, ast.AST]
"""The name of a rule and the node that shows it."""


class Rule:
    """Looks at one program for one sort of intent."""

    def __init__(self, program: Program, clients: Clients) -> None:
        self._clients = clients
        self._index = program.index
        self._flow = program.flow
        self._fold, self._text, self._full = program.fold, program.text, program.full
        self._trace, self._can_be = program.trace, program.can_be

    def places(self) -> Iterator[Place]:
        """Yields what the program shows, in any order, perhaps more than once."""
        raise NotImplementedError

    def _keys(self, *nodes: ast.expr) -> set[str]:
        """The texts that are given, or that are keys of what is given."""
        found: set[str | None] = set()
        for node in nodes:
            value = self._fold(node)
            if isinstance(value, str):
                found.add(value)
            elif isinstance(value, list):
                found |= {p[0] for p in value if isinstance(p, list) and p and type(p[0]) is str}
            elif isinstance(value, dict):
                found |= {k for k in value if isinstance(k, str)}
            elif isinstance(node, ast.Dict):
                found |= {self._text(k) for k in node.keys if k is not None}
            elif isinstance(node, ast.Call):
                found |= {k.arg for k in node.keywords}
        return {key for key in found if key is not None}
