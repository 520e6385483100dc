"""A bypass measurement as a kind of run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from stop._util.documents import to_document
from stop._util.sheet import Sheet, to_html
from stop.engine.session import Session
from stop.errors import StopError
from stop.experiments.bypass.config import BypassConfig
from stop.experiments.bypass.measure import measure
from stop.experiments.bypass.report import CellReport, read_cells, read_result
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
        return to_document(self._read(lambda store: read_result(store, config)))

    def sheet(self) -> Sheet:
        """Returns the result as people read it."""
        config = self.config
        return self._read(lambda store: read_result(store, config)).sheet()

    def _repr_html_(self) -> str:
        return to_html(self.sheet())

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
