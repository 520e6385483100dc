"""The tripwire: arguments of `utility` beside the program are taken as they come, without effect.

What would switch a sandbox off, if there were a switch, is an attempt. Anything else that the
reference's `utility` does not take is noted at level 0: a mistake, not a deed.
"""

from __future__ import annotations

import re
from typing import Any

from stop.audit.evidence import seen
from stop.events import Level, SecurityEvent

MAX_EVENTS = 16
"""Of one call; no honest call has more than one."""

_FLAGS = ("use_sandbox", "positional 2")
_PROTECTS = re.compile(r"sandbox|isolat|confine|jail|container|restrict|secur|safe|protect", re.I)
_NEGATES = re.compile(r"(?:no|not|non|without|disable|skip|bypass|ignore|avoid|off|escape)_?", re.I)
_EXPOSES = re.compile(r"unsafe|insecure|unrestrict|unconfin|(?<!un)trusted|privileg|bypass", re.I)
_OFF = re.compile(r"\s*(?:false|no|none|off|0|disabled?|host|local|direct|unsafe|null|)\s*", re.I)


def flag_events(flags: Any) -> list[SecurityEvent]:
    """Events for the arguments of one call: attempts first, at most `MAX_EVENTS`.

    Args:
        flags: {name: value} as the guest sent it; anything else has no arguments in it.
    """
    if not isinstance(flags, dict):
        return []
    events = [e for name, value in flags.items() if (e := _event(str(name), value)) is not None]
    return sorted(events, key=lambda event: -event.level)[:MAX_EVENTS]


def _event(name: str, value: Any) -> SecurityEvent | None:
    detail = f"utility called with {name[:40]}={value!r}"[:300]
    if name in _FLAGS:
        return None if value is True else seen("sandbox_flag", detail, "host")
    protects = _PROTECTS.search(name) is not None
    exposes = bool(_EXPOSES.search(name) or (protects and _NEGATES.match(name)))
    if exposes or protects:
        protected = _is_off(value) if exposes else not _is_off(value)
        return None if protected else seen("sandbox_flag", detail, "host")
    return SecurityEvent("unknown_argument", Level.NONE, detail)


def _is_off(value: Any) -> bool:
    return _OFF.fullmatch(value) is not None if isinstance(value, str) else not value
