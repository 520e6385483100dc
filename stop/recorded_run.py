"""A run as it lies on disk, to read: `stop.open_run(folder)`, and what `stop.run` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stop.audit import log as audit_log
from stop.config import RunConfig
from stop.errors import RunError, StopError
from stop.experiments import rounds
from stop.lineage import Lineage
from stop.report import write_report
from stop.runs.folder import read_config
from stop.runs.security import SUMMARIZED, Summary, summarize
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
        """The accepted improver with the highest meta-utility; of an `improve` what came of it.

        Raises:
            RunError: there is none, or none yet.
        """
        config = self.config
        with self.store() as store:
            if config.kind == "improve":
                return store.program(_applied(store, self.folder, "result_id"))
            if config.kind != "run":
                raise RunError(f"{self.folder} is a {config.kind}: it improves nothing")
            best = best_round(store, config)
            if best is None or best.improver_id is None:
                raise RunError(f"{self.folder} has no improver with a meta-utility yet")
            return store.program(best.improver_id)

    @property
    def seed(self) -> ProgramRecord:
        """What the run began with: the improver of round 0; of an `improve` the program.

        Raises:
            RunError: there is none, or none yet.
        """
        with self.store() as store:
            if self.config.kind == "improve":
                return store.program(_applied(store, self.folder, "initial_id"))
            first = next((r.improver_id for r in store.rounds() if r.round == 0), None)
            if first is None:
                raise RunError(f"{self.folder} has no seed improver with a meta-utility")
            return store.program(first)

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

    def program(self, name: str) -> ProgramRecord:
        """A program of the run: the beginning of its id, "best" or "seed"."""
        if name in ("best", "seed"):
            return self.best if name == "best" else self.seed
        store = self.store()
        try:
            return store.program(name)
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


def _applied(store: Store, folder: Path, which: str) -> str:
    """The program that the one improver run of an `improve` began with, or came to."""
    for run in store.improver_runs("task"):
        if (identity := getattr(run, which)) is not None:
            return str(identity)
    raise RunError(f"{folder} has no program yet that came of it")


def open_run(folder: str | Path) -> Run:
    """A run by its folder; `RunError` when there is none."""
    run_folder = Path(folder)
    read_config(run_folder)
    return Run(run_folder)
