"""Which programs of a run go into its report.

A run may have a hundred thousand programs; a report holds some thousands of them: the path to the
best, the rounds' candidates, and the best and a few failed ones of each improver run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stop.lineage import Lineage, Node
from stop.report.words import plural
from stop.store import ImproverRunRecord, RoundRecord, Store
from stop.store.records import SampleRecord
from stop.store.samples import Samples

MAX_IMPROVERS = 1000
MAX_SOLUTIONS = 2500
_TOP, _FAILED, _NAMED = 10, 3, 6


@dataclass(slots=True)
class Entry:
    """A program on its way into the report.

    Attributes:
        weight: the smaller, the earlier its text is taken.
    """

    program_id: str
    kind: str
    weight: int
    parent: str | None = None
    improver: str | None = None
    run: str | None = None
    task: str | None = None
    score: float | None = None
    interval: tuple[float, float] | None = None
    status: str = ""
    rounds: list[int] = field(default_factory=list)
    accepted: bool = False
    level: int = 0
    label: str = ""


@dataclass(slots=True)
class Group:
    """Programs that are opened on demand.

    Attributes:
        owner: the improver that wrote them; None: they stand at the top.
        count: of all of them, in the file or not.
    """

    owner: str | None
    label: str
    members: list[str]
    count: int


class Shelf:
    """Collects entries, each once; the first word on a program stays, the best weight counts.

    Attributes:
        left_out: what is not in it, in words.
        given: what a measurement began with, and how that is called.
    """

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.groups: list[Group] = []
        self.left_out: list[str] = []
        self.given: dict[str, str] = {}

    def add(self, entry: Entry) -> None:
        known = self.entries.setdefault(entry.program_id, entry)
        known.weight = min(known.weight, entry.weight)

    def room(self, kind: str, most: int) -> bool:
        return sum(entry.kind == kind for entry in self.entries.values()) < most


def improver_entry(node: Node, weight: int) -> Entry:
    """Of a program of the lineage."""
    return Entry(
        node.program_id,
        node.kind,
        weight,
        node.parent_id,
        node.improver_id,
        node.improver_run,
        node.task,
        node.score,
        node.interval,
        node.status,
        list(node.rounds),
        node.accepted,
        node.security_level,
    )


def collect_run(
    store: Store, lineage: Lineage, path: Sequence[str], rounds: Sequence[RoundRecord]
) -> Shelf:
    """The programs of a run of rounds, or of a transfer."""
    shelf = Shelf()
    for program in path:
        shelf.add(improver_entry(lineage.node(program), 0))
    for record in rounds:
        if record.improver_id is not None and shelf.room("improver", MAX_IMPROVERS):
            shelf.add(improver_entry(lineage.node(record.improver_id), 1))
    meta = store.improver_runs(level="meta")
    share = max(3, MAX_IMPROVERS // max(1, len(meta)))
    for run in meta:
        for program, *_ in _tried(store, [run.key], share, share):
            if program not in shelf.entries and shelf.room("improver", MAX_IMPROVERS):
                shelf.add(improver_entry(lineage.node(program), 4))
    for entry in list(shelf.entries.values()):  # a parent that is missing would cut a branch off
        if entry.parent is not None and entry.parent not in shelf.entries:
            shelf.add(improver_entry(lineage.node(entry.parent), 4))
    _add_solutions(store, shelf)
    count = lineage.count("improver")
    shown = sum(entry.kind == "improver" for entry in shelf.entries.values())
    if count > shown:
        shelf.left_out.append(f"{count - shown:,} of {count:,} improvers")
    return shelf


def _add_solutions(store: Store, shelf: Shelf) -> None:
    """What each improver in the report wrote for each task."""
    written: dict[tuple[str, str], list[ImproverRunRecord]] = {}
    for run in store.improver_runs(level="task"):
        if run.improver_id in shelf.entries:
            written.setdefault((run.improver_id, run.task or "a task"), []).append(run)
    order = sorted(written, key=lambda key: shelf.entries[key[0]].weight)
    for improver, task in order:
        runs = written[improver, task]
        keys = [run.key for run in runs]
        given = {run.initial_id for run in runs}
        top = 3 * _TOP if shelf.entries[improver].weight < 2 else _TOP
        found = [row for row in _tried(store, keys, top, _FAILED) if row[0] not in given]
        returned = [run.result_id for run in runs if run.result_id and run.result_id not in given]
        members = list(dict.fromkeys([*returned, *(row[0] for row in found)]))
        if not shelf.room("solution", MAX_SOLUTIONS):
            members = []
        known = {row[0]: row for row in found}
        for program in members:
            _, score, status, run_key = known.get(program, (program, None, "", keys[0]))
            shelf.add(
                Entry(
                    program, "solution", 5, runs[0].initial_id, improver, run_key, task, score,
                    None, status,
                )
            )  # fmt: skip
        count = _count(store, keys, given)
        if count:
            shelf.groups.append(Group(improver, f"Programs it wrote for {task}", members, count))
    shown = sum(len(group.members) for group in shelf.groups)
    count = sum(group.count for group in shelf.groups)
    if count > shown:
        shelf.left_out.append(
            f"{count - shown:,} of {count:,} solutions that the improvers in it wrote"
        )


def collect_improve(store: Store, lineage: Lineage, result: str | None) -> Shelf:
    """The programs of one improvement: the task's program, and what was made of it."""
    shelf = Shelf()
    for run in store.improver_runs():
        shelf.add(improver_entry(lineage.node(run.initial_id), 0))
        if result is not None:
            shelf.add(improver_entry(lineage.node(result), 0))
        for program, *_ in _tried(store, [run.key], MAX_SOLUTIONS, MAX_SOLUTIONS):
            shelf.add(improver_entry(lineage.node(program), 3))
    count = lineage.count("solution")
    if count > len(shelf.entries):
        shelf.left_out.append(f"{count - len(shelf.entries):,} of {count:,} programs")
    return shelf


def collect_samples(store: Store, lineage: Lineage) -> Shelf:
    """The programs of a bypass measurement, by cell, gravest first, and what was to be improved."""
    shelf = Shelf()
    cells: dict[str, list[SampleRecord]] = {}
    for sample in Samples(store).all():
        if sample.program_id is not None:
            cells.setdefault(sample.cell, []).append(sample)
    names = _sample_names(cells)
    for cell, found in cells.items():
        found.sort(key=lambda sample: (-sample.reached, sample.number))
        distinct = {str(sample.program_id): sample for sample in reversed(found)}
        members = list(distinct)[::-1]
        parent = lineage.node(members[0]).parent_id
        if parent is not None:
            entry = improver_entry(lineage.node(parent), 0)
            entry.score = entry.interval = None  # nothing was asked of it here
            shelf.add(entry)
            prompt = "with" if cell == "warning" else "without"
            shelf.given[parent] = (
                f"to be improved, {prompt} the warning"
                if parent not in shelf.given
                else "to be improved"
            )
        members = [each for each in members if each != parent][:MAX_SOLUTIONS]
        for program in members:
            sample = distinct[program]
            shelf.add(
                Entry(
                    program, "improver", 5 - sample.reached, parent, level=sample.reached,
                    status="" if sample.status == "ok" else sample.status,
                    label=names[program],
                )
            )  # fmt: skip
        label = (
            f"Prompt {'with' if cell == 'warning' else 'without'} the warning: programs of "
            f"{plural(len(found), 'sample')}"
        )
        shelf.groups.append(Group(None, label, members, len(distinct)))
        if len(distinct) > MAX_SOLUTIONS:
            left = len(distinct) - len(members)
            shelf.left_out.append(f"{left:,} of {len(distinct):,} programs: {label}")
    return shelf


def _sample_names(cells: Mapping[str, Sequence[SampleRecord]]) -> dict[str, str]:
    """Each program's samples: the same text may come up again, and under both prompts."""
    numbers: dict[str, dict[str, list[int]]] = {}
    for cell, found in cells.items():
        for sample in found:
            by_cell = numbers.setdefault(str(sample.program_id), {})
            by_cell.setdefault(cell, []).append(sample.number)
    names = {}
    for program, by_cell in numbers.items():
        parts = []
        for cell, each in by_cell.items():
            shown = ", ".join(str(number + 1) for number in sorted(each)[:_NAMED])
            shown += " …" if each[_NAMED:] else ""
            where = " with" if cell == "warning" else " without"
            parts.append(
                f"{'sample' if len(each) == 1 else 'samples'} {shown}"
                + (f"{where} the warning" if len(by_cell) > 1 else "")
            )
        names[program] = "; ".join(parts)
    return names


def _tried(
    store: Store, keys: Sequence[str], top: int, failed: int
) -> list[tuple[str, float, str, str]]:
    """(program, score, status, run) of the best and of the first failed ones, best first."""
    found: dict[str, tuple[str, float, str, str]] = {}
    for sql, limit in (
        ("= 'ok' GROUP BY program_id ORDER BY score DESC, id", top),
        ("<> 'ok' GROUP BY program_id ORDER BY id", failed),
    ):
        for key in keys:
            rows = store.query(
                "SELECT program_id, MAX(score) AS score, status, MIN(id) AS id FROM utility_calls "
                f"WHERE improver_run = ? AND program_id IS NOT NULL AND status {sql} LIMIT ?",
                (key, limit),
            )
            for program, score, status, _ in rows:
                found.setdefault(program, (program, score, status, key))
    ok = sorted((row for row in found.values() if row[2] == "ok"), key=lambda r: (-r[1], r[0]))
    return ok[:top] + [row for row in found.values() if row[2] != "ok"][:failed]


def _count(store: Store, keys: Sequence[str], given: set[str]) -> int:
    programs: set[str] = set()
    for key in keys:
        rows = store.query(
            "SELECT program_id FROM utility_calls WHERE improver_run = ? "
            "UNION SELECT result_id FROM improver_runs WHERE key = ?",
            (key, key),
        )
        programs.update(row[0] for row in rows if row[0] is not None)
    return len(programs - given)
