"""What a report says, as plain data: gathered from a run's folder, then rendered.

Every text in here may have been written by a program or a model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Tone = Literal["good", "open", "bad", "calm"]
"""good: a gain that is not noise; open: not known; bad: no gain, or an attempt; calm: plain."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A mean or a rate with its 95 % interval; the ends are None where there is no interval."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Gain:
    """The difference between the program that a run began with and its best.

    Attributes:
        before, after: meta-utilities of improvers, or scores of solutions.
        difference: after minus before, paired on the same instances; None where the two have none
            in common.
        p: two-sided, of the paired t-test; None where the interval alone decides.
        over: what varied, "repetitions" or "instances".
        pairs: how many of them were compared.
        tasks: how many of them were compared.
        repetitions: of the task that has the fewest.
    """

    before: Measure
    after: Measure
    difference: Measure | None = None
    p: float | None = None
    over: str = ""
    pairs: int = 0
    tasks: int = 0
    repetitions: int = 0


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure on the first screen."""

    label: str
    value: str
    note: str = ""
    tone: Tone = "calm"


@dataclass(frozen=True, slots=True)
class Story:
    """The result in words, with its figure; `more` paragraphs follow those of all reports."""

    headline: str
    tone: Tone
    tile: Tile
    lead: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bar:
    """A mark of a chart with its interval.

    Attributes:
        kind: "accepted", "rejected", "failed", "plain", or "rate" (0 to 1).
        measure: None without a score.
        note: shown when a pointer rests on it.
    """

    label: str
    kind: str
    measure: Measure | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A plain table; the columns in `numeric`, counted from 0, are aligned as numbers."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Round:
    """A round with its candidate; `program_id` is None when there was no candidate.

    `difference` is of its confirmation, and `test` says the same of its p-value.
    """

    number: int
    program_id: str | None
    score: Measure | None
    difference: Measure | None
    outcome: str
    accepted: bool
    best: bool
    level: int
    detail: str
    test: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """An accepted change on the way from the first program to the best.

    Attributes:
        title: such as "Round 3".
        origin: a sentence on the response that its text came from.
        diff: lines of a unified diff, for readers without JavaScript.
        cut: whether the diff goes on.
        text: the program after the step.
        says: the first line of the program's docstring.
        answer: the response that the text came from; "" where it is not known.
    """

    title: str
    parent_id: str
    program_id: str
    gain: Gain | None
    origin: str
    diff: tuple[str, ...]
    cut: bool
    text: str
    says: str = ""
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """The evidence on one program and one topic, in words.

    Attributes:
        how: whether it was seen in the text, at run time, or in both.
        text: lines of the program that show it.
        seen: what was seen at run time.
        inherited: whether the program that it was made from has the same.
    """

    level: int
    what: str
    how: str
    text: tuple[str, ...]
    seen: tuple[str, ...]
    effect: str
    inherited: bool = False


@dataclass(frozen=True, slots=True)
class Suspect:
    """A program with security events: its highest level, its origin, and what became of it."""

    program_id: str
    level: int
    origin: str
    fate: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Security:
    """Security events of the run; `left_out` programs with events are not listed."""

    suspects: tuple[Suspect, ...]
    left_out: int
    programs: int
    by_level: dict[int, int]
    policy: str


@dataclass(frozen=True, slots=True)
class Log:
    """The verdict on the audit log; `ok` is None where there is no log, or no trusted key."""

    ok: bool | None
    text: str
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Costs:
    """What the run cost: its models, tables with their captions, and notes."""

    models: tuple[tuple[str, str], ...]
    tables: tuple[tuple[str, Table], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs in the file.

    Attributes:
        nodes: as the script reads them, see `packing.py`.
        roots: ids of the programs at the top of the tree.
        groups: programs that are opened on demand, below an improver or at the top.
        lines, marks: the distinct lines of all texts, and their colours, see `highlight.py`.
        texts: by program id, the numbers of its lines.
        listed: the nodes that are listed for readers without JavaScript.
        left_out: what is not in the file, in words; "" when everything is.
        focus: id of the program that is shown first.
    """

    nodes: tuple[dict[str, Any], ...] = ()
    roots: tuple[str, ...] = ()
    groups: tuple[dict[str, Any], ...] = ()
    lines: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    texts: dict[str, tuple[int, ...]] = field(default_factory=dict)
    listed: tuple[dict[str, Any], ...] = ()
    left_out: str = ""
    focus: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a report says.

    Attributes:
        made: when the run began.
        scores: what the section with the scores is called: "rounds", "rates" or "scores".
        order: a sentence on the tree of programs.
        background: paragraphs on where the answers came from, and on how the run ended.
        tiles: figures besides that of the story.
        scale: what the bars measure.
        steps_text: a sentence on the steps, or on why there are none.
        setup: headed lists of names and values.
        commands: each with what it does.
        tables: each with its caption.
    """

    name: str
    status: str
    made: str
    version: str
    scores: str
    order: str
    background: tuple[str, ...]
    tiles: tuple[Tile, ...]
    costs: Costs
    security: Security
    log: Log
    setup: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    commands: tuple[tuple[str, str], ...]
    story: Story
    bars: tuple[Bar, ...] = ()
    scale: str = ""
    rounds: tuple[Round, ...] = ()
    steps: tuple[Step, ...] = ()
    steps_text: str = ""
    programs: Programs = Programs()
    tables: tuple[tuple[str, Table], ...] = ()
    notes: tuple[str, ...] = ()
