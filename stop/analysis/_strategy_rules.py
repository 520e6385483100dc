"""The rules: one function for each strategy: the node of an improver that shows it, or None."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from stop.analysis._improver import COMPREHENSIONS, FUNCTIONS, Improver, called, last_name

_WRAPPERS = frozenset({"list", "tuple", "set", "reversed"})
_SORTERS = frozenset({"sorted", "argsort"})
_BEST = frozenset({"nlargest", "nsmallest"})
_REPEATED = (ast.For, ast.AsyncFor, *COMPREHENSIONS)


# --- several of the best programs


class Several:
    """Where an improver holds several of its best programs: a slice of a sorted list.

    Attributes:
        names: the variables that hold them, each with the statement that first says so.
    """

    def __init__(self, improver: Improver) -> None:
        self._improver = improver
        self.names: dict[str, ast.AST] = {}
        self._sorted = {last_name(call.func.value) for call in improver.calls.get("sort", ())
                        if isinstance(call.func, ast.Attribute)} - {""}  # fmt: skip
        for _ in range(2):  # a second time for what is made of what was found
            for name, values in improver.assigned.items():
                for value, statement in values:
                    if self._is_sorted(value):
                        self._sorted.add(name)
                    if self.is_several(value):
                        self.names.setdefault(name, statement)

    def is_several(self, node: ast.expr) -> bool:
        """Whether an expression is several of the best, or something of each of them."""
        node = _source(node)
        if isinstance(node, ast.Call) and called(node) in _BEST:
            return bool(node.args) and not _is_one(node.args[0])
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
            bounds = [each for each in (node.slice.lower, node.slice.upper) if each is not None]
            return bool(bounds) and not any(map(_is_one, bounds)) and self._is_sorted(node.value)
        return last_name(node) in self.names

    def _is_sorted(self, node: ast.expr) -> bool:
        node = _source(node)
        while isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
            node = _source(node.value)  # [::-1]
        if isinstance(node, ast.Call):
            return called(node) in _SORTERS
        return last_name(node) in self._sorted

    def gone_over(self, node: ast.AST) -> ast.AST | None:
        """Where those stand that a loop or comprehension takes one by one; None if it does not.

        Either it iterates over them, or it takes them by a counter: `kept[k % len(kept)]`.
        """
        if isinstance(node, ast.For | ast.AsyncFor):
            iterated, counters = [node.iter], [node.target]
        elif isinstance(node, COMPREHENSIONS):
            iterated = [each.iter for each in node.generators]
            counters = [each.target for each in node.generators]
        else:
            return None
        for each in iterated:
            if self.is_several(each):
                return self.names.get(last_name(each), each)
        for name, statement in self.names.items():
            if any(self._holds(each, name) for each in iterated):
                return statement
            if self._improver.names(node, name) and self._by_counter(node, name, counters):
                return statement
        return None

    def _holds(self, iterated: ast.expr, name: str) -> bool:
        """`enumerate(kept)`, `zip(kept, hints)`, `kept * 2`; not `range(len(kept))`."""
        counts = isinstance(iterated, ast.Call) and called(iterated) == "range"
        return not counts and self._improver.names(iterated, name)

    def _by_counter(self, node: ast.AST, name: str, targets: list[ast.expr]) -> bool:
        improver = self._improver
        inside = improver.inside(node)
        if any(improver.at(each) in inside for _, each in improver.assigned.get(name, ())):
            return False  # other programs in each step: one of each step is no beam
        counters = {last_name(n) for each in targets for n in improver.within(each)} - {""}
        return any(
            isinstance(each, ast.Subscript)
            and last_name(each.value) == name
            and not isinstance(each.slice, ast.Slice)
            and any(improver.names(each.slice, counter) for counter in counters)
            for each in improver.within(node)
        )


def _source(node: ast.expr) -> ast.expr:
    """What a list is made of: `a` of `list(a)`, `a or b`, `a if c else b`, `[f(x) for x in a]`."""
    while True:
        if isinstance(node, ast.BoolOp):
            node = node.values[0]
        elif isinstance(node, ast.IfExp):
            node = node.body
        elif isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp):
            node = node.generators[0].iter
        elif isinstance(node, ast.Call) and called(node) in _WRAPPERS and node.args:
            node = node.args[0]
        else:
            return node


def _is_one(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    return isinstance(node, ast.Constant) and node.value == 1


# --- beam


def beam(improver: Improver) -> ast.AST | None:
    """Several of the best programs are kept, and the model is asked about each of them."""
    several = Several(improver)
    messages = set(_message_lists(improver))
    for node in improver.nodes:
        if isinstance(node, _REPEATED):
            found = several.gone_over(node)
            if found is None:
                continue
            if improver.asking_calls(node) or _makes_messages(improver, node, messages):
                return found
    return None


def _message_lists(improver: Improver) -> Iterator[str]:
    """Lists that the model is asked about one by one: `batch_prompt(expertise, messages)`."""
    for call in improver.asking_calls(improver.nodes[0]):
        if isinstance(call, ast.Call):
            for argument in (*call.args, *(keyword.value for keyword in call.keywords)):
                given = _source(argument)
                yield last_name(given.value if isinstance(given, ast.Subscript) else given)


def _makes_messages(improver: Improver, node: ast.AST, messages: set[str]) -> bool:
    """Whether a loop fills a list of messages, or a comprehension is one."""
    if not isinstance(node, COMPREHENSIONS):
        return bool(messages & _filled_by(improver, node))
    for above in improver.above(node):
        if isinstance(above, ast.JoinedStr) or _is_join(above):
            return False  # all of them in one message
        if isinstance(above, ast.Call) and above in improver.asking_calls(above)[:1]:
            return True
        if isinstance(above, ast.stmt):
            is_value = isinstance(above, ast.Assign) and above.value is node
            return is_value and bool(messages & _assigned_to(improver, node))
    return False


def _is_join(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and called(node) == "join"


def _filled_by(improver: Improver, loop: ast.AST) -> set[str]:
    """The lists that a loop adds to."""
    filled = {
        last_name(call.func.value)
        for call in improver.called_in(loop, "append", "extend")
        if isinstance(call.func, ast.Attribute)
    }
    for each in improver.within(loop):
        if isinstance(each, ast.AugAssign) and isinstance(each.value, (ast.List, *COMPREHENSIONS)):
            filled.add(last_name(each.target))
    return filled - {""}


def _assigned_to(improver: Improver, node: ast.AST) -> set[str]:
    """The variables of the assignment that a node is part of."""
    statement = next((each for each in improver.above(node) if isinstance(each, ast.stmt)), None)
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return {last_name(target) for target in targets} - {""}


# --- best-shot


def best_shot(improver: Improver) -> ast.AST | None:
    """One message to the model shows several of the best programs."""
    several = Several(improver)
    joins = [c for c in improver.calls.get("join", ()) if c.args and several.is_several(c.args[0])]
    carriers = {name for join in joins for name in _assigned_to(improver, join)}
    while True:  # what is made of a text that shows them shows them too
        more = {
            name
            for name, values in improver.assigned.items()
            if name not in carriers
            and any(improver.names(value, carrier) for value, _ in values for carrier in carriers)
        }
        if not more:
            break
        carriers |= more
    for call in improver.asking_calls(improver.nodes[0]):
        span = improver.inside(call)
        if any(improver.at(join) in span for join in joins):
            return call
        if any(improver.names(call, carrier) for carrier in carriers):
            return call
    return None


# --- caching


def caching(improver: Improver) -> ast.AST | None:
    """What was computed of a program is kept by that program, and looked up before."""
    asked = set(_asked_by_key(improver))
    for node in improver.nodes:
        if last_name(node) == "lru_cache":
            return node
        if isinstance(node, FUNCTIONS):
            for decorator in node.decorator_list:
                if last_name(decorator) == "cache":
                    return decorator
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if (
                    isinstance(target, ast.Subscript)
                    and last_name(target.value) in asked
                    and _is_computed_of(improver, node.value, target.slice)
                ):
                    return node
    return None


def _asked_by_key(improver: Improver) -> Iterator[str]:
    """Containers that are asked whether they hold something: `key in known`, `known.get(key)`."""
    for node in improver.nodes:
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            yield last_name(node.comparators[0])
        elif isinstance(node, ast.Call) and called(node) == "get" and len(node.args) == 1:
            yield last_name(node.func.value) if isinstance(node.func, ast.Attribute) else ""


def _is_computed_of(improver: Improver, value: ast.expr, key: ast.expr) -> bool:
    """Whether a value is the result of a call whose arguments name what the key is made of."""
    keys = {last_name(n) for part in _origins(improver, key) for n in improver.within(part)} - {""}
    for part in _origins(improver, value):
        for call in improver.within(part):
            if isinstance(call, ast.Call) and any(
                improver.names(argument, name) for argument in call.args for name in keys
            ):
                return True
    return False


def _origins(improver: Improver, node: ast.expr) -> list[ast.expr]:
    """An expression and, of a variable, the values that it is assigned."""
    if isinstance(node, ast.Name):
        return [node, *(value for value, _ in improver.assigned.get(node.id, ()))]
    return [node]
