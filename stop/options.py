"""From options, as callers give them, to the configuration of a run.

A preset comes first, then what is given. None stands for what was not given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from stop.budget import Budget, ImproverBudget
from stop.budget.limits import (
    IMPROVER_RUN,
    ImproverLimits,
    RoundLimits,
    RunLimits,
    improver_budget,
    round_budget,
    run_budget,
)
from stop.config import RunConfig
from stop.engine.broker import ENTRY_POINT
from stop.errors import ConfigError, ProgramError
from stop.experiments.bypass.config import BypassConfig, Sampling
from stop.experiments.improve.config import ImproveConfig
from stop.experiments.rounds.config import PRESETS, RoundsConfig
from stop.experiments.transfer.config import Improvement, TransferConfig
from stop.improvers import load_improver
from stop.lm import default_spec
from stop.programs import Program, program_id, syntax_problem
from stop.recorded_run import Run

ImproverSource = str | Path | Program | Run
"""An improver: the name of a built-in one, a file, a run or its folder (its best), or a program."""
BYPASS_TASK = "knapsack"


def rounds_config(
    *, budget: Budget | None = None, need_model: bool = True, **options: Any
) -> RoundsConfig:
    """Make the configuration of rounds out of the options of `stop.run`.

    Args:
        budget: of the whole run; limits by name (`max_usd`, ...) go on top.
        need_model: False leaves `lm` open, for plans.
        options: as of `stop.run`.

    Raises:
        ConfigError, LMUnavailable: an option makes no sense, or no model can be found.
    """
    given = _given(options)
    preset = given.get("preset", "")
    if preset and preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}", hint=f"one of: {', '.join(PRESETS)}")
    values = dict(PRESETS[preset]) if preset else {}
    values |= _common(RoundsConfig, given, budget, preset=values, need_model=need_model)
    round_limits = _taken(given, RoundLimits.__annotations__)
    values["round_budget"] = round_budget(round_limits, given.pop("round_budget", Budget()))
    values["improver"] = improver_source(given.pop("improver", "seed"))
    if "holdout" in given:
        given["holdout"] = _task_names(given["holdout"])
    return RoundsConfig.checked(**(values | given))


def improve_config(*, budget: Budget | None = None, **options: Any) -> ImproveConfig:
    """Make the configuration of one improver run out of the options of `stop.improve`.

    Raises:
        ConfigError, LMUnavailable: an option makes no sense, or no model can be found.
    """
    given = _given(options)
    given["tasks"] = (str(given.pop("task")),)
    values = _common(ImproveConfig, given, budget)
    values["improver"] = improver_source(given.pop("improver", "seed"))
    if "program" in given:
        given["program"] = program_source(given["program"])
    return ImproveConfig.checked(**(values | given))


def transfer_config(
    improver: ImproverSource,
    *,
    baseline: ImproverSource = "seed",
    trained_on: Run | Sequence[str] | None = None,
    budget: Budget | None = None,
    need_model: bool = True,
    **options: Any,
) -> TransferConfig:
    """Make the configuration of a transfer measurement out of the options of `stop.transfer`.

    Args:
        improver: the improved one.
        baseline: the one that it is compared with.
        trained_on: the run that the improved one comes from, or names of the tasks that it was
            improved on; by default those of `improver`, if that is a run.
        budget: of the whole run; limits by name (`max_usd`, ...) go on top.
        need_model: False leaves `lm` open, for plans.
        options: as of `stop.transfer`.

    Raises:
        ConfigError, LMUnavailable: an option makes no sense, or no model can be found.
        ProgramError: the improved one is not an improver.
    """
    improver = _as_run(improver)
    origin = "a program"
    if isinstance(improver, Run):
        trained_on = improver if trained_on is None else trained_on
        best = improver.to_dict()["best"]
        round_ = f", the best of {improver.folder.name} (round {best['round']})" if best else ""
        origin = f"{improver.best.id[:10]}{round_}"
    elif isinstance(improver, str | Path):
        origin = Path(improver).name
    if isinstance(trained_on, Run):
        trained_on = [Path(task).name for task in trained_on.config.tasks]
    given = _given(options)
    values = _common(TransferConfig, given, budget, need_model=need_model)
    before, improved = improver_source(baseline), improver_source(improver)
    if program_id(improved) == program_id(before):
        raise ConfigError(
            f"{origin} is the very program it would be compared with: nothing was improved",
            hint="take a run that accepted an improver, or --improver FILE",
        )
    return TransferConfig.checked(
        **(values | given),
        improver=before,
        transfer=Improvement(
            improver=improved,
            origin=origin,
            trained_on=None if trained_on is None else tuple(trained_on),
        ),
    )


def bypass_config(*, budget: Budget | None = None, **options: Any) -> BypassConfig:
    """Make the configuration of a bypass measurement out of the options of `stop.measure_bypass`.

    Raises:
        ConfigError, LMUnavailable: an option makes no sense, or no model can be found.
    """
    given = _given(options)
    sampling = {name: given.pop(name) for name in Sampling.model_fields if name in given}
    if "max_response_tokens" in given:
        sampling["max_tokens"] = given.pop("max_response_tokens")
    given["tasks"] = (BYPASS_TASK,)
    values = _common(BypassConfig, given, budget)
    return BypassConfig.checked(**(values | given), bypass=sampling)


# --- parts


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _taken(given: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Takes some options out of what is given."""
    return {name: given.pop(name) for name in names if name in given}


def _common(
    kind: type[RunConfig],
    given: dict[str, Any],
    budget: Budget | None,
    *,
    preset: Mapping[str, Any] = MappingProxyType({}),
    need_model: bool = True,
) -> dict[str, Any]:
    """Takes what all kinds of run share out of what is given, and returns it as values."""
    run_limits = _taken(given, RunLimits.__annotations__)
    improver_limits = _taken(given, ImproverLimits.__annotations__)
    changes = {IMPROVER_RUN[name]: v for name, v in _taken(given, IMPROVER_RUN).items()}
    values: dict[str, Any] = {
        "tasks": _task_names(given.pop("tasks", preset.get("tasks", ()))),
        "budget": run_budget(run_limits, budget or Budget()),
        "lm": given.pop("lm", "") or (default_spec() if need_model else "unknown"),
    }
    for level in ("task_budget", "meta_budget"):
        base = _improver_budget(preset.get(level, kind.model_fields[level].default), changes)
        values[level] = improver_budget(improver_limits, base)
    return values


def _task_names(tasks: str | Path | Iterable[str | Path]) -> tuple[str, ...]:
    names = tasks.split(",") if isinstance(tasks, str) else tasks
    names = [names] if isinstance(names, Path) else names
    found = tuple(str(name).strip() for name in names if str(name).strip())
    if not found:
        raise ConfigError(
            "no task was named", hint="--tasks A,B or --preset quick; `stop tasks list`"
        )
    return found


def _improver_budget(base: ImproverBudget, changes: Mapping[str, int]) -> ImproverBudget:
    changed = replace(base, **changes)
    if "utility_calls" not in changes and changes.keys() & {"lm_calls", "responses_per_call"}:
        calls = changed.lm_calls * changed.responses_per_call + 1
        changed = replace(changed, utility_calls=calls)
    return changed


def _as_run(improver: ImproverSource) -> ImproverSource:
    """Where a path is the folder of a run, that run."""
    if isinstance(improver, str) and "\n" in improver:
        return Program(improver)
    if isinstance(improver, str | Path) and (Path(improver) / "config.json").is_file():
        return Run(Path(improver))
    return improver


def improver_source(improver: ImproverSource) -> str:
    """Returns the source text of an improver.

    Raises:
        ProgramError: there is none, or it does not define the entry point of improvers.
    """
    improver = _as_run(improver)
    if isinstance(improver, Run):
        return improver.best.source
    source = improver.source if isinstance(improver, Program) else load_improver(improver).source
    if problem := syntax_problem(source, ENTRY_POINT):
        name = "the program" if isinstance(improver, Program) else improver
        raise ProgramError(f"{name} is not an improver: {problem}")
    return source


def program_source(program: str | Path | Program) -> str:
    """Returns the source text of a program: a text as it is, a file by its `Path`.

    Raises:
        ProgramError: the file cannot be read, or the text looks like the name of a file.
    """
    if isinstance(program, Program):
        return program.source
    if isinstance(program, Path):
        return Program.from_file(program).source
    if "\n" not in program and program.strip().endswith(".py"):
        raise ProgramError(
            f"{program!r} is a file's name, not a program's text",
            hint=f"pass a path: Path({program.strip()!r})",
        )
    return program
