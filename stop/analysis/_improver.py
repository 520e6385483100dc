"""What the rules ask about an improver's text: where it asks the model, what its words are."""

from __future__ import annotations

import ast
import re
from bisect import bisect_left
from collections.abc import Iterator

from stop.analysis.reading import Reading

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LOOPS = (ast.For, ast.AsyncFor, ast.While)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUEL = 100_000
"""Steps that the rules may take in one program; a long one of people takes some thousands."""
_ASKING = frozenset({"prompt", "batch_prompt"})
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


class Tangled(Exception):
    """The program is built so that the rules would take for ever."""


class Improver:
    """An improver's tree with what was found in one pass over it.

    Attributes:
        reading: the tree.
        calls: every call, by the last part of the called name.
        functions: every function and method, by name.
        asks: positions of the calls that ask the model, themselves or through a function of this
            program.
        words: the words of its identifiers, with the first node that has each.
        values: what each variable is first assigned.
        texts: its string constants, lower case, with their nodes.
        loops: its loops.
    """

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.calls: dict[str, list[ast.Call]] = {}
        self.functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}
        self.words: dict[str, ast.AST] = {}
        self.values: dict[str, ast.expr] = {}
        self.texts: list[tuple[str, ast.AST]] = []
        self.loops: list[ast.For | ast.AsyncFor | ast.While] = []
        self._names: dict[str, list[int]] = {}
        self._fuel = FUEL
        for place, node in enumerate(reading.nodes):
            self._note(place, node)
        self.asks = self._asking()

    def _note(self, place: int, node: ast.AST) -> None:
        for name in identifiers(node):
            self._names.setdefault(name, []).append(place)
            for word in words(name):
                self.words.setdefault(word, node)
        if isinstance(node, ast.Call):
            self.calls.setdefault(called(node), []).append(node)
        elif isinstance(node, FUNCTIONS):
            self.functions.setdefault(node.name, node)
        elif isinstance(node, ast.Assign):
            self.values.setdefault(last_name(node.targets[0]), node.value)
        elif isinstance(node, LOOPS):
            self.loops.append(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.texts.append((node.value.lower(), node))

    def _asking(self) -> list[int]:
        """Calls of the model, then of functions that hold one, until there are no more."""
        names, known = set(_ASKING), set[str]()
        places: list[int] = []
        while names:
            known |= names
            self._spend(len(self.functions))
            new = [self.reading.at(call) for name in names for call in self.calls.get(name, ())]
            new.sort()
            places += new
            names = {
                name
                for name, function in self.functions.items()
                if name not in known and self.reading.holds(function, new)
            }
        return sorted(places)

    def within(self, node: ast.AST) -> list[ast.AST]:
        """A node and all that is in it."""
        self._spend(len(self.reading.inside(node)))
        return self.reading.within(node)

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """What a node is in, from its parent up."""
        for each in self.reading.above(node):
            self._spend(1)
            yield each

    def _spend(self, steps: int) -> None:
        self._fuel -= steps
        if self._fuel < 0:
            raise Tangled

    def called_in(self, node: ast.AST, *names: str) -> Iterator[ast.Call]:
        """Calls of functions of these names inside of `node`."""
        span = self.reading.inside(node)
        for name in names:
            calls = self.calls.get(name, ())
            self._spend(len(calls) + 1)
            for call in calls:
                if self.reading.at(call) in span:
                    yield call

    def asks_in(self, node: ast.AST) -> bool:
        """Whether the model is asked inside of `node`."""
        self._spend(1)
        return self.reading.holds(node, self.asks)

    def asking_calls(self, node: ast.AST) -> list[ast.AST]:
        span = self.reading.inside(node)
        first = bisect_left(self.asks, span.start)
        places = self.asks[first : bisect_left(self.asks, span.stop)]
        self._spend(len(places) + 1)
        return [self.reading.nodes[place] for place in places]

    def names(self, node: ast.AST, name: str) -> bool:
        """Whether `name` occurs inside of `node`."""
        self._spend(1)
        return self.reading.holds(node, self._names.get(name, []))

    def says(self, *stems: str) -> ast.AST | None:
        """The first string constant with a word that begins with one of the stems."""
        pattern = re.compile(r"\b(?:" + "|".join(stems) + ")")
        return next((node for text, node in self.texts if pattern.search(text)), None)

    def word(self, *wanted: str) -> ast.AST | None:
        """A node with one of these words in its identifier."""
        found = [self.words[word] for word in wanted if word in self.words]
        return min(found, key=self.reading.at, default=None)

    def in_loop(self, node: ast.AST) -> bool:
        return any(isinstance(each, LOOPS) for each in self.above(node))

    def function_of(self, node: ast.AST) -> ast.AST:
        """The innermost function that `node` is in, or the module."""
        found = (n for n in self.above(node) if isinstance(n, FUNCTIONS))
        return next(found, self.reading.nodes[0])


def identifiers(node: ast.AST) -> tuple[str, ...]:
    """The names that a node carries."""
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute):
        return (node.attr,)
    if isinstance(node, ast.arg):
        return (node.arg,)
    if isinstance(node, ast.keyword):
        return (node.arg,) if node.arg else ()
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return (node.name,)
    return ()


def words(name: str) -> list[str]:
    """The words of an identifier: `beamWidth` and `beam_width` have two."""
    return [word.lower() for word in _WORD.findall(name[:100])]


def called(call: ast.Call) -> str:
    """The last part of what is called: `heappop` of `heapq.heappop(...)`."""
    if isinstance(call.func, ast.Name):
        return call.func.id
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def container(call: ast.Call) -> str:
    """What a call adds to or takes from: `queue` of `queue.pop()` and of `heappop(queue)`."""
    if called(call) in ("heappush", "heappop", "heappushpop"):
        return last_name(call.args[0]) if call.args else ""
    return last_name(call.func.value) if isinstance(call.func, ast.Attribute) else ""


def last_name(node: ast.AST | None) -> str:
    """The name of a variable or attribute, "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def targets(node: ast.AST) -> list[ast.expr]:
    """What an assignment binds, tuples taken apart."""
    if isinstance(node, ast.Assign):
        given = list(node.targets)
    elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr):
        given = [node.target]
    else:
        return []
    flat: list[ast.expr] = []
    while given:
        each = given.pop()
        if isinstance(each, ast.Tuple | ast.List):
            given.extend(each.elts)
        else:
            flat.append(each)
    return flat
