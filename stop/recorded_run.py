"""A run as it lies on disk, to read: `stop.open_run(folder)`, and what `stop.run` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stop._util.documents import to_document
from stop._util.sheet import Sheet, to_html
from stop.audit import log as audit_log
from stop.config import RunConfig
from stop.errors import StopError
from stop.experiments import kind_of, read_config
from stop.experiments.result import RunResult, read_result
from stop.lineage import Lineage
from stop.report import write_report
from stop.runs.security import SUMMARIZED, Summary, summarize
from stop.store import ProgramRecord, Store


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
        """Returns the result as `stop run --json` prints it."""
        return to_document(self.result())

    def sheet(self) -> Sheet:
        """Returns the result as people read it."""
        return self.result().sheet()

    def _repr_html_(self) -> str:
        try:
            return to_html(self.sheet())
        except StopError as error:  # it has not begun, or it is damaged
            return to_html([{"run": str(self.folder), "problem": error.message}])

    def result(self) -> RunResult:
        """Returns what the run has reached."""
        with self.store() as store:
            return read_result(store, self.config, self.security_events())

    @property
    def best(self) -> ProgramRecord:
        """The best improver (`stop.store.best`); of an `improve` the program.

        Raises:
            RunError: there is none, or none yet.
        """
        config = self.config
        with self.store() as store:
            return store.program(kind_of(config).best(store, config))

    @property
    def seed(self) -> ProgramRecord:
        """What the run began with: the improver of round 0; of an `improve` the program.

        Raises:
            RunError: there is none, or none yet.
        """
        config = self.config
        with self.store() as store:
            return store.program(kind_of(config).first(store, config))

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
        with self.store() as store:
            return store.program(name)

    def security_events(self) -> list[dict[str, Any]]:
        """The security events of the run's audit log, oldest first."""
        path = self.folder / "audit.jsonl"
        if not path.exists():
            return []
        return list(audit_log.read(path, "security"))

    def security_summary(self) -> Summary:
        """Which programs tried what, with the model and the round that brought it in."""
        path = self.folder / "audit.jsonl"
        with self.store() as store:
            lines = audit_log.read(path, *SUMMARIZED) if path.exists() else ()
            return summarize(store, lines, sampled_by=self.config.lm)


def open_run(folder: str | Path) -> Run:
    """Open a run to read it.

    Args:
        folder: of a run of any kind.

    Raises:
        RunError: there is no run in it.
    """
    run = Run(Path(folder))
    _ = run.config
    return run
