"""Which models a run had, and what a name such as `manual:` stands for."""

from __future__ import annotations

import json
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
_LEVELS = (("task", "model", ""), ("meta", "model of the meta level", " (meta level)"))


def kind_of(spec: str) -> str:
    """The part of a model's name before the colon, such as "manual" of "manual:folder"."""
    return spec.partition(":")[0]


def specs(config: RunConfig) -> dict[str, str]:
    """The names of a run's models by level."""
    return {"task": config.lm, "meta": config.meta_lm or config.lm}


def billed(config: RunConfig, level: str | None = None) -> bool:
    """Whether answers of a level, or of any, cost money."""
    named = specs(config)
    return any(kind_of(spec) == "openai" for each, spec in named.items() if level in (None, each))


def has_server(config: RunConfig) -> bool:
    """Whether any of the models has a server, which may make faults."""
    return any(kind_of(spec) in _SERVED for spec in specs(config).values())


def scripted(config: RunConfig) -> bool:
    """Whether all answers were written beforehand."""
    return all(kind_of(spec) == "scripted" for spec in specs(config).values())


def what(spec: str) -> str:
    """What a name of a model stands for, in words."""
    return _WHAT.get(kind_of(spec), "")


def described(folder: Path, config: RunConfig) -> tuple[tuple[str, str], ...]:
    """Lists what is on record of the models, by level, as names and values."""
    named, facts = specs(config), _recorded(folder)
    shown: list[tuple[str, str]] = []
    for level, label, note in _LEVELS:
        if level == "meta" and (named["meta"], facts["meta"]) == (named["task"], facts["task"]):
            continue
        name = spec = named[level]
        if "/" in spec and kind_of(spec) != "openai":
            name = f"{kind_of(spec)}:…/{Path(spec).name}"
        shown.append((label, one_line(redact(f"{name}: {what(spec)}"))))
        shown += [
            (text + note, value)
            for key, text in _LABELS.items()
            if (value := _text(key, facts[level].get(key)))
        ]
    return tuple(shown)


def about(folder: Path) -> str:
    """Who wrote the answers, in the words of whoever began the run; "" where nothing was noted."""
    return _text("about", _recorded(folder)["task"].get("about"))


def recorded(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the last session of a run recorded, by level.

    Args:
        document: the run's provenance.
    """
    last = (document.get("sessions") or [None])[-1]
    levels = _dict(_dict(last).get("models"))
    return {level: _dict(levels.get(level)) for level in ("task", "meta")}


def _recorded(folder: Path) -> dict[str, dict[str, Any]]:
    """Likewise; nothing where the file cannot be read."""
    try:
        return recorded(read_provenance(folder))
    except StopError:
        return recorded({})


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(key: str, value: Any) -> str:
    if value in (None, "", [], {}):
        return ""
    if key == "prices" and isinstance(value, dict):
        dollars = [
            f"${value[name]:g} for a million {name} tokens"
            for name in ("prompt", "completion")
            if isinstance(value.get(name), int | float)
        ]
        rest = [f"{k}: {v}" for k, v in value.items() if k not in ("prompt", "completion") and v]
        return one_line(redact(", ".join(dollars + rest)))
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return one_line(redact(value if isinstance(value, str) else json.dumps(value)), 600)
