"""The programs of a run as nodes of its lineage, by query."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from stop.errors import RunError
from stop.lineage.security import SecurityCounts
from stop.store import RoundRecord
from stop.store.makers import FIRST_CALL, MAKER, SAMPLE_KEY
from stop.store.queries import Queries

Kind = Literal["improver", "solution"]

_PAGE = 500
_MAX_KNOWN = 100_000

_SELECT = f"""
SELECT p.rowid AS place, p.id AS program_id, p.kind, r.initial_id AS parent_id, r.improver_id,
    r.key AS improver_run, u.score, COALESCE(u.status, '') AS status,
    CASE WHEN r.key IS NOT NULL THEN r.task
        ELSE (SELECT task FROM improver_runs WHERE initial_id = p.id ORDER BY rowid LIMIT 1)
    END AS task
FROM programs p LEFT JOIN improver_runs r ON r.key = {MAKER}
LEFT JOIN utility_calls u ON u.id = {FIRST_CALL}
"""

_MADE_FROM = f"""
SELECT program_id FROM utility_calls WHERE improver_run IN
    (SELECT key FROM improver_runs WHERE initial_id = :id)
UNION SELECT result_id FROM improver_runs WHERE initial_id = :id
UNION SELECT program_id FROM samples WHERE '{SAMPLE_KEY}' || cell IN
    (SELECT key FROM improver_runs WHERE initial_id = :id)
"""


@dataclass(frozen=True, slots=True)
class Node:
    """One program of the lineage.

    Attributes:
        program_id: SHA-256 of its bytes, 64 hex digits.
        kind: "improver" or "solution".
        parent_id: the program that it was made from; None for what the run began with.
        improver_id: the improver that made it; None likewise.
        improver_run: the key of the improver run in which it first came up; None likewise.
        task: the task of a solution; None for improvers.
        score: an improver's meta-utility; a solution's first score on the search split; or None.
        interval: the 95 % interval of a round's candidate; None for others.
        status: as of an evaluation; "" when no score of it was asked for.
        rounds: the rounds whose candidate it was; 0 is the improver to begin with.
        accepted: whether it became the improver of a round.
        security_level: the highest level of the security events that it caused; 0 without any.
        security_events: the number of those events, above level 0.
        generation: steps from what the run began with.
    """

    program_id: str
    kind: str
    parent_id: str | None
    improver_id: str | None
    improver_run: str | None
    task: str | None
    score: float | None
    interval: tuple[float, float] | None
    status: str
    rounds: tuple[int, ...]
    accepted: bool
    security_level: int
    security_events: int
    generation: int

    def to_dict(self) -> dict[str, Any]:
        """The fields as in the machine-readable output."""
        interval = None if self.interval is None else list(self.interval)
        return asdict(self) | {"interval": interval, "rounds": list(self.rounds)}


class Nodes:
    """Reads nodes from one open store.

    Args:
        store: of the run.
        security: counts of what its programs tried.
    """

    def __init__(self, store: Queries, security: SecurityCounts) -> None:
        self._store = store
        self._security = security
        self._rounds: dict[str, list[RoundRecord]] = {}
        for record in store.rounds():
            if record.improver_id is not None:
                self._rounds.setdefault(record.improver_id, []).append(record)
        self._generations: dict[str, int] = {}
        security.refresh()

    def all(self, kind: Kind | None, limit: int | None, offset: int) -> Iterator[Node]:
        """See `Lineage.nodes`. Page by page, so that no query stays open while the caller works."""
        where = "1" if kind is None else "kind = :kind"
        last, left = -1, limit
        while left != 0:
            size = _PAGE if left is None else min(_PAGE, left)
            rows = self._store.query(
                f"{_SELECT} WHERE p.rowid IN (SELECT rowid FROM programs WHERE {where} "
                "AND rowid > :last ORDER BY rowid LIMIT :size OFFSET :offset) ORDER BY p.rowid",
                {"kind": kind, "last": last, "size": size, "offset": max(offset, 0)},
            ).fetchall()
            yield from map(self._node, rows)
            if len(rows) < size:
                return
            left = None if left is None else left - size
            last, offset = rows[-1]["place"], 0

    def one(self, program_id: str) -> Node:
        """The node with this whole id; `RunError` when there is none."""
        row = self._store.query(f"{_SELECT} WHERE p.id = ?", (program_id,)).fetchone()
        if row is None:
            raise RunError(f"no program of this run has the id {program_id!r}")
        return self._node(row)

    def children(self, program_id: str, limit: int | None) -> list[Node]:
        """See `Lineage.children`; by whole id."""
        rows = self._store.query(
            f"{_SELECT} WHERE p.id IN ({_MADE_FROM}) AND r.initial_id = :id "
            "ORDER BY p.rowid LIMIT :limit",
            {"id": program_id, "limit": -1 if limit is None else limit},
        )
        return [self._node(row) for row in rows]

    def ancestors(self, program_id: str) -> Iterator[Node]:
        """The nodes from the parent on. It ends: parents are older than their children."""
        node = self.one(program_id)
        while node.parent_id is not None:
            node = self.one(node.parent_id)
            yield node

    def _node(self, row: sqlite3.Row) -> Node:
        program, parent = row["program_id"], row["parent_id"]
        score, status, interval = row["score"], row["status"], None
        records = self._rounds.get(program, [])
        for record in records:
            status = record.status
            if record.meta_utility is not None:
                score, interval = record.meta_utility, None
            if record.low is not None and record.high is not None:
                interval = (record.low, record.high)
        events, level = self._security.of(program)
        return Node(
            program_id=program,
            kind=row["kind"],
            parent_id=parent,
            improver_id=row["improver_id"],
            improver_run=row["improver_run"],
            task=row["task"],
            score=score,
            interval=interval,
            status=status,
            rounds=tuple(record.round for record in records),
            accepted=any(record.accepted for record in records),
            security_level=level,
            security_events=events,
            generation=0 if parent is None else self._generation(parent) + 1,
        )

    def _generation(self, program_id: str) -> int:
        """Walks up to a known generation; what it passes is known from then on."""
        passed: list[str] = []
        at: str | None = program_id
        while at is not None and at not in self._generations:
            passed.append(at)
            maker = self._store.made_by(at)
            at = None if maker is None else maker.initial_id
        if len(self._generations) + len(passed) > _MAX_KNOWN:
            self._generations = {} if at is None else {at: self._generations[at]}
        generation = -1 if at is None else self._generations[at]
        for each in reversed(passed):
            generation += 1
            self._generations[each] = generation
        return generation
