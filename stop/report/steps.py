"""One accepted change: what the texts differ in, and which answer of the model it came from."""

from __future__ import annotations

import json
import re

from stop.lineage import Lineage, Origin
from stop.report import diffs, highlight
from stop.report.data import Diff, Gain, Step
from stop.report.packing import origin_words
from stop.report.text import one_line, readable
from stop.store import Store

_HEAD = 8 << 10
_DOCSTRING = re.compile(
    r"(?:\s|\#[^\n]*\n)*[rRuU]?(?P<quote>\"\"\"|'''|\"|')\s*(?P<line>[^\n]*?)(?:(?P=quote)|\n)"
)
_MAIN = re.compile(
    r"^def (?:improve_algorithm|algorithm)\([^)\n]{0,300}\)[^:\n]{0,100}:[ \t]*\n[ \t]*"
    r"[rR]?(?P<quote>\"\"\"|''')(?P<line>[^\n]*?)(?:(?P=quote)|\n)",
    re.MULTILINE,
)
MAX_SHARE = 24 << 10
"""Characters of a step's diff, of its text, and of the answer that it came from."""


def step(
    store: Store,
    lineage: Lineage,
    parent: str,
    child: str,
    *,
    title: str,
    gain: Gain,
    share: int = MAX_SHARE,
) -> Step:
    """The change from `parent` to `child`, with its diff and its origin."""
    old, new = (readable(store.program(each).source) for each in (parent, child))
    origin = lineage.origin(child)
    return Step(
        title=title,
        parent_id=parent,
        program_id=child,
        before=gain.before,
        after=gain.after,
        difference=gain.difference,
        origin=origin_words(origin),
        diff=coloured_diff(old, new, share),
        says=own_words(new),
        answer=_answer(store, origin, share),
        text=tuple(map(tuple, highlight.lines(readable(new, limit=share)))),
    )


def own_words(text: str) -> str:
    """The first line of its docstring, or of its main function's; "" without. Nothing is parsed."""
    found = _DOCSTRING.match(text[:_HEAD]) or _MAIN.search(text[:_HEAD])
    return one_line(found["line"].strip(), 200) if found else ""


def coloured_diff(old: str, new: str, limit: int) -> Diff:
    """What changed between two texts that are fit to be read; so many characters at the most."""
    changes = diffs.compare(old.split("\n"), new.split("\n"))
    before, after = highlight.lines(old), highlight.lines(new)
    hunks, room = [], limit
    for hunk in diffs.hunks(changes):
        lines = []
        for change in hunk:
            pieces = before[change.old] if change.kind == "-" else after[change.new]
            room -= 1 + sum(len(text) for _, text in pieces)
            if room < 0:
                break
            lines.append((change, tuple(pieces)))
        if lines:
            hunks.append(tuple(lines))
    added = sum(change.kind == "+" for change in changes)
    removed = sum(change.kind == "-" for change in changes)
    return Diff(tuple(hunks), added, removed, cut=room < 0)


def _answer(store: Store, origin: Origin, limit: int) -> str:
    if origin.lm_call is None:
        return ""
    row = store.query("SELECT choices FROM lm_calls WHERE id = ?", (origin.lm_call,)).fetchone()
    choices = json.loads(row["choices"]) if row else []
    if not 0 <= (origin.choice or 0) < len(choices):
        return ""
    return readable(choices[origin.choice or 0]["text"], limit=limit)
