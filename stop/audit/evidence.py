"""What was seen of programs and at which level; text and behaviour of a program joined by topic.

source  seen by                                               level
text    a static rule (`stop.audit.rules`)                    1
host    the host, in a request or a frame of the guest        2, 3
kernel  the kernel: a refused call, a canary                  3
guest   a hook in the program's own process                   1, 3
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stop.events import Level, SecurityEvent, Source

LEVELS: dict[str, Level] = {
    **dict.fromkeys(
        ("frames", "refusals", "system_call", "network", "killed", "canary", "probe", "budget",
         "client", "environment", "configuration"),
        Level.TAMPERING,
    ),
    "sandbox_flag": Level.ATTEMPT,
    **dict.fromkeys(
        ("interface", "lookup", "telling_file", "dynamic_code", "process", "native_code",
         "introspection", "hook"),
        Level.INTENT,
    ),
    "unknown_argument": Level.NONE,
}  # fmt: skip
"""The level of each kind that is seen at run time. A kind that no sensor reports was forged."""

_TOPICS = {
    **dict.fromkeys(
        ("system_module", "system_call", "network", "interface", "lookup", "killed", "process",
         "native_code"),
        "system",
    ),
    "telling_file": "configuration",
    "canary": "probe",
    "frames": "introspection",
}  # fmt: skip
"""Kinds that are the same thing in a text and at run time; the others go by their own name."""

Join = Literal["tried", "intended", "unannounced"]
"""tried: in the text, and seen to fail. intended: in the text only. unannounced: run time only."""


def seen(kind: str, detail: str, source: Source, program_id: str = "") -> SecurityEvent:
    """Returns the event of something that happened while a program ran."""
    level = LEVELS.get(kind, Level.TAMPERING)
    return SecurityEvent(kind, level, detail, program_id, source=source)


def topic(kind: str) -> str:
    """Returns what a kind of event is about, in a text as at run time."""
    return _TOPICS.get(kind, kind)


MAX_DETAILS = 100
"""Of one program and topic, from its text and from its runs each."""
_LINE = re.compile(r"^line \d+: ")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence on one program and one topic.

    Attributes:
        program_id: SHA-256 of its bytes.
        topic: what was tried.
        join: "tried" (its text shows it and it was seen to fail), "intended" (its text only) or
            "unannounced" (it was seen at run time only).
        level: 1 intent, 2 attempt, 3 tampering.
        kinds: of the events.
        text: the lines of its source that show it.
        deeds: what was seen at run time.
        events: number of events.
    """

    program_id: str
    topic: str
    join: Join
    level: Level
    kinds: tuple[str, ...]
    text: tuple[str, ...]
    deeds: tuple[str, ...]
    events: int

    @property
    def details(self) -> tuple[str, ...]:
        """What was seen at run time says more than the line that announced it: it comes first."""
        return (*self.deeds, *self.text)


def join(events: Iterable[Mapping[str, Any]]) -> list[Evidence]:
    """Joins what the text of each program shows and what it did, highest level first.

    Args:
        events: lines of the audit log of kind "security".
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for event in events:
        if event["level"] > Level.NONE:
            groups.setdefault((event["program_id"], topic(event["event"])), []).append(event)
    found = [_evidence(*key, group) for key, group in groups.items()]
    return sorted(found, key=lambda e: (-e.level, e.program_id, e.topic))


def _evidence(program: str, about: str, group: list[Mapping[str, Any]]) -> Evidence:
    text = [_LINE.sub("", e["detail"]) for e in group if e["source"] == "text"]
    deeds = [e["detail"] for e in group if e["source"] != "text"]
    how: Join = "tried" if text and deeds else "intended" if text else "unannounced"
    return Evidence(
        program,
        about,
        how,
        Level(max(event["level"] for event in group)),
        tuple(sorted({event["event"] for event in group})),
        tuple(dict.fromkeys(text))[:MAX_DETAILS],
        tuple(dict.fromkeys(deeds))[:MAX_DETAILS],
        len(group),
    )
