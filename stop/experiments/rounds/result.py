"""The rounds of a run and its best improver, read from its store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import TypedDict

from stop._util.sheet import interval, number, short
from stop.store import RoundRecord
from stop.store.comparisons import ComparisonRecord, comparisons, final_comparison
from stop.store.queries import Queries


class Selection(TypedDict):
    """How the candidate of a round was chosen.

    Attributes:
        meta_utility: on the cells on which it was chosen: too high, for being the best of several
            there; null when it was not scored on them.
        candidates: number of improvers that were scored in the round; null when it is not known.
    """

    meta_utility: float | None
    candidates: int | None


class Confirmation(TypedDict):
    """The test of a candidate against the current improver, on fresh cells.

    Attributes:
        difference: mean of candidate minus current improver, as a share of the range of scores;
            null when the round ended before the test did.
        interval: of `difference`, 95 %, over repetitions; it allows for stopping early.
        p: one-sided; 1 when the test did not end.
        repetitions: of each task, of both improvers.
        alpha: the level that `p` had to reach.
        decision: "confirmed", "not confirmed", or "not decided" when the test did not end.
    """

    difference: float | None
    interval: Sequence[float] | None
    p: float
    repetitions: int
    alpha: float
    decision: str


class Round(TypedDict):
    """One round of a run; intervals are 95 %, Student's t over repetitions.

    With one repetition there is no interval.

    Attributes:
        round: from 1 on; 0 is the improver to begin with.
        improver_id: the candidate; null when the round brought none.
        parent_id: the improver that made it; null in round 0.
        meta_utility: the candidate's, on the cells that decided about it: fresh ones where there
            is a confirmation, else those of its selection; null when it was not scored.
        interval: of `meta_utility`.
        accepted: whether the candidate is the improver of the next round.
        status: "ok", or why there is no candidate or no score.
        detail: the same, for people.
        difference, difference_interval: as in the confirmation; null where none took place.
        selection: how the candidate was chosen.
        confirmation: null where none took place.
    """

    round: int
    improver_id: str | None
    parent_id: str | None
    meta_utility: float | None
    interval: Sequence[float] | None
    accepted: bool
    status: str
    detail: str
    difference: float | None
    difference_interval: Sequence[float] | None
    selection: Selection
    confirmation: Confirmation | None


class HoldoutGain(TypedDict):
    """The final comparison on the tasks that were held out.

    Attributes:
        difference: mean of best minus first improver, as a share of the range of scores.
        interval: of `difference`, 95 %, over repetitions.
        repetitions: of each task, of both improvers.
        tasks: their names.
    """

    difference: float
    interval: Sequence[float] | None
    repetitions: int
    tasks: Sequence[str]


class Gain(HoldoutGain):
    """The final comparison: the best improver against the first, on fresh cells.

    Attributes:
        difference: mean of best minus first improver, as a share of the range of scores.
        interval: of `difference`, 95 %, over repetitions.
        repetitions: of each task, of both improvers.
        tasks: their names.
        holdout: the same on the tasks that were held out; null without any.
    """

    holdout: HoldoutGain | None


@dataclass(frozen=True, slots=True)
class BestImprover:
    """The last improver that was confirmed, or the accepted one with the highest meta-utility.

    Attributes:
        program_id: SHA-256 of its bytes.
        meta_utility: its meta-utility, from the final comparison where there is one.
        interval: of `meta_utility`.
        round: in which it came up.
        gain: over the first improver; null where it is not known.
        gain_reason: why it is not known, or why it is of fewer repetitions than asked for; or "".
    """

    program_id: str | None
    meta_utility: float | None
    interval: tuple[float, float] | None
    round: int
    gain: Gain | None
    gain_reason: str


def read_rounds(store: Queries, records: Sequence[RoundRecord]) -> list[Round]:
    """Read the rounds of a run, with their confirmations."""
    found = comparisons(store, "confirmation")
    return [_round(each, found.get(each.round)) for each in records]


def read_best(store: Queries, records: Sequence[RoundRecord], best: RoundRecord) -> BestImprover:
    """Read the best improver of a run, with its gain over the first.

    Args:
        store: of the run.
        records: its rounds.
        best: the best of them.
    """
    first = next((r.improver_id for r in records if r.round == 0), None)
    found = final_comparison(store, best.improver_id, first)
    held_out = final_comparison(store, best.improver_id, first, "holdout")
    if best.improver_id == first:
        reason = "no round brought a better improver than the first"
    elif found is None:
        reason = "the best improver was not compared with the first on fresh cells"
    else:
        reason = found.detail
        if held_out is not None and held_out.detail:
            reason = "; ".join(filter(None, (reason, f"held out: {held_out.detail}")))
    gain = _gain(found) if found else None
    utility, ends = best.meta_utility, best.interval
    if gain is not None and found is not None:
        utility, ends = found.new_mean, found.new_interval
    return BestImprover(
        best.improver_id,
        utility,
        ends,
        best.round,
        None if gain is None else Gain(**gain, holdout=_gain(held_out) if held_out else None),
        reason,
    )


def _gain(found: ComparisonRecord) -> HoldoutGain | None:
    if found.difference is None:
        return None
    return HoldoutGain(
        difference=found.difference,
        interval=found.interval,
        repetitions=found.repetitions,
        tasks=found.tasks,
    )


def _round(record: RoundRecord, found: ComparisonRecord | None) -> Round:
    confirmation = None
    if found is not None:
        confirmation = Confirmation(
            difference=found.difference,
            interval=found.interval,
            p=float(found.p or 0.0),
            repetitions=found.repetitions,
            alpha=float(found.alpha or 0.0),
            decision=found.decision,
        )
    return Round(
        round=record.round,
        improver_id=record.improver_id,
        parent_id=record.parent_id,
        meta_utility=record.meta_utility,
        interval=record.interval,
        accepted=record.accepted,
        status=record.status,
        detail=record.detail,
        difference=found.difference if found else None,
        difference_interval=found.interval if found else None,
        selection=Selection(meta_utility=record.selection, candidates=record.candidates),
        confirmation=confirmation,
    )


def gain_words(gain: Gain | None, reason: str) -> str:
    """The gain of the best improver over the first as people read it."""
    if gain is None:
        return f"not confirmed: {reason}"
    words = _gain_words(gain)
    if gain["holdout"] is not None:
        words += f"; held out: {_gain_words(gain['holdout'])}"
    return f"{words} ({reason})" if reason else words


def _gain_words(gain: HoldoutGain) -> str:
    return (
        f"{gain['difference']:+.4f} {interval(gain['interval'])} over the first improver, "
        f"{gain['repetitions']} repetitions on fresh cells of {', '.join(gain['tasks'])}"
    )


def row_of(each: Round) -> Sequence[Any]:
    """Returns a round as a row of the table that people read."""
    found, change = each["confirmation"], each["difference"]
    return (
        each["round"] or "seed",
        short(each["improver_id"]),
        number(each["meta_utility"]),
        interval(each["interval"]),
        each["selection"]["candidates"] if each["round"] else "",
        "" if change is None else f"{change:+.4f} {interval(each['difference_interval'])}",
        "" if found is None or change is None else f"{found['p']:.4f}",
        "yes" if each["accepted"] else "no",
        each["detail"][:60] or (each["status"] if each["status"] != "ok" else ""),
    )
