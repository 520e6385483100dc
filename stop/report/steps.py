"""One accepted change: what the texts differ in, and which response it came from."""

from __future__ import annotations

import json
import re

from stop.lineage import Origin
from stop.lineage.differences import unified_diff
from stop.report.context import Context
from stop.report.data import Gain, Step
from stop.report.text import one_line, readable
from stop.report.words import origin_words
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
"""Characters of a step's diff, of its text, and of the response that it came from."""


def step(
    run: Context, parent: str, child: str, *, title: str, gain: Gain | None, limit: int = MAX_SHARE
) -> Step:
    """Describes the change from `parent` to `child`, in up to `limit` characters a text."""
    old, new = (readable(run.store.program(each).source) for each in (parent, child))
    origin = run.lineage.origin(child)
    diff = unified_diff(old, new, "", "")
    return Step(
        title=title,
        parent_id=parent,
        program_id=child,
        gain=gain,
        origin=origin_words(origin),
        diff=tuple(diff[:limit].split("\n")[2:]),  # behind the names of the two
        cut=len(diff) > limit,
        text=readable(new, limit=limit),
        says=own_words(new),
        answer=_answer(run.store, origin, limit),
    )


def own_words(text: str) -> str:
    """The first line of a program's docstring, or of its main function's; "" without one.

    Nothing is parsed: the text may be no Python at all.
    """
    found = _DOCSTRING.match(text[:_HEAD]) or _MAIN.search(text[:_HEAD])
    return one_line(found["line"].strip(), 200) if found else ""


def _answer(store: Store, origin: Origin, limit: int) -> str:
    if origin.lm_call is None:
        return ""
    row = store.query("SELECT choices FROM lm_calls WHERE id = ?", (origin.lm_call,)).fetchone()
    choices = json.loads(row["choices"]) if row else []
    if not 0 <= (origin.choice or 0) < len(choices):
        return ""
    return readable(choices[origin.choice or 0]["text"], limit=limit)
