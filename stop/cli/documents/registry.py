"""Which command prints which document."""

from __future__ import annotations

from typing import Any, NamedTuple

from stop._util.documents import schema
from stop.cli.documents import machine, runs
from stop.experiments.bypass.result import BypassResult
from stop.experiments.improve.kind import Improved
from stop.experiments.plan import Plan
from stop.experiments.result import RunResult
from stop.experiments.transfer.result import TransferResult
from stop.replays.differences import ReplayResult
from stop.runs.spending import Costs
from stop.tasks.evaluation import Evaluation


class Document(NamedTuple):
    """The document of a command.

    Attributes:
        commands: that print it, with `--json`.
        kind: its class, or several where it depends on options.
    """

    commands: str
    kind: Any

    @property
    def schema(self) -> dict[str, Any]:
        return schema(self.kind)


DOCUMENTS = (
    Document("stop evaluate --task T PROGRAM.py", Evaluation),
    Document("stop improve --task T", Improved),
    Document("stop run", RunResult),
    Document("stop run --dry-run, stop transfer --dry-run", Plan),
    Document("stop bypass --samples N", BypassResult),
    Document("stop transfer RUN --tasks A,B", TransferResult),
    Document("stop replay RUN", ReplayResult),
    Document("stop ls", runs.RunList),
    Document("stop lineage RUN", runs.Tree),
    Document("stop show RUN ID", runs.ShownProgram),
    Document("stop diff RUN A B", runs.ProgramDiff),
    Document("stop compare RUN...", runs.ComparedRuns),
    Document("stop costs RUN", Costs),
    Document("stop report RUN", runs.ReportFile),
    Document("stop audit show RUN", runs.SecurityEvents),
    Document("stop audit summary RUN", runs.SecuritySummary),
    Document("stop audit verify RUN", runs.LogVerdict),
    Document("stop audit scan FILE...", list[runs.ScannedFile]),
    Document("stop audit key", machine.MachineKey),
    Document("stop tasks list", machine.TaskList),
    Document("stop tasks check DIR", machine.TaskCheck),
    Document("stop model list", machine.ModelList),
    Document("stop model pull NAME", machine.PulledModel),
    Document("stop sandbox build", machine.BuiltFileSystem | machine.BuiltImage),
    Document("stop sandbox check", machine.SandboxCheck),
    Document("stop sandbox prune", machine.Pruned),
    Document("stop doctor", machine.Diagnosis),
)
"""`stop resume` prints the document of the command that began the run."""
