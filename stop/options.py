"""From options, as callers give them, to the configuration of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from stop.budget import ImproverBudget
from stop.budget.limits import Limits, check_names, improver_budget, round_budget, run_budget
from stop.config import PRESETS, RunConfig
from stop.engine.broker import ENTRY_POINT
from stop.errors import ConfigError, ProgramError
from stop.experiments import transfer as transfers
from stop.improvers import load_improver
from stop.lm import default_spec
from stop.programs import Program, syntax_problem
from stop.recorded_run import Run


def run_config(
    *,
    tasks: str | Sequence[str] | None = None,
    rounds: int | None = None,
    preset: str | None = None,
    lm: str | None = None,
    base_url: str | None = None,
    meta_lm: str | None = None,
    meta_base_url: str | None = None,
    lm_patience: float | None = None,
    improver: str | Run | Program | None = None,
    accept: str | None = None,
    repetitions: int | None = None,
    calls: int | None = None,
    responses: int | None = None,
    utility_calls: int | None = None,
    max_response_tokens: int | None = None,
    sandbox: str = "auto",
    isolation: str = "fork",
    image: str | None = None,
    policy: str | None = None,
    policy_level: int | None = None,
    halt_after: int | None = None,
    seed: int | None = None,
    concurrency: int | None = None,
    need_model: bool = True,
    **limits: Unpack[Limits],
) -> RunConfig:
    """A configuration out of options: a preset first, what is given on top.

    Args:
        tasks: names or folders, as a sequence or with commas between them.
        rounds: T.
        preset: "quick" or "paper".
        lm: model of the task level; None: what the environment offers.
        meta_lm: model of the meta level; None: the same.
        lm_patience: seconds without an answer after which a model's server is given up; None: 900,
            and 1800 for a local one.
        improver: "seed", a file, or a run whose best improver is taken.
        accept: "better" or "always".
        repetitions: improver runs per task in the meta-utility.
        calls, responses, utility_calls: m, n and utility calls of an improver run (default
            n * m + 1), on both levels.
        max_response_tokens: completion tokens of one response, on both levels.
        limits: of the whole run (`max_usd`, ...), of each round (`round_max_usd`, ...), of each
            improver run (`improver_max_usd`, ...); see `stop.budget.limits.Limits`.
        policy: what follows from an attempt against the sandbox: "log", "quarantine" or "halt".
        policy_level: events from this level on count (default 2).
        halt_after: with "halt", after so many programs (default 1).
        need_model: False leaves `lm` open, for plans.

    Raises:
        ConfigError, LMUnavailable: an option makes no sense, or no model can be found.
    """
    check_names(limits, Limits)
    if preset is not None and preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}", hint=f"one of: {', '.join(PRESETS)}")
    values = dict(PRESETS.get(preset or "", {}), preset=preset or "")
    if tasks is not None:
        names = tasks.split(",") if isinstance(tasks, str) else tasks
        values["tasks"] = tuple(name.strip() for name in names if name.strip())
    if not values.get("tasks"):
        raise ConfigError(
            "no task was named", hint="--tasks A,B or --preset quick; `stop tasks list`"
        )
    for level in ("task_budget", "meta_budget"):
        base = values.get(level, ImproverBudget())
        base = _improver_budget(base, calls, responses, utility_calls, max_response_tokens)
        values[level] = improver_budget(limits, base)
    given = {
        "rounds": rounds, "accept": accept, "repetitions": repetitions, "concurrency": concurrency,
        "seed": seed, "base_url": base_url, "meta_lm": meta_lm, "meta_base_url": meta_base_url,
        "lm_patience": lm_patience,
        "image": image, "policy": policy, "policy_level": policy_level, "halt_after": halt_after,
    }  # fmt: skip
    values.update({name: value for name, value in given.items() if value is not None})
    values["lm"] = lm or (default_spec() if need_model else "unknown")
    values["improver"] = _improver_source(improver)
    values["budget"], values["round_budget"] = run_budget(limits), round_budget(limits)
    return RunConfig.checked(**values, sandbox=sandbox, isolation=isolation)


def _improver_budget(
    base: ImproverBudget,
    calls: int | None,
    responses: int | None,
    utility_calls: int | None,
    max_response_tokens: int | None,
) -> ImproverBudget:
    changed = replace(
        base,
        lm_calls=calls or base.lm_calls,
        responses_per_call=responses or base.responses_per_call,
        max_tokens=max_response_tokens or base.max_tokens,
    )
    if utility_calls is None and (calls or responses):
        utility_calls = changed.lm_calls * changed.responses_per_call + 1
    return replace(changed, utility_calls=utility_calls or changed.utility_calls)


def _improver_source(improver: str | Run | Program | None) -> str:
    """Source text of an improver: built-in, file, or the best of a run."""
    if isinstance(improver, Run):
        return improver.best.source
    if isinstance(improver, Program):
        return improver.source
    name = improver or "seed"
    if (Path(name) / "config.json").is_file():
        return Run(Path(name)).best.source
    source = load_improver(name).source
    if problem := syntax_problem(source, ENTRY_POINT):
        raise ProgramError(f"{name} is no improver: {problem}")
    return source


def transfer_config(
    improver: str | Run | Program,
    *,
    tasks: str | Sequence[str],
    baseline: str | Run | Program = "seed",
    trained_on: Run | Sequence[str] | None = None,
    repetitions: int = 5,
    **options: Any,
) -> RunConfig:
    """A transfer measurement out of options.

    Args:
        improver: the improved one: a run, whose best is taken, a file, or a program.
        tasks: names or folders; fresh ones, which it was not improved on, are the point.
        baseline: what it is compared with.
        trained_on: the run that it comes from, or names of the tasks that it was improved on;
            default: those of `improver`, if that is a run.
        repetitions: improver runs for each task and improver.
        options: as of `run_config`: lm, calls, responses, limits, sandbox, policy, seed.

    Raises:
        ConfigError, LMUnavailable: an option makes no sense, or no model can be found.
    """
    if isinstance(improver, str) and (Path(improver) / "config.json").is_file():
        improver = Run(Path(improver))
    origin = "a program"
    if isinstance(improver, Run):
        trained_on = improver if trained_on is None else trained_on
        best = improver.to_dict()["best"]
        round_ = f", the best of {improver.folder.name} (round {best['round']})" if best else ""
        origin = f"{improver.best.id[:10]}{round_}"
    elif isinstance(improver, str):
        origin = Path(improver).name
    if isinstance(trained_on, Run):
        trained_on = [Path(task).name for task in trained_on.config.tasks]
    base = run_config(tasks=tasks, rounds=0, repetitions=repetitions, improver=baseline, **options)
    return transfers.transfer_config(
        base,
        _improver_source(improver),
        origin=origin,
        trained_on=None if trained_on is None else tuple(trained_on),
    )
