"""Who tried what in a run: evidence by program, with the model and the round that brought it in.

Programs are counted, never calls: one that tries a thousand times is one. What a program has from
the program it was made from counts where it came in, and is marked as inherited further down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stop._util.documents import extended, to_document
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


@dataclass(frozen=True, slots=True)
class Attempt(Evidence):
    """Evidence on one program and one topic, and where the program came from.

    Attributes:
        model: of the responses that its improver run was given; as in a row.
        round: in which the program, or the improver that made it, came up; null outside of rounds.
        kind: "improver" or "solution".
        inherited: whether the program that it was made from shows the same.
    """

    model: str
    round: int | None
    kind: str
    inherited: bool


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
class Summary:
    """Which programs of a run tried what. Programs are counted, not calls.

    Attributes:
        programs: number of distinct programs of the run, also of those that were never executed.
        by_level: number of programs by the highest level of their events, 1 to 3.
        rows: programs of one origin with evidence of one sort.
        attempts: evidence by program and topic, the highest level first.
        quarantined: program ids.
    """

    programs: int
    by_level: dict[int, int]
    rows: tuple[Row, ...]
    attempts: tuple[Attempt, ...]
    quarantined: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As in the machine-readable output."""
        return to_document(self)


def summarize(store: Store, lines: Iterable[Mapping[str, Any]], *, sampled_by: str) -> Summary:
    """The attempts of a run.

    Args:
        store: of the run.
        lines: of its audit log, of the kinds `SUMMARIZED`.
        sampled_by: the model that the samples of a bypass measurement came from.
    """
    lines = list(lines)
    evidence = join(line for line in lines if line["kind"] == "security")
    barred = dict.fromkeys(line["program_id"] for line in lines if line["kind"] != "security")
    origins = _Origins(store, sampled_by, evidence)
    attempts = tuple(map(origins.attempt, evidence))
    highest: dict[str, int] = {}
    for each in attempts:
        highest[each.program_id] = max(int(each.level), highest.get(each.program_id, 0))
    counts = Counter(highest.values())
    by_level = {level: counts[level] for level in (1, 2, 3)}
    rows = tuple(_rows(attempts))
    return Summary(store.count_programs(), by_level, rows, attempts, tuple(barred))


def _rows(attempts: Iterable[Attempt]) -> list[Row]:
    counts: dict[tuple[Any, ...], list[int]] = {}
    for each in attempts:
        key = (each.model, each.round, each.topic, int(each.level), each.join)
        counts.setdefault(key, [0, 0])[each.inherited] += 1
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
        return extended(
            Attempt,
            evidence,
            model=self._model(program, maker),
            round=self._round(program, maker),
            kind=self._store.kind_of(program),
            inherited=self._inherits(parent, evidence),
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
