"""The result of a run as `stop.Run` has it, read from its store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stop._util.sheet import Sheet, Table, cost, number, short
from stop.budget import LMCost
from stop.config import RunConfig
from stop.experiments.rounds.result import (
    BestImprover,
    Round,
    gain_words,
    read_best,
    read_rounds,
    row_of,
)
from stop.runs.folder import run_status
from stop.store import Store
from stop.store.best import best_of, in_quarantine


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run has reached. One that is not of rounds has no `seed`, `rounds` and `best`.

    Attributes:
        run: its folder.
        status: "new", "running", "done", "budget", "failed", "halted" or "interrupted".
        tasks: as in the configuration.
        repetitions: improver runs per task in the meta-utility.
        seed: the improver to begin with, as round 0; null when it has no score yet.
        rounds: in order.
        best: null before round 0 has ended.
        lm: what the language model cost.
        security_events: number of events of level 1 and up.
        security_programs: number of programs by the highest level of their events, "1" to "3".
    """

    run: Path
    status: str
    tasks: tuple[str, ...]
    repetitions: int
    seed: Round | None
    rounds: tuple[Round, ...]
    best: BestImprover | None
    lm: LMCost
    security_events: int
    security_programs: dict[str, int]

    def sheet(self) -> Sheet:
        """Returns the result as people read it."""
        sheet: Sheet = []
        heads = ("round", "improver", "meta-utility", "95 % interval", "tried",
                 "gain on fresh cells", "p", "accepted", "note")  # fmt: skip
        rows = [row_of(each) for each in (self.seed, *self.rounds) if each is not None]
        if rows:
            sheet.append(Table(heads, rows))
        facts = {}
        if self.best:
            best = f"{short(self.best.program_id)} of round {self.best.round}"
            facts["best"] = f"{best}, meta-utility {number(self.best.meta_utility)}"
            facts["gain"] = gain_words(self.best.gain, self.best.gain_reason)
        programs = self.security_programs
        return [
            *sheet,
            facts
            | {
                "cost": cost(self.lm),
                "security": f"{self.security_events} event(s); programs: {programs['1']} with "
                f"intent, {programs['2']} attempted, {programs['3']} tampered",
                "status": self.status,
            },
        ]


def read_result(
    store: Store, config: RunConfig, security_events: list[dict[str, Any]]
) -> RunResult:
    """Read the result of a run as far as it has come."""
    records, folder = store.rounds(), store.path.parent
    best = best_of(records, in_quarantine(config, security_events))
    rounds = read_rounds(store, records)
    return RunResult(
        run=folder,
        status=run_status(folder, store),
        tasks=config.tasks,
        repetitions=config.repetitions,
        seed=next((each for each in rounds if each["round"] == 0), None),
        rounds=tuple(each for each in rounds if each["round"] > 0),
        best=read_best(store, records, best) if best else None,
        lm=store.spending().cost(),
        security_events=sum(event["level"] > 0 for event in security_events),
        security_programs=_programs_by_level(security_events),
    )


def _programs_by_level(events: list[dict[str, Any]]) -> dict[str, int]:
    """Counts the programs that have events, each at its highest level."""
    highest: dict[str, int] = {}
    for event in events:
        highest[event["program_id"]] = max(event["level"], highest.get(event["program_id"], 0))
    levels = list(highest.values())
    return {str(level): levels.count(level) for level in (1, 2, 3)}
