"""A run as it lies on disk, to read: `stop.open_run(folder)`, and what `stop.run` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stop import rounds
from stop.audit import log as audit_log
from stop.config import RunConfig
from stop.errors import StopError
from stop.lineage import Lineage
from stop.report import write_report
from stop.run_folder import read_config
from stop.security import SUMMARIZED, Summary, summarize
from stop.store import ProgramRecord, Store
from stop.store.best import best_round


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it is on disk.

    Attributes:
        folder: where everything of it lies.
        error: why it is not done, when `stop.run` ended early.
    """

    folder: Path
    error: StopError | None = field(default=None, compare=False)

    @property
    def config(self) -> RunConfig:
        return read_config(self.folder)

    def store(self) -> Store:
        """The run's records, read-only; close it after use."""
        return Store(self.folder / "run.db", read_only=True)

    def to_dict(self) -> dict[str, Any]:
        """The result as `stop run --json` prints it."""
        store = self.store()
        try:
            return rounds.summary(store, self.config, self.folder, self.security_events())
        finally:
            store.close()

    @property
    def best(self) -> ProgramRecord:
        """The accepted improver with the highest meta-utility."""
        store = self.store()
        try:
            best = best_round(store, self.config)
            if best is None or best.improver_id is None:
                raise StopError(f"{self.folder} has no improver with a meta-utility yet")
            return store.program(best.improver_id)
        finally:
            store.close()

    @property
    def lineage(self) -> Lineage:
        """Where each program came from."""
        return Lineage(self.folder)

    def report(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the story of the run as one HTML file; returns where it is.

        Args:
            path: the file.
            force: replace a file that is there, also one that is no report.

        Raises:
            StopError: the run's files are damaged, or there is a file that is no report.
        """
        return write_report(self.folder, Path(path), force=force)

    def program(self, prefix: str) -> ProgramRecord:
        """A program of the run by the beginning of its id."""
        store = self.store()
        try:
            return store.program(prefix)
        finally:
            store.close()

    def security_events(self) -> list[dict[str, Any]]:
        """The security events of the run's audit log, oldest first."""
        path = self.folder / "audit.jsonl"
        if not path.exists():
            return []
        return list(audit_log.read(path, "security"))

    def security_summary(self) -> Summary:
        """Which programs tried what, with the model and the round that brought it in."""
        path = self.folder / "audit.jsonl"
        config = self.config
        store = self.store()
        try:
            lines = audit_log.read(path, *SUMMARIZED) if path.exists() else ()
            if config.kind == "bypass":
                return summarize(store, lines, given=config.lm)
            return summarize(store, lines)
        finally:
            store.close()


def open_run(folder: str | Path) -> Run:
    """A run by its folder; `RunError` when there is none."""
    run_folder = Path(folder)
    read_config(run_folder)
    return Run(run_folder)
