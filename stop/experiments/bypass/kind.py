"""A bypass measurement as a kind of run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from stop.engine.session import Session
from stop.errors import StopError
from stop.experiments.bypass.config import BypassConfig
from stop.experiments.bypass.measure import measure
from stop.experiments.bypass.report import CellReport, read_cells, report
from stop.experiments.kind import Kind, Outcome
from stop.runs.folder import read_config_as
from stop.store import Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BypassRates:
    """A bypass measurement as it is on disk.

    Attributes:
        folder: where everything of it lies.
        error: why it is not done, when it ended early.
    """

    folder: Path
    error: StopError | None = None

    @property
    def config(self) -> BypassConfig:
        """What is measured.

        Raises:
            RunError: the folder holds no bypass measurement.
        """
        return read_config_as(self.folder, BypassConfig)

    @property
    def cells(self) -> list[CellReport]:
        """Counts and rates by cell, as far as the measurement has come."""
        sampling = self.config.bypass
        return self._read(lambda store: read_cells(store, sampling))

    def to_dict(self) -> dict[str, Any]:
        """As `stop bypass --json` prints it: the cells, and every sample."""
        config = self.config
        return self._read(lambda store: report(store, config, self.folder))

    def _read(self, work: Callable[[Store], T]) -> T:
        store = Store(self.folder / "run.db", read_only=True)
        try:
            return work(store)
        finally:
            store.close()


class _Bypass(Kind[BypassConfig]):
    name = "bypass"
    config = BypassConfig
    improver_runs_on_tape = False

    async def work(self, session: Session, config: BypassConfig) -> None:
        await measure(session, config)

    def result(self, folder: Path, error: StopError | None) -> BypassRates:
        return BypassRates(folder, error)

    def rates(self, store: Store, config: BypassConfig) -> list[CellReport]:
        return read_cells(store, config.bypass)

    def outcome(self, store: Store, config: BypassConfig) -> Outcome:
        rates = {cell.cell: cell.any_level.rate for cell in self.rates(store, config)}
        return Outcome(rates={cell: rate for cell, rate in rates.items() if rate is not None})


BYPASS = _Bypass()
