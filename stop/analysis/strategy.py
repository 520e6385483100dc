"""Which search strategies an improver's text shows, by rules over its syntax tree.

    beam       several of the best programs are kept, and the model is asked about each of them
    best_shot  one message to the model shows several of the best programs (best-shot prompting:
               B. Romera-Paredes et al., Nature 625, 2024)
    caching    what was computed of a program is kept by that program, and looked up before
    unclear    no rule recognises anything: a single step, or a strategy that the rules do not know

Several of the first three may hold. The rules see how a program is built, not what it does when it
runs. docs/analysis.md says what they miss, and how often they are right.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from stop.analysis import _strategy_rules as rules
from stop.analysis._improver import Improver, Tangled
from stop.analysis.reading import read

UNCLEAR = "unclear"
_RULES = {"beam": rules.beam, "best_shot": rules.best_shot, "caching": rules.caching}
STRATEGIES = (*_RULES, UNCLEAR)
_EVIDENCE = 80


@dataclass(frozen=True, slots=True)
class Strategy:
    """A strategy that an improver's text shows.

    Attributes:
        label: one of `STRATEGIES`.
        line: the first line that shows it, from 1; 0 of "unclear".
        evidence: the first 80 characters of that line; of "unclear" why, or "".
    """

    label: str
    line: int
    evidence: str


@lru_cache(maxsize=1024)
def strategies(source: str) -> tuple[Strategy, ...]:
    """Names the strategies that an improver's text shows; the text is parsed, never executed.

    Args:
        source: the improver, Python source text.

    Returns:
        The strategies in the order of `STRATEGIES`; "unclear" alone where no rule recognises one;
        () for text that is not Python.
    """
    lines, shown = source.splitlines(), []
    try:
        improver = read(source, Improver)
        if improver is None:
            return ()
        for label, rule in _RULES.items():
            if node := rule(improver):
                line = improver.line(node)
                text = lines[line - 1].strip() if line <= len(lines) else ""
                shown.append(Strategy(label, line, text[:_EVIDENCE]))
    except Tangled:
        return (Strategy(UNCLEAR, 0, "too tangled to be read"),)
    return tuple(shown) or (Strategy(UNCLEAR, 0, ""),)
