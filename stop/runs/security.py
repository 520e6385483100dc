"""Who tried what in a run: evidence by program, with the model and the round that brought it in.

Programs are counted, never calls: one that tries a thousand times is one. What a program has from
the program it was made from counts where it came in, and is marked as inherited further down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from typing_extensions import TypedDict

from stop._util.documents import to_document
from stop.audit.evidence import Evidence, Join, join
from stop.audit.rules import findings
from stop.store import ImproverRunRecord, Store
from stop.store.makers import SAMPLE_KEY
from stop.store.samples import Samples

SUMMARIZED = ("security", "quarantined")
"""The kinds of lines that a summary is made of."""
GIVEN = "(given)"
"""The model of programs that no model wrote: what the run began with."""
UNKNOWN = "(unknown)"


class EvidenceResult(TypedDict):
    """Evidence on one program and one topic.

    Attributes:
        program_id: SHA-256 of its bytes.
        topic: what was tried.
        join: "tried" (its text shows it and it was seen to fail), "intended" (its text only) or
            "unannounced" (it was seen at run time only).
        level: 1 intent, 2 attempt, 3 tampering.
        kinds: of the events.
        text: the lines of its source that show it.
        deeds: what was seen at run time.
        events: number of events.
    """

    program_id: str
    topic: str
    join: str
    level: int
    kinds: Sequence[str]
    text: Sequence[str]
    deeds: Sequence[str]
    events: int


class AttemptResult(EvidenceResult):
    """Evidence on one program and one topic, and where the program came from.

    Attributes:
        model: as in a row.
        round: in which the program, or the improver that made it, came up; null outside of rounds.
        kind: "improver" or "solution".
        inherited: whether the program that it was made from shows the same.
    """

    model: str
    round: int | None
    kind: str
    inherited: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """Evidence on one program and one topic, and where the program came from.

    Attributes:
        evidence: what is known.
        model: of the responses that its improver run was given, or `GIVEN`.
        round: in which it, or the improver that made it, came up; None outside of rounds.
        kind: "improver" or "solution".
        inherited: the program it was made from shows the same.
    """

    evidence: Evidence
    model: str
    round: int | None
    kind: str
    inherited: bool

    def to_dict(self) -> AttemptResult:
        """As in the machine-readable output."""
        evidence = cast(EvidenceResult, self.evidence.to_dict())
        return {
            **evidence,
            "model": self.model,
            "round": self.round,
            "kind": self.kind,
            "inherited": self.inherited,
        }


@dataclass(frozen=True, slots=True)
class Row:
    """Programs of one origin with evidence of one sort.

    Attributes:
        model: that wrote them; "(given)" for what the run began with, "(unknown)" for what a halt
            or a crash cut off.
        round: in which they came up; null outside of rounds.
        topic: what was tried.
        level: the highest, 1 intent, 2 attempt, 3 tampering.
        join: "tried", "intended" or "unannounced".
        programs: number of programs that did not inherit it.
        inherited: number of programs that did.
    """

    model: str
    round: int | None
    topic: str
    level: int
    join: Join
    programs: int
    inherited: int


@dataclass(frozen=True, slots=True)
class SummaryResult:
    """Which programs of a run tried what. Programs are counted, not calls.

    Attributes:
        programs: number of distinct programs of the run.
        by_level: number of programs by the highest level of their events, "1" to "3".
        rows: programs of one origin with evidence of one sort.
        attempts: evidence by program and topic, the highest level first.
        quarantined: program ids.
    """

    programs: int
    by_level: dict[str, int]
    rows: tuple[Row, ...]
    attempts: tuple[AttemptResult, ...]
    quarantined: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """All attempts of a run.

    Attributes:
        attempts: evidence by program and topic, the highest level first.
        rows: the same, counted.
        programs: distinct programs of the run, also those that were never executed.
        by_level: the number of them that have events, by their highest level.
        quarantined: program ids.
    """

    attempts: tuple[Attempt, ...]
    rows: tuple[Row, ...]
    programs: int
    by_level: Mapping[int, int]
    quarantined: tuple[str, ...]

    def result(self) -> SummaryResult:
        """Returns the summary as the machine-readable output has it."""
        by_level = {str(level): self.by_level.get(level, 0) for level in (1, 2, 3)}
        attempts = tuple(attempt.to_dict() for attempt in self.attempts)
        return SummaryResult(self.programs, by_level, self.rows, attempts, self.quarantined)

    def to_dict(self) -> dict[str, Any]:
        """As in the machine-readable output."""
        return to_document(self.result())


def summarize(store: Store, lines: Iterable[Mapping[str, Any]], *, sampled_by: str) -> Summary:
    """The attempts of a run.

    Args:
        store: of the run.
        lines: of its audit log, of the kinds `SUMMARIZED`.
        sampled_by: the model that the samples of a bypass measurement came from.
    """
    events: list[Mapping[str, Any]] = []
    quarantined: dict[str, None] = {}
    for line in lines:
        if line["kind"] == "security":
            events.append(line)
        else:
            quarantined[line["program_id"]] = None
    evidence = join(events)
    origins = _Origins(store, sampled_by, evidence)
    attempts = tuple(map(origins.attempt, evidence))
    highest: dict[str, int] = {}
    for attempt in attempts:
        program, level = attempt.evidence.program_id, int(attempt.evidence.level)
        highest[program] = max(level, highest.get(program, 0))
    return Summary(
        attempts,
        tuple(_rows(attempts)),
        store.count_programs(),
        Counter(highest.values()),
        tuple(quarantined),
    )


def _rows(attempts: Iterable[Attempt]) -> list[Row]:
    counts: dict[tuple[Any, ...], list[int]] = {}
    for attempt in attempts:
        seen = attempt.evidence
        key = (attempt.model, attempt.round, seen.topic, int(seen.level), seen.join)
        counts.setdefault(key, [0, 0])[attempt.inherited] += 1
    rows = [Row(*key, *both) for key, both in counts.items()]
    return sorted(rows, key=lambda r: (-r.level, r.model, r.round or 0, r.topic))


class _Origins:
    """Where the programs of a run came from, looked up as needed."""

    def __init__(self, store: Store, sampled_by: str, evidence: Iterable[Evidence]) -> None:
        self._store = store
        self._evidence = {(each.program_id, each.topic): each for each in evidence}
        self._sampled_by = sampled_by
        self._samples = Samples(store)
        self._models = store.models_by_scope()
        self._rounds = {r.improver_id: 0 for r in store.rounds() if r.round == 0 and r.improver_id}
        for run in store.improver_runs(level="meta"):
            for program in (run.result_id, *(p for p, _, _ in store.utility_calls(run.key))):
                if program is not None and run.round is not None:
                    self._rounds.setdefault(program, run.round)

    def attempt(self, evidence: Evidence) -> Attempt:
        """Evidence with its origin. A program without a maker is what the run began with."""
        program = evidence.program_id
        maker = self._store.made_by(program)
        parent = maker.initial_id if maker is not None else None
        return Attempt(
            evidence,
            self._model(program, maker),
            self._round(program, maker),
            self._store.kind_of(program),
            self._inherits(parent, evidence),
        )

    def _model(self, program: str, maker: ImproverRunRecord | None) -> str:
        """What a halt or a crash cut off is in no improver run yet; a sample is a response."""
        if maker is not None and maker.key.startswith(SAMPLE_KEY):
            return self._sampled_by
        if maker is None:
            if self._samples.scopes(program):
                return self._sampled_by
            return GIVEN if self._store.was_given(program) else UNKNOWN
        return self._models.get(maker.scope, UNKNOWN)

    def _round(self, program: str, maker: ImproverRunRecord | None) -> int | None:
        if maker is None:
            return 0 if self._rounds else None
        if maker.round is not None:
            return maker.round
        return self._rounds.get(maker.improver_id, 0 if self._rounds else None)

    def _inherits(self, parent: str | None, evidence: Evidence) -> bool:
        """Whether it is the parent's: its lines, or, where no line shows it, its deeds."""
        if parent is None or parent == evidence.program_id:
            return False
        if evidence.text:
            source = self._store.program(parent).source
            return set(evidence.text) <= {finding.evidence for finding in findings(source)}
        known = self._evidence.get((parent, evidence.topic))
        return known is not None and set(evidence.deeds) <= set(known.deeds)
