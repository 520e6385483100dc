"""Where each program of a run came from: read from its store and audit log.

A program's parent is the initial program of the improver run in which it was first scored or
returned. Programs that failed are part of the lineage too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from stop.store import Store


@dataclass(slots=True)
class Node:
    """One program of the lineage.

    Attributes:
        program_id: SHA-256 of its bytes.
        kind: "improver" or "solution".
        parent_id: the program it was made from; None for what the run began with.
        improver_id: the improver that made it.
        improver_run: in which it first came up.
        task: of a solution.
        score: an improver's meta-utility; a solution's score on the search split.
        interval: 95 %, of an accepted or rejected candidate of a round.
        status: as of an evaluation.
        rounds: in which it was the candidate.
        accepted: whether it became the improver of a round.
        security_level: the gravest security event that it caused; 0 for none.
    """

    program_id: str
    kind: str
    parent_id: str | None = None
    improver_id: str | None = None
    improver_run: str | None = None
    task: str | None = None
    score: float | None = None
    interval: tuple[float, float] | None = None
    status: str = ""
    rounds: list[int] = field(default_factory=list)
    accepted: bool = False
    security_level: int = 0
    security_events: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_lineage(
    store: Store, security_events: Iterable[dict[str, Any]], *, solutions: bool = False
) -> list[Node]:
    """The nodes of a run in the order in which they came up; parents before children.

    Args:
        store: of the run.
        security_events: lines of its audit log.
        solutions: with the solutions, or improvers only.
    """
    nodes: dict[str, Node] = {}
    for run in store.improver_runs():
        if run.level == "task" and not solutions:
            continue
        kind = "improver" if run.level == "meta" else "solution"
        nodes.setdefault(run.initial_id, Node(run.initial_id, kind, task=run.task))
        tried: list[tuple[str | None, float | None, str]] = [*store.utility_calls(run.key)]
        if run.result_id is not None:
            tried.append((run.result_id, None, ""))
        for program, score, status in tried:
            if program is None:
                continue
            node = nodes.setdefault(
                program,
                Node(program, kind, run.initial_id, run.improver_id, run.key, run.task),
            )
            if node.score is None:
                node.score = score
            node.status = node.status or status
    _add_rounds(nodes, store)
    _add_security(nodes, security_events)
    return list(nodes.values())


def _add_rounds(nodes: dict[str, Node], store: Store) -> None:
    for record in store.rounds():
        if record.improver_id is None:
            continue
        node = nodes.setdefault(record.improver_id, Node(record.improver_id, "improver"))
        node.rounds.append(record.round)
        node.accepted = node.accepted or record.accepted
        node.score = record.meta_utility
        node.status = record.status
        if record.low is not None and record.high is not None:
            node.interval = (record.low, record.high)


def _add_security(nodes: dict[str, Node], events: Iterable[dict[str, Any]]) -> None:
    for event in events:
        node = nodes.get(event.get("program_id", ""))
        if node is not None and event["level"] > 0:
            node.security_events += 1
            node.security_level = max(node.security_level, int(event.get("level", 0)))
