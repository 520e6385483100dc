"""A transfer measurement as a kind of run."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

from stop.engine.session import Session
from stop.errors import StopError
from stop.experiments.kind import Ends, Kind, Outcome, Scale
from stop.experiments.transfer.config import TransferConfig
from stop.experiments.transfer.measure import measure
from stop.experiments.transfer.report import Transfer
from stop.programs import program_id
from stop.store import Store


class _Transfer(Kind[TransferConfig]):
    name = "transfer"
    config = TransferConfig

    async def work(self, session: Session, config: TransferConfig) -> None:
        await measure(session, config)

    def result(self, folder: Path, error: StopError | None) -> Transfer:
        return Transfer(folder, error)

    def outcome(self, store: Store, config: TransferConfig) -> Outcome:
        gains = [each for each in Transfer(store.path.parent).gains if each.split == "test"]
        if not gains:
            return Outcome()
        return Outcome(gain=fmean(each.difference.mean / each.width for each in gains))

    def ends(self, store: Store, config: TransferConfig) -> Ends:
        seed, improved = program_id(config.improver), program_id(config.transfer.improver)
        return Ends(seed, improved, "seed improver", "improved improver")

    def scale(self, config: TransferConfig) -> Scale:
        return Scale(2, 0, config.improver)


TRANSFER = _Transfer()
