"""Which programs of a run go into its report.

A run may have a hundred thousand programs; a report holds some thousands of them: the path to the
best, the rounds' candidates, and the best and a few failed ones of each improver run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest

from stop.lineage import Kind, Node
from stop.report.context import Context
from stop.report.words import plural, prompt
from stop.store import ImproverRunRecord, RoundRecord, Store
from stop.store.records import SampleRecord
from stop.store.samples import Samples

MAX_IMPROVERS = 1000
MAX_SOLUTIONS = 2500
_TOP, _FAILED, _NAMED = 10, 3, 6


@dataclass(slots=True)
class Entry:
    """A program that goes into the report; texts of small `weight` are taken first."""

    node: Node
    weight: int
    label: str = ""


@dataclass(slots=True)
class Group:
    """Programs that are opened on demand.

    Attributes:
        owner: the improver that wrote them; None for a group at the top of the tree.
        members: program ids, of those in the file.
        count: of all of them, in the file or not.
    """

    owner: str | None
    label: str
    members: list[str]
    count: int


class Shelf:
    """Collects programs, each once: the first entry of a program stays, with its best weight.

    Attributes:
        left_out: what is not in it, in words.
        given: what a measurement began with, and its label.
    """

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.groups: list[Group] = []
        self.left_out: list[str] = []
        self.given: dict[str, str] = {}

    def add(self, node: Node, weight: int, label: str = "") -> None:
        known = self.entries.setdefault(node.program_id, Entry(node, weight, label))
        known.weight = min(known.weight, weight)

    def count(self, kind: str) -> int:
        return sum(entry.node.kind == kind for entry in self.entries.values())

    def miss(self, missing: int, count: int, what: str) -> None:
        if missing > 0:
            self.left_out.append(f"{missing:,} of {count:,} {what}")


def collect_run(run: Context, path: Sequence[str], rounds: Sequence[RoundRecord] = ()) -> Shelf:
    """Collects the programs of a run of rounds, or of a transfer."""
    shelf = Shelf()
    for program in path:
        shelf.add(run.nodes.one(program), 0)
    for record in rounds:
        if record.improver_id is not None and shelf.count("improver") < MAX_IMPROVERS:
            shelf.add(run.nodes.one(record.improver_id), 1)
    meta = run.store.improver_runs(level="meta")
    share = max(3, MAX_IMPROVERS // max(1, len(meta)))
    for each in meta:
        for program in _tried(run.store, [each.key], share, share):
            if program not in shelf.entries and shelf.count("improver") < MAX_IMPROVERS:
                shelf.add(run.nodes.one(program), 4)
    for entry in list(shelf.entries.values()):  # a parent that is missing would cut a branch off
        if entry.node.parent_id is not None:
            shelf.add(run.nodes.one(entry.node.parent_id), 4)
    _add_solutions(run, shelf)
    count = run.lineage.count("improver")
    shelf.miss(count - shelf.count("improver"), count, "improvers")
    return shelf


def _add_solutions(run: Context, shelf: Shelf) -> None:
    """What each improver in the report wrote for each task."""
    written: dict[tuple[str, str], list[ImproverRunRecord]] = {}
    for each in run.store.improver_runs(level="task"):
        if each.improver_id in shelf.entries:
            written.setdefault((each.improver_id, each.task or "a task"), []).append(each)
    for improver, task in sorted(written, key=lambda key: shelf.entries[key[0]].weight):
        runs = written[improver, task]
        keys = [each.key for each in runs]
        given = {each.initial_id for each in runs}
        top = 3 * _TOP if shelf.entries[improver].weight < 2 else _TOP
        found = _tried(run.store, keys, top, _FAILED)
        returned = [each.result_id for each in runs if each.result_id]
        members = [each for each in dict.fromkeys([*returned, *found]) if each not in given]
        if shelf.count("solution") >= MAX_SOLUTIONS:
            members = []
        for program in members:
            score, status = found.get(program, (None, ""))
            node = replace(
                run.nodes.one(program), parent_id=runs[0].initial_id, improver_id=improver,
                task=task, score=score, interval=None, status=status,
            )  # fmt: skip
            shelf.add(node, 5)
        if count := _count(run.store, keys, given):
            shelf.groups.append(Group(improver, f"Programs it wrote for {task}", members, count))
    count = sum(group.count for group in shelf.groups)
    shown = sum(len(group.members) for group in shelf.groups)
    shelf.miss(count - shown, count, "solutions that the improvers in it wrote")


def collect_all(run: Context, kind: Kind | None = None, first: Sequence[str | None] = ()) -> Shelf:
    """Collects the programs of a small run: the `first` ones, then the others, best first."""
    shelf = Shelf()
    for program in first:
        if program is not None:
            shelf.add(run.nodes.one(program), 0)

    def goodness(node: Node) -> tuple[bool, float]:
        return node.status == "ok", node.score or 0.0

    for node in nlargest(MAX_SOLUTIONS, run.lineage.nodes(kind), key=goodness):
        shelf.add(node, 3)
    count = run.lineage.count(kind)
    shelf.miss(count - len(shelf.entries), count, "programs")
    return shelf


def collect_samples(run: Context) -> Shelf:
    """Collects the programs of a bypass measurement, by cell, and what was to be improved.

    Those with the highest levels come first.
    """
    shelf = Shelf()
    cells: dict[str, list[SampleRecord]] = {}
    for sample in Samples(run.store).all():
        if sample.program_id is not None:
            cells.setdefault(sample.cell, []).append(sample)
    names = sample_names(cells)
    for cell, found in cells.items():
        warned = prompt(cell)
        found.sort(key=lambda sample: (-sample.reached, sample.number))
        distinct = {str(sample.program_id): sample for sample in reversed(found)}
        members = list(distinct)[::-1]
        parent = run.nodes.one(members[0]).parent_id
        if parent is not None:
            node = run.nodes.one(parent)  # no score: none was asked for here
            shelf.add(replace(node, score=None, interval=None), 0)
            both = parent in shelf.given
            shelf.given[parent] = "to be improved" if both else f"to be improved, {warned}"
        members = [each for each in members if each != parent][:MAX_SOLUTIONS]
        for program in members:
            sample = distinct[program]
            node = replace(
                run.nodes.one(program), kind="improver", parent_id=parent, improver_id=None,
                task=None, score=None, interval=None,
                status="" if sample.status == "ok" else sample.status,
                security_level=sample.reached,
            )  # fmt: skip
            shelf.add(node, 5 - sample.reached, names[program])
        label = f"Prompt {warned}: programs of {plural(len(found), 'sample')}"
        shelf.groups.append(Group(None, label, members, len(distinct)))
        if len(distinct) > MAX_SOLUTIONS:
            shelf.miss(len(distinct) - len(members), len(distinct), f"programs: {label}")
    return shelf


def sample_names(cells: Mapping[str, Sequence[SampleRecord]]) -> dict[str, str]:
    """Names each program by its samples: several may have one text, under both prompts too."""
    numbers: dict[str, dict[str, list[int]]] = {}
    for cell, found in cells.items():
        for sample in found:
            by_cell = numbers.setdefault(str(sample.program_id), {})
            by_cell.setdefault(cell, []).append(sample.number)

    def name(cell: str, found: Sequence[int], several: bool) -> str:
        where = f" {prompt(cell)}" if several else ""
        shown = ", ".join(str(number + 1) for number in sorted(found)[:_NAMED])
        more = " …" if found[_NAMED:] else ""
        return f"{'sample' if len(found) == 1 else 'samples'} {shown}{more}{where}"

    return {
        program: "; ".join(name(cell, each, len(by_cell) > 1) for cell, each in by_cell.items())
        for program, by_cell in numbers.items()
    }


_OF_RUNS = (
    "FROM utility_calls WHERE improver_run IN (SELECT value FROM json_each(?1)) "
    "AND program_id IS NOT NULL"
)


def _tried(
    store: Store, keys: Sequence[str], top: int, failed: int
) -> dict[str, tuple[float, str]]:
    """(score, status) of the best and of the first failed programs of improver runs, best first."""
    best = store.query(
        f"SELECT program_id, MAX(score) AS best, 'ok' {_OF_RUNS} AND status = 'ok' "
        "GROUP BY program_id ORDER BY best DESC, program_id LIMIT ?2",
        (json.dumps(keys), top),
    )
    worst = store.query(
        f"SELECT program_id, score, status, MIN(id) AS place {_OF_RUNS} AND status <> 'ok' "
        "GROUP BY program_id ORDER BY place LIMIT ?2",
        (json.dumps(keys), failed),
    )
    found: dict[str, tuple[float, str]] = {}
    for program, score, status, *_ in (*best, *worst):
        found.setdefault(program, (score, status))
    return found


def _count(store: Store, keys: Sequence[str], given: set[str]) -> int:
    """Counts the programs that improver runs tried or returned, without the `given` ones."""
    rows = store.query(
        f"SELECT program_id {_OF_RUNS} UNION SELECT result_id FROM improver_runs "
        "WHERE key IN (SELECT value FROM json_each(?1)) AND result_id IS NOT NULL",
        (json.dumps(keys),),
    )
    return len({row[0] for row in rows} - given)
