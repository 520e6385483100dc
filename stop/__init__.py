"""STOP: the Self-Taught Optimizer.

An improver, a Python program, asks a language model to rewrite programs; a meta-utility scores it
by how good the programs are that it produces; then it is applied to itself, round after round.
Everything a model wrote runs in a sandbox.

    import stop
    run = stop.run(tasks=["knapsack"], lm="openai:gpt-4o-mini", rounds=3, budget=stop.Budget(usd=2))
    better = stop.improve(task="my_task/", improver=run)
    stop.evaluate(better.source, task="my_task/", split="test").score
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stop.api import evaluate, improve, measure_bypass, resume, run, transfer
    from stop.budget import Budget, ImproverBudget
    from stop.errors import StopError
    from stop.experiments.bypass.kind import BypassRates
    from stop.experiments.improve.kind import Improved
    from stop.experiments.transfer.report import Transfer
    from stop.programs import Program
    from stop.recorded_run import Run, open_run
    from stop.replays import Replay, replay
    from stop.tasks.evaluation import Evaluation
    from stop.tasks.task import Task, list_tasks, load_task

__version__ = "0.1.0"

_HOMES = {
    "Budget": "budget",
    "BypassRates": "experiments.bypass.kind",
    "Evaluation": "tasks.evaluation",
    "ImproverBudget": "budget",
    "Improved": "experiments.improve.kind",
    "Program": "programs",
    "Replay": "replays",
    "Run": "recorded_run",
    "StopError": "errors",
    "Task": "tasks.task",
    "Transfer": "experiments.transfer.report",
    "evaluate": "api",
    "improve": "api",
    "list_tasks": "tasks.task",
    "load_task": "tasks.task",
    "measure_bypass": "api",
    "open_run": "recorded_run",
    "replay": "replays",
    "resume": "api",
    "run": "api",
    "transfer": "api",
}

__all__ = [
    "Budget",
    "BypassRates",
    "Evaluation",
    "Improved",
    "ImproverBudget",
    "Program",
    "Replay",
    "Run",
    "StopError",
    "Task",
    "Transfer",
    "evaluate",
    "improve",
    "list_tasks",
    "load_task",
    "measure_bypass",
    "open_run",
    "replay",
    "resume",
    "run",
    "transfer",
]


def __getattr__(name: str) -> Any:
    """Load on first use: `import stop` itself stays quick."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415

    value = getattr(importlib.import_module(f"stop.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
