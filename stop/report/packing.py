"""The collected programs as the report's script takes them, with the texts of as many as fit.

Those of the path to the best and of the rounds' candidates come first, then programs with security
events, then the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stop.audit.evidence import Evidence
from stop.lineage import Lineage, Origin
from stop.report.data import Listed, Programs
from stop.report.programs import Entry, Shelf
from stop.report.scores import Scored, evaluations, made_by
from stop.report.text import one_line, readable
from stop.report.words import effect, topic
from stop.report.words import number as score_words
from stop.store import Store

MAX_LISTED = 200
MAX_ORIGINS = 200
TEXT_BUDGET, DETAIL_BUDGET = 5 << 20, 5 << 19
"""Characters of all texts, and of what else is said of programs, as they are in the file."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What was found out before, for all programs."""

    evidence: Mapping[str, Sequence[Evidence]]
    fates: Mapping[str, str]
    best: str | None
    roots: Mapping[str, str]


def pack(store: Store, lineage: Lineage, shelf: Shelf, known: Knowledge) -> Programs:
    """The collected programs with their texts, as many as fit."""
    entries = sorted(shelf.entries.values(), key=lambda entry: entry.weight)
    for entry in entries:
        if entry.program_id in known.evidence:
            gravest = max(int(each.level) for each in known.evidence[entry.program_id])
            entry.level = max(entry.level, gravest)
            entry.weight = min(entry.weight, 2)
    texts: dict[str, str] = {}
    room = TEXT_BUDGET
    for entry in sorted(entries, key=lambda entry: entry.weight):
        text = readable(store.program(entry.program_id).source)
        size = escaped_size(text)
        if size <= room:
            texts[entry.program_id] = text
            room -= size
    nodes, bare = _within(DETAIL_BUDGET, _nodes(store, lineage, entries, known))
    if bare:
        shelf.left_out.append(f"what {bare:,} programs printed, and details of their scores")
    if len(texts) < len(nodes):
        missing = len(nodes) - len(texts)
        shelf.left_out.append(f"the texts of {missing:,} of {len(nodes):,} programs")
    grouped = {member for group in shelf.groups for member in group.members}
    roots = [
        e.program_id
        for e in entries
        if (e.parent is None or e.parent not in shelf.entries) and e.program_id not in grouped
    ]
    groups = [
        {"owner": g.owner, "label": one_line(g.label), "members": g.members, "count": g.count}
        for g in shelf.groups
    ]
    listed = [entry for entry in entries if entry.weight < 5 or not known.best]
    return Programs(
        tuple(nodes),
        tuple(roots),
        tuple(groups),
        texts,
        tuple(_listed(entry, known) for entry in listed[:MAX_LISTED]),
        "; ".join(shelf.left_out),
        known.best or (nodes[0]["id"] if nodes else None),
    )


def escaped_size(value: Any) -> int:
    """How many characters a value takes in the file; see `stop.report.render.data_block`."""
    text = json.dumps(value)
    return len(text) + 5 * sum(map(text.count, "<>&"))


def _within(room: int, nodes: Iterator[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """The nodes, those for which there is no room any more without details; and how many."""
    kept, bare = [], 0
    for node in nodes:
        size = escaped_size(node)
        if size > room:
            bare += 1
            scores = [score | {"detail": "", "output": ""} for score in node["scores"][:3]]
            kept.append(node | {"scores": scores, "evidence": [], "made": []})
            continue
        room -= size
        kept.append(node)
    return kept, bare


def _nodes(
    store: Store, lineage: Lineage, entries: Sequence[Entry], known: Knowledge
) -> Iterator[dict[str, Any]]:
    for number, entry in enumerate(entries):
        program = entry.program_id
        origin = None
        if number < MAX_ORIGINS and entry.parent is not None:
            origin = origin_words(lineage.origin(program))
        yield {
            "id": program,
            "kind": entry.kind,
            "parent": entry.parent,
            "maker": entry.improver,
            "run": one_line(entry.run or ""),
            "task": entry.task and one_line(entry.task),
            "label": _label(entry, known),
            "score": entry.score,
            "interval": entry.interval,
            "status": one_line(entry.status),
            "accepted": entry.accepted or program == known.best,
            "best": program == known.best,
            "level": entry.level,
            "origin": origin,
            "fate": known.fates.get(program, ""),
            "scores": [_score(each) for each in _shortened(evaluations(store, program))],
            "made": _made(store, program) if entry.kind == "improver" else [],
            "evidence": [_evidence(each) for each in known.evidence.get(program, ())],
        }


def _made(store: Store, improver: str) -> list[dict[str, Any]]:
    """What an improver's meta-utility is made of."""
    return [
        {"task": one_line(task), "repetition": repetition, "result": result, "score": score}
        for task, repetition, result, score in made_by(store, improver)
    ]


def _shortened(scored: list[Scored]) -> list[Scored]:
    return scored[:24]


def _score(scored: Scored) -> dict[str, Any]:
    return {
        "task": one_line(scored.task),
        "split": one_line(scored.split),
        "repetition": scored.repetition,
        "score": scored.score,
        "status": one_line(scored.status),
        "detail": one_line(scored.detail),
        "instances": len(scored.instances),
        "output": readable(scored.output, limit=2000),
    }


def _evidence(evidence: Evidence) -> dict[str, Any]:
    return {
        "level": int(evidence.level),
        "topic": one_line(topic(evidence.topic)),
        "how": evidence.join,
        "text": [one_line(each) for each in evidence.text[:10]],
        "deeds": [one_line(each) for each in evidence.deeds[:10]],
        "effect": effect(evidence.kinds, bool(evidence.deeds)),
    }


def _label(entry: Entry, known: Knowledge) -> str:
    if entry.label:
        return entry.label
    if entry.program_id in known.roots:
        return known.roots[entry.program_id]
    if entry.rounds:
        numbers = ", ".join(map(str, entry.rounds[:4])) + (" …" if len(entry.rounds) > 4 else "")
        return f"round {numbers}" if len(entry.rounds) == 1 else f"rounds {numbers}"
    return ""


def _listed(entry: Entry, known: Knowledge) -> Listed:
    return Listed(
        entry.program_id,
        _label(entry, known) or entry.kind,
        "" if entry.score is None else score_words(entry.score),
        one_line(entry.status),
        entry.level,
        entry.accepted,
    )


def origin_words(origin: Origin) -> str:
    """Which response of a model a text came from."""
    if origin.match == "none":
        return "No recorded answer holds this text: the improver put it together itself."
    where = f"answer {(origin.choice or 0) + 1}, counted from 1, of LM call {origin.lm_call}"
    if origin.match == "exact":
        return f"Exactly as in {where}."
    share = "" if origin.similarity is None else f" ({origin.similarity:.0%} alike)"
    return f"From {where}, edited by the improver{share}."
