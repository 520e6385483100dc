"""Facts about an improver's text that the rules of `_strategy_rules` share."""

from __future__ import annotations

import ast
from bisect import bisect_left
from collections.abc import Iterator

from stop.analysis.reading import Reading

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUEL = 100_000
"""Steps that the rules may take in one program; a long one written by people takes thousands."""
_ASKING = frozenset({"prompt", "batch_prompt"})


class Tangled(Exception):
    """Reading the program would take more than `FUEL` steps."""


class Improver(Reading):
    """An improver's syntax tree with what one pass over it finds.

    Attributes:
        calls: every call, by the last part of the called name.
        functions: every function and method, by name.
        assigned: the values that each variable or attribute is assigned, with their statements.
        asks: sorted positions of the calls that ask the model, directly or through a function of
            the program.
    """

    def __init__(self, tree: ast.Module) -> None:
        super().__init__(tree)
        self.calls: dict[str, list[ast.Call]] = {}
        self.functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}
        self.assigned: dict[str, list[tuple[ast.expr, ast.stmt]]] = {}
        self._names: dict[str, list[int]] = {}
        self._fuel = FUEL
        for place, node in enumerate(self.nodes):
            self._note(place, node)
        self.asks = self._asking()

    def _note(self, place: int, node: ast.AST) -> None:
        if name := last_name(node):
            self._names.setdefault(name, []).append(place)
        if isinstance(node, ast.Call):
            self.calls.setdefault(called(node), []).append(node)
        elif isinstance(node, FUNCTIONS):
            self.functions.setdefault(node.name, node)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if name := last_name(target):
                    self.assigned.setdefault(name, []).append((node.value, node))

    def _asking(self) -> list[int]:
        """Calls of the model, then of functions that hold one, until there are no more."""
        names, known = set(_ASKING), set[str]()
        places: list[int] = []
        while names:
            known |= names
            self.spend(len(self.functions))
            new = [self.at(call) for name in names for call in self.calls.get(name, ())]
            new.sort()
            places += new
            names = {
                name
                for name, function in self.functions.items()
                if name not in known and self.holds(function, new)
            }
        return sorted(places)

    def spend(self, steps: int) -> None:
        """Counts steps; raises `Tangled` when there have been too many."""
        self._fuel -= steps
        if self._fuel < 0:
            raise Tangled

    def within(self, node: ast.AST) -> list[ast.AST]:
        """A node and all nodes inside it, which count as steps."""
        self.spend(len(self.inside(node)))
        return super().within(node)

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes that hold a node, from its parent up, which count as steps."""
        for each in super().above(node):
            self.spend(1)
            yield each

    def called_in(self, node: ast.AST, *names: str) -> Iterator[ast.Call]:
        """Calls of functions of these names inside `node`."""
        span = self.inside(node)
        for name in names:
            calls = self.calls.get(name, ())
            self.spend(len(calls) + 1)
            yield from (call for call in calls if self.at(call) in span)

    def asking_calls(self, node: ast.AST) -> list[ast.AST]:
        """Calls inside `node` that ask the model."""
        span = self.inside(node)
        first = bisect_left(self.asks, span.start)
        places = self.asks[first : bisect_left(self.asks, span.stop)]
        self.spend(len(places) + 1)
        return [self.nodes[place] for place in places]

    def names(self, node: ast.AST, name: str) -> bool:
        """Whether a variable or attribute of this name occurs inside `node`."""
        self.spend(1)
        return self.holds(node, self._names.get(name, []))


def called(call: ast.Call) -> str:
    """The last part of the called name: `heappop` of `heapq.heappop(...)`."""
    return last_name(call.func)


def last_name(node: ast.AST | None) -> str:
    """The name of a variable, parameter or attribute, "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.arg):
        return node.arg
    return node.attr if isinstance(node, ast.Attribute) else ""
