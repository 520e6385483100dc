"""The result of a run as `stop.Run` has it, read from its store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from stop._util.sheet import ONE_REPETITION, Sheet, Table, cost, interval, number, short
from stop.budget import LMCost
from stop.config import RunConfig
from stop.runs.folder import run_status
from stop.store import Store
from stop.store.best import best_of, in_quarantine


class Round(TypedDict):
    """One round of a run; intervals are 95 %, Student's t over repetitions.

    With one repetition they are over instances, which leaves out how the model's sampling varies.

    Attributes:
        round: from 1 on; 0 is the improver to begin with.
        improver_id: the candidate; null when the round brought none.
        meta_utility: the candidate's; null when it was not scored.
        interval: of `meta_utility`.
        accepted: whether the candidate is the improver of the next round.
        status: "ok", or why there is no candidate or no score.
        detail: the same, for people.
        parent_id: the improver that made it; null in round 0.
        difference: meta-utility minus the parent's, paired on the same instances.
        difference_interval: of `difference`.
    """

    round: int
    improver_id: str | None
    meta_utility: float | None
    interval: Sequence[float] | None
    accepted: bool
    status: str
    detail: str
    parent_id: str | None
    difference: float | None
    difference_interval: Sequence[float] | None


@dataclass(frozen=True, slots=True)
class BestImprover:
    """The accepted improver with the highest meta-utility.

    Attributes:
        program_id: SHA-256 of its bytes.
        meta_utility: its meta-utility.
        interval: of `meta_utility`.
        round: in which it came up.
    """

    program_id: str | None
    meta_utility: float | None
    interval: tuple[float, float] | None
    round: int


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
        heads = ("round", "improver", "meta-utility", "95 % interval", "gain", "accepted", "note")
        rows = [_row(each) for each in (self.seed, *self.rounds) if each is not None]
        if rows:
            sheet.append(Table(heads, rows))
            sheet += [ONE_REPETITION] if self.repetitions == 1 else []
        facts = {}
        if self.best:
            best = f"{short(self.best.program_id)} of round {self.best.round}"
            facts["best"] = f"{best}, meta-utility {number(self.best.meta_utility)}"
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


def _row(each: Round) -> Sequence[Any]:
    return (
        each["round"] or "seed",
        short(each["improver_id"]),
        number(each["meta_utility"]),
        interval(each["interval"]),
        "" if each["difference"] is None else f"{each['difference']:+.4f}",
        "yes" if each["accepted"] else "no",
        each["detail"][:60] or each["status"],
    )


def read_result(
    store: Store, config: RunConfig, security_events: list[dict[str, Any]]
) -> RunResult:
    """Read the result of a run as far as it has come."""
    records, folder = store.rounds(), store.path.parent
    best = best_of(records, in_quarantine(config, security_events))
    rounds = [Round(**each.to_dict()) for each in records]  # type: ignore[typeddict-item]
    ends = None if best is None or best.low is None or best.high is None else (best.low, best.high)
    return RunResult(
        run=folder,
        status=run_status(folder, store),
        tasks=config.tasks,
        repetitions=config.repetitions,
        seed=next((each for each in rounds if each["round"] == 0), None),
        rounds=tuple(each for each in rounds if each["round"] > 0),
        best=BestImprover(best.improver_id, best.meta_utility, ends, best.round) if best else None,
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
