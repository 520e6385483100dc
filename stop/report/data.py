"""What a report says, as plain data: gathered from a run's folder, then rendered.

Every text in here may have been written by a program or a model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from stop.report.diffs import Change
from stop.report.highlight import Piece

Tone = Literal["good", "open", "bad", "calm"]
"""good: a gain that is distinguishable from noise. open: not known. bad: worse, or an attempt."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A mean, or a rate, with its 95 % interval; without ends where there is none."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Gain:
    """From what the run began with to its best.

    Attributes:
        before, after: meta-utilities, or scores of a program.
        difference: paired on the same instances; None where it cannot be computed.
        p: two-sided, of the paired t-test.
        over: what varied: "repetitions" or "instances".
        pairs: so many.
        tasks: so many of them.
        repetitions: of each task, the fewest.
    """

    before: Measure
    after: Measure
    difference: Measure | None = None
    p: float | None = None
    over: str = ""
    pairs: int = 0
    tasks: int = 0
    repetitions: int = 0

    @property
    def clear(self) -> bool:
        """Whether the interval of the difference leaves 0 out, above it."""
        ends = self.difference
        return ends is not None and ends.low is not None and ends.low > 0


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure of the first screen."""

    label: str
    value: str
    note: str = ""
    tone: Tone = "calm"


@dataclass(frozen=True, slots=True)
class Story:
    """The result in words."""

    headline: str
    tone: Tone
    lead: tuple[str, ...]
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of a chart with intervals.

    Attributes:
        label: what it is.
        kind: "accepted", "rejected", "failed", "plain", or "rate" (0 to 1).
        measure: None: there is no score.
        note: shown by a pointer that rests on it.
    """

    label: str
    kind: str
    measure: Measure | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A plain table; `numeric` are columns to be aligned as numbers."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Round:
    """A round with its candidate. `program_id` is None when none came of it."""

    number: int
    program_id: str | None
    score: Measure | None
    difference: Measure | None
    outcome: str
    accepted: bool
    best: bool
    level: int
    detail: str


DiffLine = tuple[Change, tuple[Piece, ...]]


@dataclass(frozen=True, slots=True)
class Diff:
    """Changed places with their surroundings, coloured; `lines` are all that are shown."""

    hunks: tuple[tuple[DiffLine, ...], ...]
    added: int
    removed: int
    cut: bool = False

    @property
    def lines(self) -> int:
        return sum(map(len, self.hunks))


@dataclass(frozen=True, slots=True)
class Step:
    """An accepted change on the way from the seed improver to the best.

    Attributes:
        title: "Round 3".
        origin: which response its text came from.
        share: of the whole gain, 0 to 1; None where that says nothing.
        says: the first line of the program's docstring: its own words.
        answer: what the model wrote, if its text came from an answer that is known.
    """

    title: str
    parent_id: str
    program_id: str
    before: Measure
    after: Measure
    difference: Measure | None
    origin: str
    diff: Diff
    share: float | None = None
    says: str = ""
    answer: str = ""
    text: tuple[tuple[Piece, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Deed:
    """What one program has to do with one topic.

    Attributes:
        what: in words.
        how: "tried", "intended" or "unannounced".
        text: lines of its source that show it.
        seen: what was seen at run time.
        effect: what came of it.
        inherited: the program it was made from has the same.
    """

    level: int
    what: str
    how: str
    text: tuple[str, ...]
    seen: tuple[str, ...]
    effect: str
    inherited: bool


@dataclass(frozen=True, slots=True)
class Suspect:
    """A program with security events: where it came from, what it did, what came of it."""

    program_id: str
    level: int
    origin: str
    fate: str
    deeds: tuple[Deed, ...]


@dataclass(frozen=True, slots=True)
class Security:
    """Security events of the run. `left_out` programs are counted, not listed."""

    suspects: tuple[Suspect, ...]
    left_out: int
    programs: int
    by_level: dict[int, int]
    policy: str


@dataclass(frozen=True, slots=True)
class Log:
    """The audit log: `ok` is None where there is none."""

    ok: bool | None
    text: str
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Costs:
    """`asked` are the models; `served` says whether any of them had a server."""

    asked: tuple[tuple[str, str], ...]
    served: bool
    levels: Table
    models: Table
    budget: Table | None
    faults: Table | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """A program in the list that is read without JavaScript."""

    program_id: str
    label: str
    score: str
    status: str
    level: int
    accepted: bool


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs that are in the file.

    Attributes:
        nodes: as the script takes them, see `programs.py`.
        roots: what the tree begins with.
        groups: programs that are opened on demand, below an improver or at the top.
        texts: by program id.
        listed: without JavaScript.
        left_out: what is not in the file, in words; "" when everything is.
    """

    nodes: tuple[dict[str, Any], ...]
    roots: tuple[str, ...]
    groups: tuple[dict[str, Any], ...]
    texts: dict[str, str]
    listed: tuple[Listed, ...]
    left_out: str
    focus: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a report says."""

    name: str
    kind: str
    status: str
    made: str
    version: str
    story: Story
    bars: tuple[Bar, ...]
    scale: str
    rounds: tuple[Round, ...]
    steps: tuple[Step, ...]
    steps_text: str
    programs: Programs
    costs: Costs
    security: Security
    log: Log
    setup: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    commands: tuple[tuple[str, str], ...]
    tables: tuple[tuple[str, Table], ...] = field(default=())
    notes: tuple[str, ...] = ()
