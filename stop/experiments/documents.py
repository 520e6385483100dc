"""What the documents of several kinds of run have in common."""

from __future__ import annotations

from typing_extensions import TypedDict


class SeenEvent(TypedDict):
    """A security event.

    Attributes:
        kind: what was tried.
        level: 1 intent, 2 attempt, 3 tampering.
        detail: the evidence, in words.
    """

    kind: str
    level: int
    detail: str
