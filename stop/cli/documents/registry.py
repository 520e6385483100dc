"""Which command prints which document."""

from __future__ import annotations

from typing import Any

from stop.cli.documents import machine, runs
from stop.experiments.bypass.result import BypassResult
from stop.experiments.improve.kind import Improved
from stop.experiments.plan import Plan
from stop.experiments.result import RunResult
from stop.experiments.transfer.result import TransferResult
from stop.replays.differences import ReplayResult
from stop.runs.spending import Costs
from stop.tasks.evaluation import Evaluation

DOCUMENTS: dict[str, Any] = {
    "stop evaluate --task T PROGRAM.py": Evaluation,
    "stop improve --task T": Improved,
    "stop run": RunResult,
    "stop run --dry-run, stop transfer --dry-run": Plan,
    "stop bypass --samples N": BypassResult,
    "stop transfer RUN --tasks A,B": TransferResult,
    "stop replay RUN": ReplayResult,
    "stop ls": runs.RunList,
    "stop lineage RUN": runs.Tree,
    "stop show RUN ID": runs.ShownProgram,
    "stop diff RUN A B": runs.ProgramDiff,
    "stop compare RUN...": runs.ComparedRuns,
    "stop costs RUN": Costs,
    "stop report RUN": runs.ReportFile,
    "stop audit show RUN": runs.SecurityEvents,
    "stop audit summary RUN": runs.SecuritySummary,
    "stop audit verify RUN": runs.LogVerdict,
    "stop audit scan FILE...": list[runs.ScannedFile],
    "stop audit key": machine.MachineKey,
    "stop tasks list": machine.TaskList,
    "stop tasks check DIR": machine.TaskCheck,
    "stop model list": machine.ModelList,
    "stop model pull NAME": machine.PulledModel,
    "stop sandbox build": machine.BuiltFileSystem | machine.BuiltImage,
    "stop sandbox check": machine.SandboxCheck,
    "stop sandbox prune": machine.Pruned,
    "stop doctor": machine.Diagnosis,
}
"""The class of the document that a command prints with `--json`, or several where it depends on
options. `stop resume` prints the document of the command that began the run."""
