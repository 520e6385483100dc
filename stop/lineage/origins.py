"""Which language model response a program's text came from.

A program's improver run could see the responses of its scope (`stop.lm.tape`): those it paid for,
and those that others had paid for before. A program is *exact* when it is a code block of one of
them, *edited* when its text is similar to one, else *none*: made by the improver alone, or put
together from several.

Similarity is the share of text that lies in lines which both have: Dice's coefficient over their
lines without indentation, as multisets, each line weighted by its length. It takes time linear in
the texts. Programs that a model wrote for one task share lines of the program they were made from,
so a response must also be at least as similar as that program is.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from stop.store import ImproverRunRecord, ProgramRecord, Store
from stop.store.makers import SAMPLE_KEY
from stop.store.samples import Samples

EDITED_FROM = 0.75
"""Below, a program may as well be another answer to the same request: of 71 pairs of different
programs in the answers of a 1.5B model, nine in ten are less similar than this."""

_MAX_CHARACTERS = 8 << 20
"""Upper bound of the responses that are looked at for one program."""
_MAX_CALLS = 1000
_MAX_FENCES = 40
_MAX_PROBE = 200
_FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})[^`\n]*")


@dataclass(frozen=True, slots=True)
class Origin:
    """Which response a program's text came from.

    Attributes:
        match: "exact", "edited" or "none".
        lm_call: the number of the call; None without one.
        choice: the place of the response in the call, from 0 on.
        similarity: 0 to 1, of the most similar response; None when there was none to compare.
    """

    match: Literal["exact", "edited", "none"]
    lm_call: int | None = None
    choice: int | None = None
    similarity: float | None = None


def find_origin(store: Store, program: ProgramRecord) -> Origin:
    """Finds the origin of a program of the run; "none" for what the run began with."""
    maker = store.made_by(program.id)
    if maker is None:
        return Origin("none")
    text = _Text(program.source)
    parent = text.similarity(store.program(maker.initial_id).source.split("\n"))
    enough = max(EDITED_FROM, parent)
    best, most = Origin("none"), -1.0
    left = _MAX_CHARACTERS
    for calls in _stages(store, program, maker, text.probe):
        for call, choice, response in calls:
            left -= len(response)
            if left < 0:
                break
            lines = response.split("\n")
            if text.is_block_of(lines):
                return Origin("exact", call, choice, 1.0)
            similarity = max(map(text.similarity, _blocks(lines)))
            if similarity > most:
                best, most = Origin("edited", call, choice, similarity), similarity
        if most >= enough or left < 0:
            break
    return best if most >= enough else Origin("none", similarity=best.similarity)


class _Text:
    """A program's text, prepared to be compared with many."""

    def __init__(self, source: str) -> None:
        self._lines = _trimmed(source.split("\n"))
        self._bag = _bag(self._lines)
        self._weight = _weight(self._bag)
        longest = max((line.strip() for line in self._lines), key=len, default="")
        self.probe = longest[:_MAX_PROBE]

    def is_block_of(self, response: list[str]) -> bool:
        """Whether the text is what stands between two fences, or the whole response."""
        if not self._lines:
            return False
        return self._lines == _trimmed(response) or any(
            self._follows(response, opening) for opening in _fences(response)[:_MAX_FENCES]
        )

    def _follows(self, response: list[str], opening: int) -> bool:
        """Whether the text, and nothing else, stands after a fence until another one or the end."""
        fence = response[opening]
        indent = fence[: len(fence) - len(fence.lstrip())]
        at = _after_blank(response, opening + 1)
        for line in self._lines:
            if at >= len(response) or response[at].removeprefix(indent).rstrip() != line:
                return False
            at += 1
        at = _after_blank(response, at)
        return at == len(response) or _is_fence(response[at])

    def similarity(self, lines: Iterable[str]) -> float:
        """The share of common text, 0 to 1, as the module describes it."""
        other = _bag(lines)
        both = self._weight + _weight(other)
        return 2 * _weight(self._bag & other) / both if both else 0.0


def _trimmed(lines: Iterable[str]) -> list[str]:
    """Without white space at the ends of lines, and without empty lines at both ends."""
    text = "\n".join(line.rstrip() for line in lines).strip("\n")
    return text.split("\n") if text else []


def _after_blank(lines: list[str], at: int) -> int:
    while at < len(lines) and not lines[at].strip():
        at += 1
    return at


def _is_fence(line: str) -> bool:
    return _FENCE.fullmatch(line.rstrip()) is not None


def _fences(response: list[str]) -> list[int]:
    return [i for i, line in enumerate(response) if _is_fence(line)]


def _bag(lines: Iterable[str]) -> Counter[str]:
    return Counter(text for line in lines if (text := line.strip()))


def _weight(bag: Counter[str]) -> int:
    return sum(len(line) * count for line, count in bag.items())


def _blocks(response: list[str]) -> Iterator[list[str]]:
    """What may be the program in a response: from one fence to the next, and from the first fence
    to the last, since programs may hold fences themselves; without fences, all of it."""
    fences = _fences(response)
    if not fences:
        yield response
        return
    ends = [*fences[1:], len(response)]
    for opening, end in list(zip(fences, ends, strict=True))[:_MAX_FENCES]:
        yield response[opening + 1 : end]
    yield response[fences[0] + 1 : fences[-1] if len(fences) > 1 else len(response)]


# --- the tape

_Response = tuple[int, int, str]
"""(call, choice, text)"""


def _stages(
    store: Store, program: ProgramRecord, maker: ImproverRunRecord, probe: str
) -> Iterator[Iterator[_Response]]:
    """Where to look first: in what the improver run paid for, then in what others had that holds
    the program's longest line, then in the rest of that."""
    if maker.key.startswith(SAMPLE_KEY):
        for scope in Samples(store).scopes(program.id):
            yield _responses(store, "scope = :scope", scope=scope)
        return
    run = {"run": maker.key}
    yield _responses(store, "improver_run = :run", **run)
    others = (
        "scope = :scope AND improver_run <> :run AND (:until IS NULL OR started <= :until) "
        "AND (instr(choices, :probe) > 0) = :held"
    )
    values = run | {"scope": maker.scope, "until": maker.finished}
    probe = json.dumps(probe)[1:-1]  # as it stands in a JSON text
    for held in (1, 0):
        yield _responses(store, others, **values, probe=probe, held=held)


def _responses(store: Store, where: str, **values: Any) -> Iterator[_Response]:
    calls = f"SELECT id, choices FROM lm_calls WHERE {where} ORDER BY id LIMIT {_MAX_CALLS}"
    for row in store.query(calls, values):
        for number, choice in enumerate(json.loads(row["choices"])):
            yield row["id"], number, choice["text"]
