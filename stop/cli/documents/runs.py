"""The documents of commands that read a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from stop.audit.chain import Verdict
from stop.audit.evidence import Evidence
from stop.budget import LMCost
from stop.experiments.bypass.result import CellResult, RuleFinding
from stop.experiments.overview import RunLine, UnreadableRun
from stop.experiments.rounds.result import BestImprover
from stop.lineage import Node, Origin
from stop.runs.security import Summary
from stop.tasks.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class RunList:
    """The runs in a folder, the newest first.

    Attributes:
        runs_dir: the folder.
        runs: one line each.
        left_out: number of runs beyond `--limit`.
    """

    runs_dir: str
    runs: tuple[RunLine | UnreadableRun, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class NodeWithOrigin(Node):
    """A program of the lineage, with `--origins`.

    Attributes:
        origin: the response that its text came from.
    """

    origin: Origin


@dataclass(frozen=True, slots=True)
class Tree:
    """The programs of a run.

    Attributes:
        run: its folder.
        nodes: parents come before their children.
        left_out: number of programs beyond `--limit`.
    """

    run: Path
    nodes: tuple[NodeWithOrigin | Node, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class ShownProgram:
    """One program of a run.

    Attributes:
        program_id: SHA-256 of its bytes.
        kind: "improver" or "solution".
        source: its text.
        lineage: its place in the lineage.
        origin: the response that its text came from.
        evaluations: its scores.
        evidence: what it tried against the sandbox.
        events: the lines of the audit log that the evidence is made of.
        best: of the best improver of a run of rounds, as `stop run` shows it; null of others.
    """

    program_id: str
    kind: str
    source: str
    lineage: Node
    origin: Origin
    evaluations: tuple[Evaluation, ...]
    evidence: tuple[Evidence, ...]
    events: tuple[dict[str, Any], ...]
    best: BestImprover | None


@dataclass(frozen=True, slots=True)
class ProgramDiff:
    """What changed between two programs.

    Attributes:
        a: id of the first.
        b: id of the second.
        diff: unified; "" for the same text.
    """

    a: str
    b: str
    diff: str


@dataclass(frozen=True, slots=True)
class ReportFile:
    """The report of a run, an HTML file.

    Attributes:
        run: its folder.
        path: of the file.
        bytes: its size.
    """

    run: Path
    path: Path
    bytes: int


@dataclass(frozen=True, slots=True)
class SecurityEvents:
    """The security events of a run.

    Attributes:
        run: its folder.
        events: lines of the audit log, oldest first.
        left_out: number of events beyond `--limit`.
    """

    run: Path
    events: tuple[dict[str, Any], ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class SecuritySummary(Summary):
    """Which programs of a run tried what. Programs are counted, not calls.

    Attributes:
        run: its folder.
    """

    run: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class LogVerdict(Verdict):
    """Whether the audit log of a run is as it was written. Unless `ok`, the exit code is 1.

    Attributes:
        run: its folder.
    """

    run: Path


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """What the static rules see in a file.

    Attributes:
        file: its name.
        status: "ok", "unparsable" or "unreadable".
        level: the highest of the findings.
        paper_rule: whether the paper's literal rule finds a bypass.
        findings: in order.
    """

    file: str
    status: str
    level: int
    paper_rule: bool
    findings: tuple[RuleFinding, ...]


class Comparison(TypedDict):
    """A difference and its test; null where two cannot be compared.

    Attributes:
        difference: the first minus the second.
        interval: of `difference`, 95 %.
        over: what varied: "repetitions", "instances" or "samples".
        p: two-sided.
        p_sign_flip: of a test that does not assume normality.
        method: of the test.
        n: number of pairs, or of values.
    """

    difference: float | None
    interval: list[float] | None
    over: str | None
    p: float | None
    p_sign_flip: float | None
    method: str | None
    n: int | None


class ComparedGain(Comparison):
    """The gain over what a run began with.

    Attributes:
        p_holm: as `p`: it is one test.
    """

    p_holm: float | None


class ComparedDifference(Comparison):
    """One of two against the other.

    Attributes:
        a: name of a run, or the beginning of a program's id.
        b: likewise.
        split: on which scores; "" of bypass rates.
        tasks: that both have scores of.
        p_holm: corrected over the differences with the same `split`.
        why: why the two are not in pairs, or not compared; "" for pairs.
    """

    a: str
    b: str
    split: str
    tasks: list[str]
    p_holm: float | None
    why: str


class Saturated(TypedDict):
    """Where a run of rounds stopped gaining.

    Attributes:
        round: the last one that was confirmed on fresh cells; 0: none; null: none was tested.
        best_round: the round of the best improver; null likewise.
    """

    round: int | None
    best_round: int | None


class ComparedEntry(TypedDict):
    """A run, or with `--programs` a program of one run.

    Attributes:
        run: name of its folder; with `--programs` the beginning of the program's id.
        kind: of the run.
        folder: of the run.
        model: that rewrites solutions; not with `--programs`.
        meta_model: that rewrites improvers; not with `--programs`.
        status: as of `stop run`; not with `--programs`.
        tasks: their names; not with `--programs`.
        repetitions: as of `stop run`; not with `--programs`.
        lm: what the language model cost; not with `--programs`.
        security_events: number of events.
        security_programs: as of `stop run`; not with `--programs`.
        security_level: the highest of the program's events; with `--programs` only.
        program_id: of the best improver or program; null without one.
        what: "improver" or "solution".
        score: on the meta split; of an improver the meta-utility on fresh cells, null where there
            are none.
        score_interval: of `score`, 95 %.
        test_score: on the test split; null without `--test`. Of an improver it is about the
            programs that it made on fresh cells.
        test_score_interval: of `test_score`, 95 %.
        gain: over what the run began with, on the meta split; of an improver on fresh cells.
        test_gain: likewise, on the test split.
        rounds: number of rounds, without round 0.
        accepted: number of them that brought an improver which was accepted.
        saturation: of a run of rounds.
        strategies: of an improver.
        rates: of a bypass measurement.
    """

    run: str
    kind: str
    folder: str
    model: NotRequired[str]
    meta_model: NotRequired[str]
    status: NotRequired[str]
    tasks: NotRequired[list[str]]
    repetitions: NotRequired[int]
    lm: NotRequired[LMCost]
    security_events: int
    security_programs: NotRequired[dict[str, int]]
    security_level: NotRequired[int]
    program_id: str | None
    what: str
    score: float | None
    score_interval: list[float] | None
    test_score: float | None
    test_score_interval: list[float] | None
    gain: ComparedGain | None
    test_gain: Comparison | None
    rounds: int
    accepted: int
    saturation: Saturated | None
    strategies: list[str]
    rates: list[CellResult]


class ComparedRuns(TypedDict):
    """Runs, or programs of one run, side by side.

    Attributes:
        entries: in the order in which they were named.
        differences: of each two.
    """

    entries: list[ComparedEntry]
    differences: list[ComparedDifference]
