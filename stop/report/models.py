"""Which models a run had, and what a name such as `manual:` stands for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stop.config import RunConfig
from stop.errors import StopError
from stop.lm.redact import redact
from stop.report.text import one_line
from stop.runs.provenance import read_provenance

_WHAT = {
    "scripted": "replies written beforehand, taken in their order: no model was asked",
    "manual": "replies that somebody wrote into files",
    "local": "a model whose weights ran on the machine of the run",
    "tape": "replies recorded in an earlier run: no model was asked",
    "openai": "a model behind a server",
}
_SERVED = ("openai", "local")
_LABELS = {
    "about": "about", "served_as": "served as", "file": "weights", "sha256": "sha256",
    "models": "recorded models", "prices": "prices", "replies": "replies",
}  # fmt: skip
_LEVELS = (("task", "model"), ("meta", "model of the meta level"))


def kind_of(spec: str) -> str:
    """ "manual" of "manual:folder"."""
    return spec.partition(":")[0]


def specs(config: RunConfig) -> dict[str, str]:
    """By level."""
    return {"task": config.lm, "meta": config.meta_lm or config.lm}


def billed(config: RunConfig, level: str | None = None) -> bool:
    """Whether anybody writes a bill for the answers, of one level or of any."""
    named = specs(config)
    return any(kind_of(spec) == "openai" for each, spec in named.items() if level in (None, each))


def has_server(config: RunConfig) -> bool:
    """Whether there was a server that could make faults."""
    return any(kind_of(spec) in _SERVED for spec in specs(config).values())


def scripted(config: RunConfig) -> bool:
    """Whether nothing but replies written beforehand was used."""
    return all(kind_of(spec) == "scripted" for spec in specs(config).values())


def what(spec: str) -> str:
    """What a name of a model stands for, in words."""
    return _WHAT.get(kind_of(spec), "")


def described(folder: Path, config: RunConfig) -> tuple[tuple[str, str], ...]:
    """What is on record of the models, by level: names and values."""
    recorded = _recorded(folder)
    shown: list[tuple[str, str]] = []
    seen: Mapping[str, Any] | None = None
    for level, label in _LEVELS:
        spec = specs(config)[level]
        facts = recorded.get(level)
        facts = facts if isinstance(facts, dict) else {}
        if level == "meta" and spec == config.lm and facts == seen:
            continue
        seen = facts
        name = Path(spec).name if "/" in spec and kind_of(spec) != "openai" else spec
        if name != spec:
            name = f"{kind_of(spec)}:…/{name}"
        shown.append((label, one_line(redact(f"{name}: {what(spec)}"))))
        shown += [
            (_LABELS[key] if level == "task" else f"{_LABELS[key]} (meta level)", text)
            for key in _LABELS
            if (text := _text(key, facts.get(key)))
        ]
    return tuple(shown)


def about(folder: Path) -> str:
    """Who wrote the answers, in the words of whoever began the run; "" without any."""
    facts = _recorded(folder).get("task")
    return _text("about", facts.get("about")) if isinstance(facts, dict) else ""


def _recorded(folder: Path) -> dict[str, Any]:
    """Of the last session; what cannot be read is told elsewhere."""
    try:
        sessions = read_provenance(folder).get("sessions", [])
    except StopError:
        return {}
    last = sessions[-1] if sessions and isinstance(sessions[-1], dict) else {}
    found = last.get("models")
    return found if isinstance(found, dict) else {}


def _text(key: str, value: Any) -> str:
    if value in (None, "", [], {}):
        return ""
    if key == "prices" and isinstance(value, dict):
        parts = []
        for name in ("prompt", "completion"):
            if isinstance(value.get(name), int | float):
                parts.append(f"${value[name]:g} for a million {name} tokens")
        rest = {k: v for k, v in value.items() if k not in ("prompt", "completion") and v}
        parts += [f"{name}: {each}" for name, each in rest.items()]
        return one_line(redact(", ".join(parts)))
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return one_line(redact(value if isinstance(value, str) else json.dumps(value)), 600)
