"""A program's syntax tree in preorder, where the nodes inside a node are a range of positions.

Programs are hostile text of up to 256 KB: nothing here recurses, and of a longer tree only the
first `MAX_NODES` nodes are kept.
"""

from __future__ import annotations

import ast
import warnings
from bisect import bisect_left
from collections.abc import Iterator
from typing import TypeVar

from stop.audit.rules import parsed

MAX_NODES = 20_000
"""Programs of people and models have some hundreds of nodes, rarely a few thousand."""


class Reading:
    """A flat tree without the nodes beyond `MAX_NODES`.

    Attributes:
        nodes: in preorder, without contexts (`ast.Load` and the like).
        ends: for each, the position after the last node inside it.
        parents: for each, the position of its parent; -1 for the module.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.nodes: list[ast.AST] = []
        self.parents: list[int] = []
        self._at: dict[int, int] = {}
        pending: list[tuple[ast.AST, int]] = [(tree, -1)]
        while pending and len(self.nodes) < MAX_NODES:
            node, parent = pending.pop()
            here = len(self.nodes)
            self._at[id(node)] = here
            self.nodes.append(node)
            self.parents.append(parent)
            below = [n for n in ast.iter_child_nodes(node) if not isinstance(n, ast.expr_context)]
            pending.extend((n, here) for n in reversed(below))
        self.ends = [i + 1 for i in range(len(self.nodes))]
        for i in range(len(self.nodes) - 1, 0, -1):
            parent = self.parents[i]
            self.ends[parent] = max(self.ends[parent], self.ends[i])

    def at(self, node: ast.AST) -> int:
        """Returns the position of a node; past the last one for a node that was not kept."""
        return self._at.get(id(node), len(self.nodes))

    def inside(self, node: ast.AST) -> range:
        """Returns the positions of a node and of all nodes inside it."""
        here = self.at(node)
        return range(here, self.ends[here] if here < len(self.nodes) else here)

    def within(self, node: ast.AST) -> list[ast.AST]:
        """Returns a node and all nodes inside it."""
        places = self.inside(node)
        return self.nodes[places.start : places.stop]

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yields the nodes that hold a node, from its parent up."""
        place = self.parents[self.at(node)]
        while place >= 0:
            yield self.nodes[place]
            place = self.parents[place]

    def holds(self, node: ast.AST, places: list[int]) -> bool:
        """Whether one of the sorted `places` is inside `node`."""
        span = self.inside(node)
        i = bisect_left(places, span.start)
        return i < len(places) and places[i] < span.stop

    def line(self, node: ast.AST) -> int:
        """Returns the line of a node, or of the innermost node around it that has one."""
        for each in (node, *self.above(node)):
            if (line := getattr(each, "lineno", None)) is not None:
                return int(line)
        return 1


AnyReading = TypeVar("AnyReading", bound=Reading)


def read(source: str, how: type[AnyReading]) -> AnyReading | None:
    """Returns a program's tree; None for text that is not Python or is nested too deeply.

    Args:
        source: Python source text.
        how: the class of what is returned.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a candidate's "\d" is its own affair
        try:
            tree = parsed(source)
            return None if tree is None else how(tree)
        except (RecursionError, MemoryError):
            return None
