"""How a run was set up, where it ran, and the commands that repeat it."""

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
from stop.report import models
from stop.report.text import one_line
from stop.runs.provenance import read_provenance
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
    "confirmed": "a test on fresh cells confirms that it is better",
    "better": "its meta-utility is higher on the cells that it was chosen on",
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
    return tuple(
        (_LABELS.get(name, name.replace("_", " ")), shareable(text))
        for name, value in config.model_dump(mode="json").items()
        if name not in unused and value not in (None, "") and (text := _setting(name, value))
    )


def _setting(name: str, value: Any) -> str:
    if name in _SOURCES:
        return f"program {program_id(str(value))[:10]}"
    if isinstance(value, dict):
        inner = ((key, each) for key, each in value.items() if each is not None)
        return ", ".join(f"{key.replace('_', ' ')} {_setting(key, each)}" for key, each in inner)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else _ACCEPT.get(str(value), str(value))


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
                (
                    key.replace("_", " "),
                    shareable(value if isinstance(value, str) else json.dumps(value)),
                )
                for key, value in session.items()
                if value is not None and (key != "models" or number < len(sessions))
            )
            found.append((f"Session {number} of {len(sessions)}", pairs))
    return found


def commands(name: str, more: Pairs) -> Pairs:
    """Lists what can be done with the run on its machine; `{}` in `more` stands for its name."""
    shown = (
        ("stop replay {}", "do it again from its recorded answers, without a model"),
        ("stop resume {}", "go on where it is"),
        ("stop audit verify {}", "check its log"),
        *more,
    )
    return tuple((command.replace("{}", name), text) for command, text in shown)
