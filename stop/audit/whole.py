"""Checks everything of a run that its log vouches for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stop.audit.chain import Verdict
from stop.audit.log import read, verify
from stop.audit.notes import run_id


def verify_run(folder: Path, head: str | None, trusted: Sequence[str] = ()) -> Verdict:
    """Checks the log of a run, and its configuration, to which the log's first session is bound.

    Args:
        folder: of the run.
        head: a hash that must be in the chain.
        trusted: fingerprints of keys besides this machine's.

    Raises:
        RunError, ConfigError: a file, or this machine's key, cannot be read.
    """
    path = folder / "audit.jsonl"
    verdict = verify(path, head, trusted, run=run_id(folder))
    if verdict.ok and (problem := _config_problem(folder, path)):
        return replace(verdict, ok=False, problem=problem)
    return verdict


def _config_problem(folder: Path, log: Path) -> str:
    """The log says with which configuration the run began."""
    digest = hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()
    first = next(read(log, "opened"), None)
    if first is None or first.get("config") == digest:
        return ""
    return "config.json is not the one that the run began with"
