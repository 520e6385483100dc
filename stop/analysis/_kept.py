"""Where an improver keeps the k best, k more than one, and what it asks the model about them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from stop.analysis._improver import (
    COMPREHENSIONS,
    FUNCTIONS,
    Improver,
    called,
    container,
    last_name,
    targets,
)

WRAPPERS = frozenset({"list", "tuple", "dict", "set"})
PUSHES = frozenset({"append", "extend", "put", "heappush", "appendleft", "add", "insert"})
_SORTERS = frozenset({"sorted", "argsort", "argpartition"})
_BEST = frozenset({"nlargest", "nsmallest"})
_COMBINE = re.compile(
    r"\b(?:(?:re)?combin(?!ator)|hybrid|crossover|crossbre|cross (?:over|the|these|them|both|two)\b"
    r"|merg(?!e[ -]?sort)|fus(?:e|ing)\b|blend|best parts|best of both|strengths of)"
)


# --- the k best


class Kept:
    """Where the k best of a list are taken.

    Attributes:
        names: variables that hold the k best somewhere in the program.
        sorted: variables that hold a sorted list.
    """

    def __init__(self, improver: Improver) -> None:
        self._improver = improver
        nodes = improver.reading.nodes
        self.names: set[str] = set()
        self.sorted = {last_name(c.func.value) for c in improver.calls.get("sort", ())
                       if isinstance(c.func, ast.Attribute)} - {""}  # fmt: skip
        self._cutting: set[str] = set()
        self._assigns = [
            (n, n.value) for n in nodes if isinstance(n, ast.Assign | ast.AnnAssign) and n.value
        ]
        for _ in range(2):  # what is made of what was found
            for node, value in self._assigns:
                bound = {last_name(t) for t in targets(node)} - {""}
                if self._is_sorted(value):
                    self.sorted |= bound
                if self.is_cut(value) or self._picks_cut(value):
                    self.names |= bound
            for name, function in improver.functions.items():
                returns = (n for n in improver.within(function) if isinstance(n, ast.Return))
                if any(n.value is not None and self.is_cut(n.value) for n in returns):
                    self._cutting.add(name)

    def assigned_in(self, place: ast.AST) -> Iterator[tuple[str, ast.AST]]:
        """Variables that get the k best inside of a loop or a function."""
        inside = self._improver.reading.inside(place)
        for node, value in self._assigns:
            if self._improver.reading.at(node) not in inside:
                continue
            if self.is_cut(value) or self._picks_cut(value):
                yield from ((last_name(t), node) for t in targets(node) if last_name(t))
        for each in self._improver.within(place):
            if isinstance(each, ast.Delete):
                yield from ((name, each) for name in map(self._shortened, each.targets) if name)

    def is_cut(self, node: ast.expr) -> bool:
        """Whether an expression takes the k best."""
        node = _first_choice(node)
        while isinstance(node, ast.Call) and called(node) in WRAPPERS and node.args:
            node = node.args[0]
        if isinstance(node, ast.Call):
            if called(node) in _BEST:
                return bool(node.args) and not _is_one(node.args[0])
            return called(node) in self._cutting
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
            bounds = [each for each in (node.slice.lower, node.slice.upper) if each is not None]
            if bounds and not any(_is_one(each) for each in bounds):
                return self._is_sorted(node.value)
        return False

    def _shortened(self, target: ast.expr) -> str:
        """The sorted list that `del kept[3:]` shortens."""
        if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Slice):
            name = last_name(target.value)
            return name if name in self.sorted else ""
        return ""

    def _is_sorted(self, node: ast.expr) -> bool:
        node = _first_choice(node)
        while True:
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
                node = node.value  # [::-1]
            elif isinstance(node, ast.ListComp):
                node = node.generators[0].iter  # [program for program, score in ranked]
            elif isinstance(node, ast.Call) and called(node) in WRAPPERS | {"reversed"}:
                if not node.args:
                    return False
                node = node.args[0]
            else:
                break
        if isinstance(node, ast.Call):
            return called(node) in _SORTERS
        return last_name(node) in self.sorted if last_name(node) else False

    def _picks_cut(self, node: ast.expr) -> bool:
        """`[programs[i] for i in top]`, where `top` are the k best."""
        if not isinstance(node, ast.ListComp | ast.DictComp | ast.SetComp):
            return False
        over = node.generators[0].iter
        return self.is_cut(over) or (bool(last_name(over)) and last_name(over) in self.names)


def _first_choice(node: ast.expr) -> ast.expr:
    """`ranked[:3]` of `ranked[:3] or [start]` and of `ranked[:3] if ranked else [start]`."""
    while isinstance(node, ast.BoolOp | ast.IfExp):
        node = node.values[0] if isinstance(node, ast.BoolOp) else node.body
    return node


def _is_one(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    return isinstance(node, ast.Constant) and node.value == 1


# --- asking about each of them


def asked_about_each(improver: Improver, place: ast.AST, name: str, after: int = -1) -> bool:
    """Whether, inside of a place, the model is asked about each element of a variable."""
    asking = improver.asking_calls(place)
    for node in improver.within(place):
        if improver.reading.at(node) <= after or not _goes_over(improver, place, node, name):
            continue
        if improver.asks_in(node):
            return True
        if any(improver.names(call, made) for made in _makes(improver, node) for call in asking):
            return True
        if not isinstance(node, COMPREHENSIONS) or _is_joined(improver, node):
            continue
        if any(improver.reading.at(node) in improver.reading.inside(call) for call in asking):
            return True
    return False


def _goes_over(improver: Improver, place: ast.AST, node: ast.AST, name: str) -> bool:
    """`for program in kept`, or `kept[k % len(kept)]` while k runs."""
    running: list[ast.AST] = []
    if isinstance(node, ast.For | ast.AsyncFor):
        if improver.names(node.iter, name):
            return True
        running = [node.target]
    elif isinstance(node, COMPREHENSIONS):
        if any(improver.names(g.iter, name) for g in node.generators):
            return True
        running = [g.target for g in node.generators]
    elif isinstance(node, ast.While):
        running = [n.target for n in improver.within(node) if isinstance(n, ast.AugAssign)]
    if node is place or not running or not improver.names(node, name):
        return False
    bound = (last_name(t) for each in improver.within(node) for t in targets(each))
    if name in bound:
        return False  # one element for each step is no beam
    counters = {last_name(n) for each in running for n in improver.within(each)} - {""}
    return any(
        isinstance(each, ast.Subscript)
        and last_name(each.value) == name
        and not isinstance(each.slice, ast.Slice)
        and any(improver.names(each.slice, counter) for counter in counters)
        for each in improver.within(node)
    )


def _makes(improver: Improver, node: ast.AST) -> set[str]:
    """Variables that a loop fills, or that a comprehension is assigned to."""
    if isinstance(node, COMPREHENSIONS):
        return set() if _is_joined(improver, node) else {_assigned_to(improver, node)} - {""}
    made = {container(call) for call in improver.called_in(node, *PUSHES)}
    for each in improver.within(node):
        if isinstance(each, ast.AugAssign) and isinstance(each.value, (ast.List, *COMPREHENSIONS)):
            made.add(last_name(each.target))
    return made - {""}


def _is_joined(improver: Improver, node: ast.AST) -> bool:
    """Whether all elements become one text: the model is asked once, not about each."""
    above = next(improver.above(node), None)
    return isinstance(above, ast.Call) and called(above) == "join"


def _assigned_to(improver: Improver, node: ast.AST) -> str:
    for above in improver.above(node):
        if isinstance(above, ast.Assign):
            return last_name(above.targets[0])
        if isinstance(above, ast.stmt):
            break
    return ""


# --- asking about several at once


def several_combined(improver: Improver) -> ast.AST | None:
    """A message shows several of the best programs and says that they are to be combined."""
    saying = [node for text, node in improver.texts if _COMBINE.search(text)]
    if not saying or not improver.asks:
        return None
    several = _Several(improver)
    templates = {_assigned_to(improver, node) for node in saying} - {""}
    saying += [n for n in improver.reading.nodes if isinstance(n, ast.Name) and n.id in templates]
    for node in saying:
        message = _whole(improver, node)
        if several.shown_in(message) or several.given_to(improver.function_of(node), message):
            return message
    return None


def _whole(improver: Improver, node: ast.AST) -> ast.AST:
    """The outermost expression that a text is part of."""
    for above in improver.above(node):
        if not isinstance(above, ast.expr | ast.keyword):
            break
        node = above
    return node


class _Several:
    """Where several of the best programs stand together."""

    def __init__(self, improver: Improver) -> None:
        self._improver = improver
        self._kept = Kept(improver)
        self._texts: set[str] = set()
        self._pairs: list[tuple[str, ...]] = []
        for node in improver.reading.nodes:
            if isinstance(node, ast.Assign):
                if self._is_list(node.value) or self._two_places(node.value):
                    self._pairs += map(_unpacked, node.targets)
            elif isinstance(node, ast.For | ast.comprehension) and any(
                improver.called_in(node.iter, "combinations", "permutations")
            ):
                self._pairs.append(_unpacked(node.target))
        for call in improver.calls.get("join", ()):
            if call.args and self._is_list(call.args[0]):
                self._texts.add(_assigned_to(improver, call))
        self._texts.discard("")
        self._get_lists = {
            name
            for name in improver.functions
            for call in improver.calls.get(name, ())
            for a in call.args
            if self._is_list(a.value if isinstance(a, ast.Starred) else a)
        }
        self._pairs = [pair for pair in self._pairs if len(pair) > 1]

    def shown_in(self, message: ast.AST) -> bool:
        """Whether a message has several of the best programs in it."""
        if any(self._improver.names(message, name) for name in self._texts):
            return True
        for call in self._improver.called_in(message, "join"):
            if call.args and self._is_list(call.args[0]):
                return True
        for pair in self._pairs:
            if sum(self._improver.names(message, name) for name in pair) > 1:
                return True
        return self._two_places(message)

    def given_to(self, function: ast.AST, message: ast.AST) -> bool:
        """Whether the function that writes a message is called with several of the best."""
        if not isinstance(function, FUNCTIONS):
            return False
        parameters = [each.arg for each in function.args.args]
        shown = sum(self._improver.names(message, name) for name in parameters)
        if shown and function.name in self._get_lists:
            return True
        calls = self._improver.calls.get(function.name, ()) if shown > 1 else ()
        return any(self.shown_in(call) for call in calls)

    def _is_list(self, node: ast.expr) -> bool:
        """The k best, under a name or not, or something of each of them."""
        while isinstance(node, COMPREHENSIONS) and not isinstance(node, ast.DictComp):
            node = node.generators[0].iter
        return self._kept.is_cut(node) or last_name(node) in self._kept.names

    def _two_places(self, node: ast.AST) -> bool:
        """`ranked[0]` and `ranked[1]`."""
        places: dict[str, set[int]] = {}
        for each in self._improver.within(node):
            if isinstance(each, ast.Subscript) and isinstance(each.slice, ast.Constant):
                name, place = last_name(each.value), each.slice.value
                if name in self._kept.sorted | self._kept.names and isinstance(place, int):
                    places.setdefault(name, set()).add(place)
        return any(len(found) > 1 for found in places.values())


def _unpacked(target: ast.expr) -> tuple[str, ...]:
    """The names in `a, b`; of `(score, a), (other, b)` the last of each."""
    if not isinstance(target, ast.Tuple | ast.List):
        return ()
    last = (e.elts[-1] if isinstance(e, ast.Tuple) and e.elts else e for e in target.elts)
    return tuple(name for name in map(last_name, last) if name)
