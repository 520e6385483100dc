"""How a run was set up, where it ran, and what it takes to do it again."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from stop.config import RunConfig
from stop.errors import StopError
from stop.lm.redact import redact
from stop.programs import program_id
from stop.provenance import read_provenance
from stop.report import models
from stop.report.text import one_line
from stop.store import Store

Pairs = tuple[tuple[str, str], ...]
_SOURCES = ("improver", "program")
_LABELS = {
    "lm": "model", "meta_lm": "model of the meta level",
    "task_budget": "each improver run on a task",
    "meta_budget": "each improver run on an improver", "budget": "limits of the run",
    "round_budget": "limits of each round", "accept": "accepted when",
}  # fmt: skip
_PATH = re.compile(r"(?<![\w./])/(?:[^/\s\"',:]+/)+")
_ACCEPT = {
    "better": "its meta-utility is higher in a paired comparison",
    "always": "it works (the paper's rule)",
}


def groups(
    folder: Path, config: RunConfig, store: Store, unused: Collection[str]
) -> tuple[tuple[str, Pairs], ...]:
    """Lists names and values under heads; the settings in `unused` are left out."""
    parts = [
        ("Models", models.described(folder, config)),
        ("Configuration", _configuration(config, unused)),
        ("Where it ran", _machine(store)),
    ]
    try:
        document = read_provenance(folder)
    except StopError as error:
        document = {}
        parts.append(("Sessions", (("problem", one_line(error.message)),)))
    parts += _sessions(document)
    return tuple((head, pairs) for head, pairs in parts if pairs)


def _configuration(config: RunConfig, unused: Collection[str]) -> Pairs:
    shown: list[tuple[str, str]] = []
    for name, value in config.model_dump(mode="json").items():
        if value in (None, "", [], {}) or name in unused:
            continue
        label = _LABELS.get(name, name.replace("_", " "))
        if name in _SOURCES:
            text = f"program {program_id(str(value))[:10]}"
        elif name == "accept":
            text = _ACCEPT.get(str(value), str(value))
        elif isinstance(value, dict):
            text = ", ".join(_inner(value))
        elif isinstance(value, list):
            text = ", ".join(map(str, value))
        else:
            text = str(value)
        if text:
            shown.append((label, shareable(text)))
    return tuple(shown)


def _inner(value: dict[str, Any]) -> list[str]:
    found = []
    for key, each in value.items():
        if each is None:
            continue
        text = f"program {program_id(each)[:10]}" if key in _SOURCES else _plain(each)
        found.append(f"{key.replace('_', ' ')} {text}")
    return found


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def shareable(text: str) -> str:
    """Puts `text` on one line, without keys and folders of this machine: others read it too."""
    return one_line(_PATH.sub("…/", redact(text)))


def _machine(store: Store) -> Pairs:
    rows = store.query("SELECT key, value FROM meta WHERE key LIKE 'version.%' ORDER BY key")
    return tuple((row[0].removeprefix("version."), shareable(row[1])) for row in rows)


def _sessions(document: dict[str, Any]) -> list[tuple[str, Pairs]]:
    """The last three sessions, and the tasks; never the secret, which is in the same file."""
    found: list[tuple[str, Pairs]] = []
    tasks = [task for task in document.get("tasks", []) if isinstance(task, dict)]
    if tasks:
        pairs = tuple((one_line(str(t.get("name"))), one_line(str(t.get("digest")))) for t in tasks)
        found.append(("Tasks, by digest", pairs))
    sessions = document.get("sessions", [])
    for number, session in enumerate(sessions[-3:], start=max(1, len(sessions) - 2)):
        if isinstance(session, dict):
            pairs = tuple(
                (key.replace("_", " "), shareable(_text(value)))
                for key, value in session.items()
                if value is not None and (key != "models" or number < len(sessions))
            )
            found.append((f"Session {number} of {len(sessions)}", pairs))
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def commands(name: str, more: Pairs) -> Pairs:
    """Lists what can be done with the run on its machine; `{}` in `more` stands for its name."""
    shown = (
        ("stop replay {}", "do it again from its recorded answers, without a model"),
        ("stop resume {}", "go on where it is"),
        ("stop audit verify {}", "check its log"),
        *more,
    )
    return tuple((command.replace("{}", name), text) for command, text in shown)
