"""The rules: one function for each strategy: the node of an improver that shows it, or None."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from stop.analysis._improver import (
    COMPREHENSIONS,
    FUNCTIONS,
    LOOPS,
    Improver,
    called,
    container,
    last_name,
    targets,
    words,
)
from stop.analysis._kept import PUSHES, WRAPPERS, Kept, asked_about_each, several_combined

INSTEAD = (("genetic", "beam"), ("tree_search", "bandit"))
"""Pairs that look alike to the rules: where the first is found, the second is not said."""

_DRAWS = frozenset({"random", "uniform", "rand"})
_PICKS = frozenset({"choice", "choices", "sample", "randrange", "randint"})
_HEAT = frozenset({"temperature", "temp", "heat", "t"})
_COOLING = frozenset({"cool", "cooling", "decay", "anneal", "annealing", "alpha", "rate", "factor"})
_PART = frozenset({
    "part", "parts", "component", "components", "aspect", "aspects", "section", "sections",
    "piece", "pieces", "chunk", "chunks", "module", "modules", "block", "blocks", "function",
    "functions", "subproblem", "subproblems", "subtask", "subtasks", "step", "steps", "stage",
    "segment", "segments",
})  # fmt: skip
_VOTE = frozenset({"vote", "votes", "ballot", "ballots", "tally", "majority", "consensus"})
_POPS = frozenset({"pop", "popleft", "heappop", "get", "heappushpop"})


# --- beam


def beam(improver: Improver) -> ast.AST | None:
    """A variable gets the k best of a step, and the next asks about each of that variable's."""
    kept = Kept(improver)
    for loop in improver.loops:
        if not improver.asks_in(loop):
            continue
        for name, node in kept.assigned_in(loop):
            if asked_about_each(improver, loop, name):
                return node
    return _beam_without_loop(improver, kept)


def _beam_without_loop(improver: Improver, kept: Kept) -> ast.AST | None:
    """Two steps, one written after the other: what was asked first is cut, then asked about."""
    for name, node in kept.assigned_in(improver.reading.nodes[0]):
        function, here = improver.function_of(node), improver.reading.at(node)
        asking = improver.asking_calls(function)
        own = [call for call in asking if improver.function_of(call) is function]
        if not own or improver.reading.at(own[0]) > here:
            continue
        if asked_about_each(improver, function, name, after=here):
            return node
    return None


# --- genetic


def genetic(improver: Improver) -> ast.AST | None:
    """A population and an operator on it, or several of the best combined in one."""
    return _population(improver) or several_combined(improver)


def _population(improver: Improver) -> ast.AST | None:
    """A population, and an operator on it: crossing, mutating, breeding."""
    if not improver.loops:
        return None
    population = improver.word(
        "population", "individual", "individuals", "genome", "genomes", "chromosome", "offspring",
        "generation", "generations", "fitness", "species", "elite", "elites", "gene", "genes",
    )  # fmt: skip
    crossing = improver.word(
        "crossover", "crossovers", "mutate", "mutated", "mutation", "mutations", "recombine",
        "breed", "mutant", "mutants", "crossed",
    )  # fmt: skip
    crossing = crossing or improver.says("crossover", "cross over", "mutat", "recombin", "breed")
    if population is not None and crossing is not None:
        return population
    combining = improver.says("combin(?!ator)", "merg", "hybrid", "best parts of")
    parents = improver.word("parent", "parents", "mother", "father", "survivors")
    if population is not None and parents is not None:
        drawn = any(improver.in_loop(c) for name in _PICKS for c in improver.calls.get(name, ()))
        if combining is not None or drawn:
            return population
    drawn_pair = _random_pair(improver)
    return drawn_pair if combining is not None else None


def _random_pair(improver: Improver) -> ast.AST | None:
    """Two things drawn at random at once, in a loop: `a, b = random.sample(kept, 2)`."""
    for name in ("sample", "choices", "choice"):
        for call in improver.calls.get(name, ()):
            numbers = [*call.args, *(k.value for k in call.keywords)]
            two = any(isinstance(n, ast.Constant) and n.value == 2 for n in numbers)
            if two and improver.in_loop(call):
                return call
    return None


# --- annealing


def annealing(improver: Improver) -> ast.AST | None:
    """A worse program is taken with a chance exp(change / temperature), or the model cools."""
    return _metropolis(improver) or _cooling_model(improver)


def _metropolis(improver: Improver) -> ast.AST | None:
    """A random number is compared with an exponential."""
    exponential: set[str] = set()
    for node in improver.reading.nodes:
        if isinstance(node, ast.Assign) and any(improver.called_in(node.value, "exp")):
            exponential.update(last_name(target) for target in targets(node))
    for name, function in improver.functions.items():
        returned = (n for n in improver.within(function) if isinstance(n, ast.Return))
        if any(any(improver.called_in(n, "exp")) for n in returned):
            exponential.add(name)
    exponential.discard("")
    for node in improver.reading.nodes:
        if isinstance(node, ast.Compare) and any(improver.called_in(node, *_DRAWS)):
            if any(improver.called_in(node, "exp")):
                return node
            if any(improver.names(node, name) for name in exponential):
                return node
    return None


def _cooling_model(improver: Improver) -> ast.AST | None:
    """A temperature that falls from step to step is handed to the model."""
    for loop in improver.loops:
        asking = improver.asking_calls(loop)
        for name, node in _falling(improver, loop):
            if any(improver.names(call, name) for call in asking):
                return node
    return None


def _falling(
    improver: Improver, loop: ast.For | ast.AsyncFor | ast.While
) -> Iterator[tuple[str, ast.AST]]:
    """Temperatures that get smaller while the loop goes on."""
    steps: set[str] = set()
    if isinstance(loop, ast.For | ast.AsyncFor):
        names = [last_name(n) for n in improver.within(loop.target) if isinstance(n, ast.Name)]
        steps.update(names)
        if _falls(improver, loop.iter):
            yield from ((name, loop) for name in names if _is_heat(name))
    for node in improver.within(loop):
        for target in targets(node):
            name = last_name(target)
            if name and _is_heat(name) and _gets_smaller(improver, node, name, steps):
                yield name, node


def _is_heat(name: str) -> bool:
    return bool(_HEAT & set(words(name)))


def _falls(improver: Improver, node: ast.expr) -> bool:
    """Whether what a loop goes over gets smaller: a list of numbers, or a schedule."""
    if isinstance(node, ast.Name):
        node = improver.values.get(node.id, node)
    if isinstance(node, ast.List | ast.Tuple):
        numbers = [_number(each) for each in node.elts]
        known = [n for n in numbers if n is not None]
        return (
            len(known) == len(numbers) > 1 and known == sorted(known, reverse=True) != known[::-1]
        )
    if isinstance(node, ast.Call) and called(node) in ("linspace", "geomspace", "logspace"):
        ends = [_number(each) for each in node.args[:2]]
        return len(ends) == 2 and None not in ends and ends[0] > ends[1]  # type: ignore[operator]
    return False


def _number(node: ast.expr) -> float | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    return None


def _gets_smaller(improver: Improver, node: ast.AST, name: str, steps: set[str]) -> bool:
    if isinstance(node, ast.AugAssign):
        if isinstance(node.op, ast.Sub | ast.Div):
            return True
        return isinstance(node.op, ast.Mult) and _is_shrinking(node.value)
    value = getattr(node, "value", None)
    if value is None:
        return False
    for each in improver.within(value):
        if not isinstance(each, ast.BinOp):
            continue
        sides = (each.left, each.right)
        own = any(improver.names(side, name) for side in sides)
        if isinstance(each.op, ast.Mult) and own and any(map(_is_shrinking, sides)):
            return True
        if isinstance(each.op, ast.Sub | ast.Div) and improver.names(each.left, name):
            return True
        by_step = any(improver.names(each.right, step) for step in steps)
        if isinstance(each.op, ast.Sub | ast.Div | ast.Pow) and by_step:
            return True
    return False


def _is_shrinking(node: ast.expr) -> bool:
    number = _number(node)
    if number is not None:
        return 0 < number < 1
    return bool(_COOLING & set(words(last_name(node))))


# --- bandit


def bandit(improver: Improver) -> ast.AST | None:
    """Options are chosen by what they have earned: by bounds, draws, or mostly the best."""
    return (
        _confidence_bound(improver)
        or _posterior_draw(improver)
        or _epsilon(improver)
        or (_earned_weights(improver))
    )


def _confidence_bound(improver: Improver) -> ast.AST | None:
    for call in improver.calls.get("sqrt", ()):
        if any(improver.called_in(call, "log", "log2", "log1p")):
            return call
    return None


def _posterior_draw(improver: Improver) -> ast.AST | None:
    for name in ("betavariate", "beta"):
        for call in improver.calls.get(name, ()):
            if len(call.args) == 2:
                return call
    return None


def _epsilon(improver: Improver) -> ast.AST | None:
    """Mostly the best by its record, sometimes any; and the record is kept."""
    updated = {last_name(name) for name in _records(improver)} - {""}
    for node in improver.reading.nodes:
        if not isinstance(node, ast.Compare) or not any(improver.called_in(node, *_DRAWS)):
            continue
        for loop in improver.above(node):
            if isinstance(loop, LOOPS):
                picks = any(improver.called_in(loop, *_PICKS))
                best = (*improver.called_in(loop, "max", "argmax"),)
                if picks and any(improver.names(c, name) for c in best for name in updated):
                    return node
    return None


def _records(improver: Improver) -> Iterator[ast.expr]:
    """What is kept by option: `wins[arm] += 1`, `rewards[arm].append(...)`."""
    for node in improver.reading.nodes:
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Subscript):
            yield node.target.value
    for call in improver.calls.get("append", ()):
        if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Subscript):
            yield call.func.value.value


def _earned_weights(improver: Improver) -> ast.AST | None:
    """Options drawn by weights that change with what they earn."""
    updated = {last_name(name) for name in _records(improver)} - {""}
    for call in improver.calls.get("choices", []) + improver.calls.get("choice", []):
        weights = [k.value for k in call.keywords if k.arg in ("weights", "p")]
        earned = any(improver.names(w, name) for w in weights for name in updated)
        if earned and improver.in_loop(call):
            return call
    return None


# --- tree search


def tree_search(improver: Improver) -> ast.AST | None:
    """Nodes with children, a frontier that is popped and pushed, or a recursion with a depth."""
    return _nodes_with_children(improver) or _frontier(improver) or _recursion(improver)


def _nodes_with_children(improver: Improver) -> ast.AST | None:
    for name in ("append", "add", "extend"):
        for call in improver.calls.get(name, ()):
            if container(call) in ("children", "child_nodes") and _is_attribute(call):
                return call
    return None


def _is_attribute(call: ast.Call) -> bool:
    """`node.children.append(...)`, not a list of that name."""
    return isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Attribute)


def _frontier(improver: Improver) -> ast.AST | None:
    """What is popped in a loop is worked on, and what comes of it is pushed."""
    for loop in improver.loops:
        if not improver.asks_in(loop):
            continue
        popped = {container(c): c for c in improver.called_in(loop, *_POPS) if _pops(c)}
        for call in improver.called_in(loop, *PUSHES):
            name = container(call)
            if name and name in popped:
                return popped[name]
    return None


def _pops(call: ast.Call) -> bool:
    """`scores.get(key)` is no `queue.get()`."""
    return called(call) != "get" or not call.args


def _recursion(improver: Improver) -> ast.AST | None:
    """A function that asks the model calls itself for what comes of it, one level deeper."""
    for name, function in improver.functions.items():
        if not improver.asks_in(function):
            continue
        for call in improver.called_in(function, name):
            deeper = any(
                isinstance(n, ast.BinOp) and isinstance(n.op, ast.Add | ast.Sub)
                for argument in call.args
                for n in improver.within(argument)
            )
            if deeper and any(isinstance(n, _REPEATED) for n in improver.above(call)):
                return call
    return None


_REPEATED = (*LOOPS, *COMPREHENSIONS)


# --- decomposition


def decomposition(improver: Improver) -> ast.AST | None:
    """The model is asked in a loop over parts: of the program, of a plan, or named in a list."""
    parts = _part_names(improver)
    for loop in improver.loops:
        if not isinstance(loop, ast.For | ast.AsyncFor) or not improver.asks_in(loop):
            continue
        named = {last_name(n) for n in improver.within(loop.target) if isinstance(n, ast.Name)}
        if _is_split(improver, loop.iter) or any(improver.names(loop.iter, p) for p in parts):
            return loop
        if any(_PART & set(words(name)) for name in named) and _are_texts(improver, loop.iter):
            return loop
    return None


def _part_names(improver: Improver) -> set[str]:
    """Variables that hold the parts of a text, and functions that return them."""
    parts: set[str] = set()
    for _ in range(2):  # what is made of what was found
        for node in improver.reading.nodes:
            if isinstance(node, ast.Assign) and _is_made_of(improver, node.value, parts):
                parts.update(last_name(target) for target in targets(node))
        for name, function in improver.functions.items():
            returns = (n for n in improver.within(function) if isinstance(n, ast.Return))
            if any(n.value and _is_made_of(improver, n.value, parts) for n in returns):
                parts.add(name)
        parts.discard("")
    return parts


def _is_made_of(improver: Improver, node: ast.expr, parts: set[str]) -> bool:
    """Whether a value is parts of a text, and no program that the model made."""
    if improver.asks_in(node) or any(improver.called_in(node, "extract_code", "max", "join")):
        return False
    if _is_split(improver, node):
        return True
    if isinstance(node, ast.Call) and called(node) not in parts | WRAPPERS | {"enumerate"}:
        return False
    if isinstance(node, ast.IfExp | ast.Compare | ast.BoolOp):
        return False
    return any(improver.names(node, part) for part in parts)


def _is_split(improver: Improver, node: ast.expr) -> bool:
    """Lines of a plan, functions of a tree, pieces between separators; not lines one by one."""
    for call in improver.called_in(node, "splitlines", "split", "parse", "finditer", "findall"):
        if called(call) == "parse" or called(call) in ("finditer", "findall"):
            return True
        asked = improver.function_of(call)
        if called(call) == "splitlines" or _splits_lines(call):
            if improver.asks_in(asked):
                return True
        elif _separator(call) == "\n\n" or _separator(call).strip():
            return True
    return False


def _separator(call: ast.Call) -> str:
    first = call.args[0] if call.args else None
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        return first.value
    return ""


def _splits_lines(call: ast.Call) -> bool:
    return _separator(call) == "\n"


def _are_texts(improver: Improver, node: ast.expr) -> bool:
    """Whether a loop goes over texts that stand in the program."""
    if isinstance(node, ast.Name):
        node = improver.values.get(node.id, node)
    if not isinstance(node, ast.List | ast.Tuple | ast.Set):
        return False
    return bool(node.elts) and all(
        isinstance(e, ast.Constant) and isinstance(e.value, str) for e in node.elts
    )


# --- voting


def voting(improver: Improver) -> ast.AST | None:
    """The most frequent answer, or the one with most votes of the model."""
    for call in improver.calls.get("most_common", ()):
        return call
    for name in ("mode", "multimode"):
        for call in improver.calls.get(name, ()):
            return call
    for call in improver.calls.get("max", ()):
        for keyword in call.keywords:
            if keyword.arg == "key" and last_name(keyword.value) == "count":
                return call
    for node in improver.reading.nodes:
        for target in targets(node):
            if isinstance(target, ast.Subscript) and _VOTE & set(words(last_name(target.value))):
                return node
    return None


# --- caching


def caching(improver: Improver) -> ast.AST | None:
    """Scores are kept by program, or programs that were seen are left out."""
    for name in ("lru_cache", "cache"):
        for node in improver.reading.nodes:
            if isinstance(node, ast.Call) and called(node) == name:
                return node
            if isinstance(node, FUNCTIONS) and any(
                last_name(d) == name for d in node.decorator_list
            ):
                return node
    return _kept_by_key(improver) or _seen_before(improver)


def _kept_by_key(improver: Improver) -> ast.AST | None:
    """`if x not in known: known[x] = score(x)`."""
    asked = _asked_for(improver)
    for node in improver.reading.nodes:
        if not isinstance(node, ast.Assign) or not any(
            _is_call(n) for n in improver.within(node.value)
        ):
            continue
        for target in targets(node):
            if isinstance(target, ast.Subscript) and last_name(target.value) in asked:
                return node
    return None


def _is_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and called(node) != "get"


def _asked_for(improver: Improver) -> set[str]:
    """Containers that are asked whether they hold something: `in`, `get`, `except KeyError`."""
    asked: set[str] = set()
    for node in improver.reading.nodes:
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            asked.add(last_name(node.comparators[0]))
        elif isinstance(node, ast.Call) and _asks_by_key(node):
            asked.add(container(node))
        elif isinstance(node, ast.Try) and _expects_no_key(node):
            tried = (n for each in node.body for n in improver.within(each))
            asked.update(last_name(n.value) for n in tried if isinstance(n, ast.Subscript))
    return asked - {""}


def _expects_no_key(node: ast.Try) -> bool:
    return any(last_name(handler.type) == "KeyError" for handler in node.handlers)


def _asks_by_key(call: ast.Call) -> bool:
    return called(call) == "setdefault" or (called(call) == "get" and len(call.args) == 1)


def _seen_before(improver: Improver) -> ast.AST | None:
    """`if x in seen: continue` and `seen.add(x)`."""
    asked = _asked_for(improver)
    for call in improver.calls.get("add", ()):
        if container(call) in asked:
            return call
    return None
