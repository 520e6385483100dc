"""The documents of commands that read a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stop.audit.chain import Verdict
from stop.experiments.bypass.result import RuleFinding
from stop.experiments.overview import RunLine, UnreadableRun
from stop.lineage import Node, Origin
from stop.runs.security import EvidenceResult, SummaryResult
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
    """

    program_id: str
    kind: str
    source: str
    lineage: Node
    origin: Origin
    evaluations: tuple[Evaluation, ...]
    evidence: tuple[EvidenceResult, ...]
    events: tuple[dict[str, Any], ...]


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
class SecuritySummary(SummaryResult):
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
