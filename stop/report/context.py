"""An open run, with what all parts of its report need."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from stop.audit import log as audit_log
from stop.config import RunConfig
from stop.errors import StopError
from stop.lineage import Lineage
from stop.lineage.nodes import Nodes
from stop.lineage.security import SecurityCounts
from stop.report.text import one_line
from stop.runs.folder import run_status, run_tasks
from stop.runs.security import SUMMARIZED, Attempt, Summary, summarize
from stop.store import RoundRecord, Store
from stop.store.best import best_round
from stop.store.comparisons import ComparisonRecord, comparisons
from stop.tasks.task import Task


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
    def confirmations(self) -> dict[int, ComparisonRecord]:
        """The tests of the rounds' candidates, by round."""
        return comparisons(self.store, "confirmation")

    @cached_property
    def best(self) -> RoundRecord | None:
        return best_round(self.store, self.config)

    @cached_property
    def summary(self) -> Summary:
        path = self.folder / "audit.jsonl"
        lines = audit_log.read(path, *SUMMARIZED) if path.exists() else ()
        return summarize(self.store, lines, sampled_by=self.config.lm)

    @cached_property
    def attempts(self) -> dict[str, list[Attempt]]:
        """The attempts of the summary by program id, the highest levels first."""
        found: dict[str, list[Attempt]] = {}
        for attempt in self.summary.attempts:
            found.setdefault(attempt.program_id, []).append(attempt)
        return found

    def level(self, program: str | None) -> int:
        """The highest level of a program's security events; 0 without any."""
        attempts = self.attempts.get(program or "", ())
        return max((int(each.level) for each in attempts), default=0)

    @property
    def named_tasks(self) -> str:
        """The names of the tasks, such as "knapsack and maxcut"."""
        names = [one_line(Path(task).name, 60) for task in self.config.tasks]
        if len(names) > 6:
            names = [*names[:5], f"{len(names) - 5} more tasks"]
        return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks of the run; none when the folder of one of them is gone or broken."""
        try:
            return tuple(run_tasks(self.folder, self.config))
        except StopError:
            return ()
