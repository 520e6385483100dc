"""The collected programs as the report's script reads them, with the texts of as many as fit.

Those of the path to the best and of the rounds' candidates come first, then programs with security
events, then the others. Programs of a run have most of their lines in common: each distinct line
is in the file once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from stop.engine import cells
from stop.report import conduct, highlight
from stop.report.context import Context
from stop.report.data import Programs
from stop.report.programs import Entry, Shelf
from stop.report.scores import instance_scores, made_by
from stop.report.text import one_line, readable
from stop.report.words import ends, number, origin_words
from stop.store import Store

MAX_LISTED = 200
MAX_ORIGINS = 200
TEXT_BUDGET, DETAIL_BUDGET = 5 << 20, 5 << 19
"""Characters of all texts, and of what else is said of programs, as they are in the file."""
COLOURED = 3 << 19
"""Characters of the texts whose colours are looked for; lines that others have too get theirs."""
_SCORES, _OUTPUT, _LINES, _WIDTH = 24, 2000, 10, 300


def pack(
    run: Context, shelf: Shelf, best: str | None = None, roots: Mapping[str, str] | None = None
) -> Programs:
    """Packs the collected programs with their texts, as many as fit.

    Args:
        run: whose programs they are.
        shelf: the programs.
        best: id of the best one.
        roots: labels of the programs that the run began with, by id.
    """
    entries = sorted(shelf.entries.values(), key=lambda entry: entry.weight)
    for entry in entries:
        if entry.node.program_id in run.attempts:
            entry.weight = min(entry.weight, 2)
    texts = _Texts()
    for entry in sorted(entries, key=lambda entry: entry.weight):
        texts.add(entry.node.program_id, run.store.program(entry.node.program_id).source)
    nodes, bare = _within(DETAIL_BUDGET, _nodes(run, entries, best, roots or {}))
    if bare:
        shelf.left_out.append(f"what {bare:,} programs printed, and details of their scores")
    shelf.miss(len(nodes) - len(texts.numbers), len(nodes), "programs' texts")
    grouped = {member for group in shelf.groups for member in group.members}
    listed = [
        node for entry, node in zip(entries, nodes, strict=True) if entry.weight < 5 or best is None
    ]
    return Programs(
        nodes=tuple(nodes),
        roots=tuple(
            node["id"]
            for node in nodes
            if node["parent"] not in shelf.entries and node["id"] not in grouped
        ),
        groups=tuple(asdict(group) | {"label": one_line(group.label)} for group in shelf.groups),
        lines=tuple(line for line, _ in texts.lines),
        marks=tuple(marks for _, marks in texts.lines),
        texts=texts.numbers,
        listed=tuple(listed[:MAX_LISTED]),
        left_out="; ".join(shelf.left_out),
        focus=best or (nodes[0]["id"] if nodes else None),
    )


class _Texts:
    """Texts as numbers of their lines, while there is room.

    Attributes:
        lines: numbers of the distinct pairs of a line and its colours.
        numbers: of the lines of each text, by program id.
    """

    def __init__(self) -> None:
        self.lines: dict[tuple[str, str], int] = {}
        self.numbers: dict[str, tuple[int, ...]] = {}
        self._seen: dict[str, str] = {}  # the colours that a line had first
        self._room, self._coloured = TEXT_BUDGET, COLOURED

    def add(self, program: str, source: str) -> None:
        text = readable(source)
        lines = text.split("\n")
        self._coloured -= len(text)
        if self._coloured >= 0:
            marks = highlight.marks(text)
        else:
            marks = [self._seen.get(line, "") for line in lines]
        pairs = list(zip(lines, marks, strict=True))
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self.lines]
        size = sum(escaped_size(part) + 1 for pair in new for part in pair)
        size += sum(len(str(self.lines.get(pair, len(self.lines)))) + 1 for pair in pairs)
        if size > self._room:
            return
        self._room -= size
        for pair in new:
            self.lines[pair] = len(self.lines)
            self._seen.setdefault(*pair)
        self.numbers[program] = tuple(self.lines[pair] for pair in pairs)


def escaped_size(value: Any) -> int:
    """Counts the characters of a value in the file; see `stop.report.render.data_block`."""
    text = json.dumps(value)
    return len(text) + 5 * sum(map(text.count, "<>&"))


def _within(room: int, nodes: Iterator[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """The nodes, those for which there is no room without details; and how many these are."""
    kept, bare = [], 0
    for node in nodes:
        size = escaped_size(node)
        if size > room:
            bare += 1
            scores = [score | {"detail": "", "output": ""} for score in node["scores"][:3]]
            kept.append(node | {"scores": scores, "evidence": [], "made": []})
        else:
            room -= size
            kept.append(node)
    return kept, bare


def _nodes(
    run: Context, entries: Sequence[Entry], best: str | None, roots: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    for place, entry in enumerate(entries):
        node = entry.node
        program, attempts = node.program_id, run.attempts.get(node.program_id, ())
        origin = None
        if place < MAX_ORIGINS and node.parent_id is not None:
            origin = origin_words(run.lineage.origin(program))
        yield {
            "id": program,
            "kind": node.kind,
            "parent": node.parent_id,
            "maker": node.improver_id,
            "task": node.task and one_line(node.task),
            "label": entry.label or roots.get(program) or _in_rounds(node.rounds),
            "score": "" if node.score is None else number(node.score),
            "interval": ends(*node.interval or (None, None)),
            "status": one_line(node.status),
            "accepted": node.accepted or program == best,
            "best": program == best,
            "level": max(node.security_level, run.level(program)),
            "origin": origin,
            "fate": conduct.fate(run, program) if attempts else "",
            "scores": _scores(run.store, program),
            "made": _made(run.store, program) if node.kind == "improver" else [],
            "evidence": [asdict(conduct.finding(each, _LINES, _WIDTH)) for each in attempts],
        }


def _scores(store: Store, program: str) -> list[dict[str, Any]]:
    rows = store.query(
        "SELECT task, split, repetition, score, status, detail, instances, stdout, stderr "
        "FROM evaluations WHERE program_id = ? ORDER BY split DESC, task, repetition LIMIT ?",
        (program, _SCORES),
    )
    return [
        {
            "task": one_line(row["task"]),
            "split": one_line(row["split"]),
            "repetition": cells.place(row["repetition"]).words,
            "score": number(row["score"]),
            "status": one_line(row["status"]),
            "detail": one_line(row["detail"]),
            "instances": len(instance_scores(row["instances"])),
            "output": readable(
                "\n".join(f"{s}: {row[s][:_OUTPUT]}" for s in ("stdout", "stderr") if row[s]),
                limit=_OUTPUT,
            ),
        }
        for row in rows
    ]


def _made(store: Store, improver: str) -> list[dict[str, Any]]:
    """What an improver's meta-utility is made of."""
    return [
        {
            "task": one_line(task),
            "repetition": cells.place(each).words,
            "result": result,
            "score": number(score),
        }
        for task, each, result, score in made_by(store, improver)
    ]


def _in_rounds(rounds: Sequence[int]) -> str:
    if not rounds:
        return ""
    numbers = ", ".join(map(str, rounds[:4])) + (" …" if len(rounds) > 4 else "")
    return f"round {numbers}" if len(rounds) == 1 else f"rounds {numbers}"
