"""An open run, with what all parts of its report need."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from stop.audit.evidence import Evidence
from stop.config import RunConfig
from stop.lineage import Lineage
from stop.lineage.nodes import Nodes
from stop.lineage.security import SecurityCounts
from stop.report import conduct, models, setup, story, words
from stop.report.text import one_line
from stop.run_folder import run_status
from stop.security import GIVEN, Summary
from stop.store import RoundRecord, Store
from stop.store.best import best_round


class Context:
    """What is read once, and used by several parts of a report.

    Args:
        folder: of the run.
        config: of the run.
        store: of the run, open.
        sampled: whether the run only takes samples of a model, and builds nothing on them.
    """

    def __init__(self, folder: Path, config: RunConfig, store: Store, *, sampled: bool) -> None:
        self.folder = folder
        self.name = one_line(folder.resolve().name, 120)
        self.config = config
        self.store = store
        self.sampled = sampled
        self.lineage = Lineage(folder)
        self.status = one_line(run_status(folder, store))

    @cached_property
    def nodes(self) -> Nodes:
        return Nodes(self.store, SecurityCounts(self.folder))

    @cached_property
    def rounds(self) -> list[RoundRecord]:
        return self.store.rounds()

    @cached_property
    def best(self) -> RoundRecord | None:
        return best_round(self.store, self.config)

    @cached_property
    def summary(self) -> Summary:
        given = self.config.lm if self.sampled else GIVEN
        return conduct.read_summary(self.folder, self.store, given)

    @cached_property
    def evidence(self) -> dict[str, list[Evidence]]:
        """By program id, the highest levels first."""
        found = conduct.attempts_by_program(self.summary)
        return {program: [each.evidence for each in tried] for program, tried in found.items()}

    @cached_property
    def fates(self) -> dict[str, str]:
        """What became of the programs with evidence, by id."""
        return conduct.fates(
            self.evidence,
            self.rounds,
            self.best.improver_id if self.best else None,
            self.summary.quarantined,
            sampled=self.sampled,
        )

    def level(self, program: str | None) -> int:
        """The highest level of a program's security events; 0 without any."""
        return max((int(each.level) for each in self.evidence.get(program or "", ())), default=0)

    @cached_property
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
        named = dict.fromkeys(models.specs(self.config).values())
        sources = " and ".join(f"{setup.shareable(spec)} ({models.what(spec)})" for spec in named)
        about = models.about(self.folder)
        return f"The answers are from {sources}." + (f" About them: {about}" if about else "")
