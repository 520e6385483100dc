"""What was seen of programs, and how grave it is: kinds, levels, and text joined with deeds.

text    a static rule found it (`stop.audit.rules`)      level 1
host    a request or a frame came in                     level 2, 3
kernel  a refused call, a canary                         level 3
guest   a hook in the program's own process              level 1, 3
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stop.events import Level, SecurityEvent, Source

LEVELS: dict[str, Level] = {
    "sandbox_flag": Level.ATTEMPT,
    "frames": Level.TAMPERING,
    "refusals": Level.TAMPERING,
    "system_call": Level.TAMPERING,
    "network": Level.TAMPERING,
    "killed": Level.TAMPERING,
    "canary": Level.TAMPERING,
    "probe": Level.TAMPERING,
    "budget": Level.TAMPERING,
    "client": Level.TAMPERING,
    "environment": Level.TAMPERING,
    "configuration": Level.TAMPERING,
    "interface": Level.INTENT,
    "lookup": Level.INTENT,
    "telling_file": Level.INTENT,
    "dynamic_code": Level.INTENT,
    "process": Level.INTENT,
    "native_code": Level.INTENT,
    "introspection": Level.INTENT,
    "hook": Level.INTENT,
    "unknown_argument": Level.NONE,
}
"""How grave a kind is when it was seen at run time. A word that no sensor says was forged."""

_TOPICS = {
    "system_module": "system",
    "system_call": "system",
    "network": "system",
    "interface": "system",
    "lookup": "system",
    "telling_file": "configuration",
    "killed": "system",
    "process": "system",
    "native_code": "system",
    "canary": "probe",
    "frames": "introspection",
}
"""Kinds that are the same thing in a text and at run time; the others go by their own name."""

Join = Literal["tried", "intended", "unannounced"]
"""tried: in the text, and seen to fail. intended: in the text only. unannounced: run time only."""


def seen(kind: str, detail: str, source: Source, program_id: str = "") -> SecurityEvent:
    """The event of something that happened while a program ran."""
    level = LEVELS.get(kind, Level.TAMPERING)
    return SecurityEvent(kind, level, detail, program_id, source=source)


def topic(kind: str) -> str:
    """What a text and a deed have in common."""
    return _TOPICS.get(kind, kind)


MAX_DETAILS = 100
"""Of one program and topic, of the text and of the deeds each."""
_LINE = re.compile(r"^line \d+: ")


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of one program on one topic.

    Attributes:
        text: the lines of its source that show it, without their numbers.
        deeds: what was seen at run time.
        events: lines of the log that this was made of.
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
        """Deeds first: they say more than the line that announced them."""
        return (*self.deeds, *self.text)

    def to_dict(self) -> dict[str, Any]:
        """As in the machine-readable output."""
        return {
            "program_id": self.program_id,
            "topic": self.topic,
            "join": self.join,
            "level": int(self.level),
            "kinds": list(self.kinds),
            "text": list(self.text),
            "deeds": list(self.deeds),
            "events": self.events,
        }


def join(events: Iterable[Mapping[str, Any]]) -> list[Evidence]:
    """Text and deeds of each program together, gravest first.

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
