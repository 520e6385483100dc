"""One accepted change: what the texts differ in, and which answer of the model it came from."""

from __future__ import annotations

import json

from stop.lineage import Lineage, Origin
from stop.report import diffs, highlight
from stop.report.data import Diff, Gain, Step
from stop.report.programs import origin_words
from stop.report.text import readable
from stop.store import Store

MAX_DIFF_LINES = 600
MAX_STATIC_TEXT = 24 << 10
MAX_ANSWER = 6000


def step(
    store: Store, lineage: Lineage, parent: str, child: str, *, title: str, gain: Gain
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
        diff=coloured_diff(old, new),
        answer=_answer(store, origin),
        text=tuple(map(tuple, highlight.lines(new[:MAX_STATIC_TEXT]))),
    )


def coloured_diff(old: str, new: str) -> Diff:
    """What changed between two texts that are fit to be read."""
    changes = diffs.compare(old.split("\n"), new.split("\n"))
    before, after = highlight.lines(old), highlight.lines(new)
    hunks, room = [], MAX_DIFF_LINES
    for hunk in diffs.hunks(changes):
        lines = []
        for change in hunk[:room]:
            pieces = before[change.old] if change.kind == "-" else after[change.new]
            lines.append((change, tuple(pieces)))
        room -= len(lines)
        if lines:
            hunks.append(tuple(lines))
    added = sum(change.kind == "+" for change in changes)
    removed = sum(change.kind == "-" for change in changes)
    return Diff(tuple(hunks), added, removed, cut=room <= 0)


def _answer(store: Store, origin: Origin) -> str:
    if origin.lm_call is None:
        return ""
    row = store.query("SELECT choices FROM lm_calls WHERE id = ?", (origin.lm_call,)).fetchone()
    choices = json.loads(row["choices"]) if row else []
    if not 0 <= (origin.choice or 0) < len(choices):
        return ""
    return readable(choices[origin.choice or 0]["text"], limit=MAX_ANSWER)
