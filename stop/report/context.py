"""An open run, with what all parts of its report need."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from stop.audit.evidence import Evidence
from stop.config import RunConfig
from stop.lineage import Lineage
from stop.report import conduct, models, packing, programs, setup, story, words
from stop.report.data import Programs
from stop.report.text import one_line
from stop.runs.folder import run_status
from stop.runs.security import Summary
from stop.store import RoundRecord, Store
from stop.store.best import best_round


class Context:
    """What is read once, and looked at by several.

    Args:
        folder: of the run.
        config: of it.
        store: of it, open.
    """

    def __init__(self, folder: Path, config: RunConfig, store: Store) -> None:
        self.folder = folder
        self.name = one_line(folder.resolve().name, 120)
        self.config = config
        self.store = store
        self.lineage = Lineage(folder)
        self.status = one_line(run_status(folder, store))

    @cached_property
    def rounds(self) -> list[RoundRecord]:
        return self.store.rounds()

    @cached_property
    def best(self) -> RoundRecord | None:
        return best_round(self.store, self.config)

    @cached_property
    def summary(self) -> Summary:
        return conduct.read_summary(self.folder, self.config, self.store)

    @cached_property
    def evidence(self) -> dict[str, list[Evidence]]:
        return conduct.evidence_by_program(self.summary)

    @cached_property
    def fates(self) -> dict[str, str]:
        return conduct.fates(
            self.evidence,
            self.rounds,
            self.best.improver_id if self.best else None,
            self.summary.quarantined,
            sampled=self.config.kind == "bypass",
        )

    def facts(self) -> story.Facts:
        """What every story tells."""
        spent = self.store.spending()
        return story.Facts(
            status=self.status,
            tasks=[one_line(Path(task).name, 60) for task in self.config.tasks],
            programs={
                "improver": self.lineage.count("improver"),
                "solution": self.lineage.count("solution"),
            },
            calls=spent.lm_calls,
            tokens=spent.tokens,
            cost=words.cost(
                None if spent.usd_unknown_calls else spent.usd, models.billed(self.config)
            ),
            seconds=float(self.store.meta("seconds") or 0),
            attempts=dict(self.summary.by_level),
            answers=self._answers(),
            scripted=models.scripted(self.config),
        )

    def _answers(self) -> str:
        """Where the answers came from."""
        named = dict.fromkeys(models.specs(self.config).values())
        told = " and ".join(f"{setup.shareable(spec)} ({models.what(spec)})" for spec in named)
        about = models.about(self.folder)
        return f"The answers are from {told}." + (f" About them: {about}" if about else "")

    def pack(self, shelf: programs.Shelf, best: str | None, roots: Mapping[str, str]) -> Programs:
        """The collected programs, with what is known of them."""
        known = packing.Knowledge(self.evidence, self.fates, best, roots)
        return packing.pack(self.store, self.lineage, shelf, known)
