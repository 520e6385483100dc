"""Which search strategies an improver's text shows, by rules over its syntax tree.

    beam           the k best of each step are kept, and each of them is worked on in the next
    genetic        a population; parents are chosen, combined or mutated; or, without that word,
                   one message shows several of the best programs and asks to combine them
    annealing      a temperature falls: of the chance to take a worse program, or of the model
    bandit         prompts or settings are chosen by what they have earned so far
    tree_search    programs have children; a frontier, a tree of nodes or a recursion is searched
    decomposition  the program or the work is split, and the parts are improved one at a time
    voting         among answers that agree, or by the model's own votes, the most frequent wins
    caching        what was scored or seen before is not scored again
    other          none of these, such as asking once and keeping the best

Several may hold. Rules see how a program is built and how its author named things; they do not
know what it does when it runs. docs/analysis.md says how often they are right.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache

from stop.analysis import _strategy_rules as rules
from stop.analysis._improver import Improver, Tangled
from stop.analysis.reading import read

STRATEGIES = (
    "beam",
    "genetic",
    "annealing",
    "bandit",
    "tree_search",
    "decomposition",
    "voting",
    "caching",
    "other",
)
_EVIDENCE = 80


@dataclass(frozen=True, slots=True)
class Strategy:
    """A strategy with the first line that shows it; "other" has none (line 0)."""

    label: str
    line: int
    evidence: str


@lru_cache(maxsize=1024)
def strategies(source: str) -> tuple[Strategy, ...]:
    """The strategies of an improver, in the order of `STRATEGIES`; () for no Python."""
    reading = read(source)
    if reading is None:
        return ()
    try:
        found = _found(Improver(reading))
    except Tangled:
        return (Strategy("other", 0, "too tangled to be read"),)
    for stronger, weaker in rules.INSTEAD:
        if stronger in found:
            found.pop(weaker, None)
    lines = source.splitlines()
    shown = []
    for label, node in found.items():
        line = reading.line(node)
        text = lines[line - 1].strip() if line <= len(lines) else ""
        shown.append(Strategy(label, line, text[:_EVIDENCE]))
    return tuple(shown) or (Strategy("other", 0, ""),)


def _found(improver: Improver) -> dict[str, ast.AST]:
    places = ((label, getattr(rules, label)(improver)) for label in STRATEGIES[:-1])
    return {label: place for label, place in places if place is not None}
