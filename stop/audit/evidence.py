"""What was seen of programs, and how grave it is: kinds, levels, and text joined with deeds.

text    a static rule found it (`stop.audit.rules`)      level 1
host    a request or a frame came in                     level 2, 3
kernel  a refused call, a canary                         level 3
guest   a hook in the program's own process              level 1, 3
"""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of one program on one topic."""

    program_id: str
    topic: str
    join: Join
    level: Level
    kinds: tuple[str, ...]
    details: tuple[str, ...]
    events: int

    def to_dict(self) -> dict[str, Any]:
        """As in the machine-readable output."""
        return {
            "program_id": self.program_id,
            "topic": self.topic,
            "join": self.join,
            "level": int(self.level),
            "kinds": list(self.kinds),
            "details": list(self.details),
            "events": self.events,
        }


def join(events: Iterable[Mapping[str, Any]], details: int = 5) -> list[Evidence]:
    """Text and deeds of each program together, gravest first.

    Args:
        events: lines of the audit log of kind "security".
        details: how many details of each are kept.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for event in events:
        if event["level"] > Level.NONE:
            groups.setdefault((event["program_id"], topic(event["event"])), []).append(event)
    found = [_evidence(*key, group, details) for key, group in groups.items()]
    return sorted(found, key=lambda e: (-e.level, e.program_id, e.topic))


def _evidence(program: str, about: str, group: list[Mapping[str, Any]], details: int) -> Evidence:
    text = any(event.get("source") == "text" for event in group)
    deeds = any(event.get("source") != "text" for event in group)
    how: Join = "tried" if text and deeds else "intended" if text else "unannounced"
    kinds = tuple(sorted({str(event["event"]) for event in group}))
    # Deeds first: they say more than the line that announced them.
    told = sorted(group, key=lambda event: (event.get("source") == "text", -event["level"]))
    words = tuple(dict.fromkeys(str(event["detail"]) for event in told))[:details]
    level = Level(max(event["level"] for event in group))
    return Evidence(program, about, how, level, kinds, words, len(group))
