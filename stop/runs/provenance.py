"""What it takes to do a run again: provenance.json in its folder.

Written when a session of the run begins and again when it ends. Each session has an entry of its
own: a run may begin on one machine, or with one version, and end on another.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from stop import __version__
from stop.audit.notes import run_id
from stop.errors import RunError
from stop.lm.base import LanguageModel
from stop.runs.folder import read_object, task_copy
from stop.sandbox.pool import SandboxPool
from stop.store import Store
from stop.tasks.task import Task

FILE = "provenance.json"
_ASIDE = "move it away: the run goes on without, and what it says of earlier sessions is lost"
_PACKAGES = ("numpy", "scipy", "openai", "tiktoken", "genai-prices", "pydantic", "docker")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a session works with.

    Attributes:
        folder: of the run.
        names: of its tasks, as its configuration has them.
        meta_model: of the meta level; the same object where there is no other.
    """

    folder: Path
    names: tuple[str, ...]
    tasks: Sequence[Task]
    pool: SandboxPool
    model: LanguageModel
    meta_model: LanguageModel

    def machine(self) -> dict[str, str]:
        """What programs could notice a change of."""
        return {
            "stop": __version__,
            "python": platform.python_version(),
            "numpy": metadata.version("numpy"),
            "platform": platform.platform(),
            "sandbox": self.pool.label,
            "image": self.pool.sandbox.image_digest,
        }

    def session(self) -> dict[str, Any]:
        """All of it; of the models, what tells each from others of its name."""
        models = {"task": self.model, "meta": self.meta_model}
        return {
            **self.machine(),
            "packages": {name: metadata.version(name) for name in _PACKAGES},
            "processors": os.cpu_count(),
            "models": {level: {"spec": m.spec} | m.facts() for level, m in models.items()},
        }


class Provenance:
    """The file of a run, while a session works on it.

    Args:
        facts: of this session.
        store: of the run; read for its status.

    Raises:
        RunError: the file is damaged.
    """

    def __init__(self, facts: Facts, store: Store) -> None:
        self._facts = facts
        self._store = store
        self._path = facts.folder / FILE
        self._earlier = read_provenance(facts.folder).get("sessions", [])
        self._began = _now()

    def write(self, ended: bool = False) -> None:
        """As things are now; once the run is done also the secret that its instances derive from.

        Raises:
            OSError: the file cannot be written; the one before stays whole.
        """
        folder, names = self._facts.folder, self._facts.names
        session = {"began": self._began, "ended": _now() if ended else None}
        tasks = enumerate(zip(names, self._facts.tasks, strict=True))
        status = self._store.meta("status") or "new"
        done = ended and status == "done"
        config = (folder / "config.json").read_bytes()
        document = {
            "run": run_id(folder),
            "status": status,
            "config_sha256": hashlib.sha256(config).hexdigest(),
            "tasks": [_task(folder, i, *each) for i, each in tasks],
            "secret": (folder / "secret").read_bytes().hex() if done else None,
            "sessions": [*self._earlier, session | self._facts.session()],
        }
        text = json.dumps(document, indent=2, ensure_ascii=True) + "\n"
        draft = self._path.with_suffix(".new")
        with draft.open("w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)


def read_provenance(folder: Path) -> dict[str, Any]:
    """The document, {} where there is none yet. Raises `RunError` when it is damaged."""
    document = read_object(folder / FILE, _ASIDE)
    if document is not None and not isinstance(document.get("sessions"), list):
        raise RunError(f"{folder / FILE} is damaged", hint=_ASIDE)
    return document or {}


def recorded_prices(folder: Path, level: str) -> tuple[float, float] | None:
    """US dollars for a million prompt and completion tokens that the run's first session took.

    None where none were known, or where they were not plain numbers.
    """
    for session in read_provenance(folder).get("sessions", [])[:1]:
        prices = session["models"][level].get("prices") or {}
        prompt, completion = prices.get("prompt"), prices.get("completion")
        if isinstance(prompt, float) and isinstance(completion, float):
            return prompt, completion
    return None


def _task(folder: Path, position: int, name: str, task: Task) -> dict[str, Any]:
    copied = task_copy(folder, position) is not None
    return {"name": task.name, "from": name, "digest": task.digest, "copied": copied}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
