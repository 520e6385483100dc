"""The library: what `import stop` offers. Synchronous, also where an event loop runs (notebooks).

run = stop.run(tasks=["knapsack"], lm="openai:gpt-4o-mini", rounds=3, budget=stop.Budget(usd=2))
better = stop.improve(task="my_task/", improver=run)
stop.evaluate(better.source, task="my_task/", split="test").score

A limit can be given by name as well, e.g. `max_usd=2` for `budget=stop.Budget(usd=2)`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

from stop._util.concurrency import run_sync
from stop._util.progress import default_listener
from stop._util.state import run_secret
from stop.budget import Budget
from stop.budget.limits import (
    Limits,
    OneRunLimits,
    ResumeLimits,
    RunLimits,
    check_names,
    run_budget,
)
from stop.config import PolicyMode, RunConfig
from stop.engine.evaluator import Evaluator
from stop.errors import ConfigError
from stop.events import ProgressListener
from stop.experiments import kind_of, read_config
from stop.experiments.bypass.config import Cell
from stop.experiments.bypass.kind import BypassRates
from stop.experiments.improve.kind import Improved
from stop.experiments.kind import Ended
from stop.experiments.rounds.config import Accept, Preset
from stop.experiments.transfer.report import Transfer
from stop.options import (
    ImproverSource,
    bypass_config,
    improve_config,
    program_source,
    rounds_config,
    transfer_config,
)
from stop.programs import Program
from stop.recorded_run import Run
from stop.runs.folder import new_run
from stop.sandbox import open_sandbox
from stop.sandbox.pool import SandboxPool
from stop.sandbox.protocol import Isolation, SandboxChoice
from stop.tasks.evaluation import Evaluation, Split
from stop.tasks.task import load_task

AnyResult = Run | Improved | Transfer | BypassRates


def run(
    tasks: str | Path | Sequence[str | Path] | None = None,
    *,
    lm: str | None = None,
    rounds: int | None = None,
    budget: Budget | None = None,
    round_budget: Budget | None = None,
    preset: Preset | None = None,
    improver: ImproverSource = "seed",
    repetitions: int | None = None,
    accept: Accept | None = None,
    alpha: float = 0.05,
    confirm_repetitions: int | None = None,
    final_repetitions: int | None = None,
    holdout: str | Path | Sequence[str | Path] | None = None,
    calls: int | None = None,
    responses: int | None = None,
    utility_calls: int | None = None,
    max_response_tokens: int | None = None,
    base_url: str | None = None,
    meta_lm: str | None = None,
    meta_base_url: str | None = None,
    lm_patience: float | None = None,
    sandbox: SandboxChoice = "auto",
    isolation: Isolation = "fork",
    image: str | None = None,
    policy: PolicyMode = "log",
    policy_level: int = 2,
    halt_after: int = 1,
    random_seed: int | None = None,
    concurrency: int = 2,
    runs_dir: str | Path | None = None,
    progress: ProgressListener | None = None,
    **limits: Unpack[Limits],
) -> Run:
    """Carry out rounds of self-improvement (arXiv 2310.02304).

    Args:
        tasks: names of built-in tasks or paths of task folders. Defaults to the preset's.
        lm: the model that rewrites solutions, e.g. "openai:gpt-4o-mini". Defaults to what the
            environment offers.
        rounds: number of rounds, T. Defaults to the preset's, else 6.
        budget: limits of the whole run.
        round_budget: limits of each round, round 0 included.
        preset: "quick" or "paper"; gives the values that are not given here.
        improver: to begin with.
        repetitions: improver runs per task in the meta-utility. Defaults to the preset's, else 5.
        accept: "confirmed" takes a new improver only after a test on fresh cells; "better" with a
            higher meta-utility on the cells that it was chosen on, which takes luck for a gain;
            "always" each one that works. Defaults to the preset's, else "confirmed".
        alpha: with "confirmed", the chance that any round accepts an improver that does just as
            well.
        confirm_repetitions: with "confirmed", improver runs per task, of candidate and current
            improver each, at most. Defaults to the preset's, else 20.
        final_repetitions: improver runs per task, of the best and the first improver each, in the
            comparison at the end; 0 does without, and claims no gain. Defaults to the preset's,
            else 20.
        holdout: names or folders of tasks for the comparison at the end only.
        calls: LM calls of one improver run, m. Defaults to the preset's, else 4.
        responses: responses of one LM call, n. Defaults to the preset's, else 6.
        utility_calls: of one improver run. Defaults to n * m + 1.
        max_response_tokens: tokens of one response. Defaults to the preset's, else 1024.
        base_url: of an OpenAI-compatible server.
        meta_lm: the model that rewrites improvers. Defaults to `lm`.
        meta_base_url: of its server. Defaults to `base_url`.
        lm_patience: seconds to wait for a model server that has stopped answering. Defaults to
            900, and to 1800 for a local model.
        sandbox: "auto" takes Docker if an engine answers, else bubblewrap.
        isolation: "fork" runs each program as a fresh process of a warm sandbox, "container" in
            a sandbox of its own.
        image: Docker only; an image of your own.
        policy: what follows from an attempt against the sandbox.
        policy_level: security level, 1 to 3, from which events count as an attempt.
        halt_after: with "halt", the number of programs that stops the run.
        random_seed: the same number gives the same instances on this machine; None draws new ones.
        concurrency: evaluations and improver runs at once, on each level.
        runs_dir: where the run's folder is made. Defaults to STOP_RUNS_DIR, else "runs".
        progress: called with each Progress event. Defaults to a display in a notebook, else to
            nothing.
        limits: of the whole run (`max_usd`, ...), of each round (`round_max_usd`, ...) and of each
            improver run (`improver_max_usd`, ...); see `stop.budget.limits`.

    Returns:
        The run. If it could not go on (budget, model, sandbox), `error` says why, and `resume`
        goes on.

    Raises:
        ConfigError: an option makes no sense.
        StopError: nothing could begin.
    """
    check_names(limits, Limits)
    config = rounds_config(
        tasks=tasks, lm=lm, rounds=rounds, budget=budget, round_budget=round_budget, preset=preset,
        improver=improver, repetitions=repetitions, accept=accept, alpha=alpha,
        confirm_repetitions=confirm_repetitions, final_repetitions=final_repetitions,
        holdout=holdout, calls=calls,
        responses=responses, utility_calls=utility_calls, max_response_tokens=max_response_tokens,
        base_url=base_url, meta_lm=meta_lm, meta_base_url=meta_base_url, lm_patience=lm_patience,
        sandbox=sandbox, isolation=isolation, image=image, policy=policy,
        policy_level=policy_level, halt_after=halt_after, random_seed=random_seed,
        concurrency=concurrency, **limits,
    )  # fmt: skip
    result: Run = begin(config, runs_dir, progress)
    return result


def improve(
    program: str | Path | Program | None = None,
    *,
    task: str | Path,
    improver: ImproverSource = "seed",
    lm: str | None = None,
    budget: Budget | None = None,
    calls: int = 1,
    responses: int = 6,
    utility_calls: int | None = None,
    max_response_tokens: int = 1024,
    base_url: str | None = None,
    lm_patience: float | None = None,
    sandbox: SandboxChoice = "auto",
    isolation: Isolation = "fork",
    image: str | None = None,
    policy: PolicyMode = "log",
    policy_level: int = 2,
    halt_after: int = 1,
    random_seed: int | None = None,
    concurrency: int = 2,
    runs_dir: str | Path | None = None,
    progress: ProgressListener | None = None,
    **limits: Unpack[OneRunLimits],
) -> Improved:
    """Apply an improver once to a program of a task.

    Args:
        program: to begin with, as text, or as the `Path` of a file. Defaults to the task's seed.
        task: a name or a folder.
        improver: the improver, or a run whose best improver is taken.
        lm: the language model, e.g. "openai:gpt-4o-mini". Defaults to what the environment offers.
        budget: limits of the whole work.
        calls: LM calls, m.
        responses: responses of one LM call, n.
        utility_calls: of the improver. Defaults to n * m + 1.
        max_response_tokens: tokens of one response.
        base_url, lm_patience, sandbox, isolation, image: as of `run`.
        policy, policy_level, halt_after, random_seed, concurrency: as of `run`.
        runs_dir, progress: as of `run`.
        limits: of the whole work (`max_usd`, ...) and of the improver (`improver_max_usd`, ...).

    Raises:
        ConfigError: an option makes no sense.
        StopError: no result. What was paid for is in the run folder.
    """
    check_names(limits, OneRunLimits)
    config = improve_config(
        program=program, task=task, improver=improver, lm=lm, budget=budget, calls=calls,
        responses=responses, utility_calls=utility_calls, max_response_tokens=max_response_tokens,
        base_url=base_url, lm_patience=lm_patience, sandbox=sandbox, isolation=isolation,
        image=image, policy=policy, policy_level=policy_level, halt_after=halt_after,
        random_seed=random_seed, concurrency=concurrency, **limits,
    )  # fmt: skip
    result: Improved = begin(config, runs_dir, progress)
    return result


def transfer(
    improver: ImproverSource,
    *,
    tasks: str | Path | Sequence[str | Path],
    baseline: ImproverSource = "seed",
    trained_on: Run | Sequence[str] | None = None,
    lm: str | None = None,
    budget: Budget | None = None,
    repetitions: int = 5,
    calls: int = 4,
    responses: int = 6,
    utility_calls: int | None = None,
    max_response_tokens: int = 1024,
    base_url: str | None = None,
    lm_patience: float | None = None,
    sandbox: SandboxChoice = "auto",
    isolation: Isolation = "fork",
    image: str | None = None,
    policy: PolicyMode = "log",
    policy_level: int = 2,
    halt_after: int = 1,
    random_seed: int | None = None,
    concurrency: int = 2,
    runs_dir: str | Path | None = None,
    progress: ProgressListener | None = None,
    **limits: Unpack[OneRunLimits],
) -> Transfer:
    """Compare an improved improver with the seed improver, task by task.

    Args:
        improver: the improved one; of a run the best is taken.
        tasks: names or folders; those that it was not improved on are the point.
        baseline: what it is compared with.
        trained_on: the run that it comes from, or names of the tasks that it was improved on.
            Defaults to those of `improver`, if that is a run.
        repetitions: improver runs for each task and improver.
        lm, budget, calls, responses, utility_calls, max_response_tokens: as of `run`.
        base_url, lm_patience, sandbox, isolation, image: as of `run`.
        policy, policy_level, halt_after, random_seed, concurrency: as of `run`.
        runs_dir, progress: as of `run`.
        limits: of the whole work (`max_usd`, ...) and of each improver run
            (`improver_max_usd`, ...).

    Returns:
        What is there. If it could not be finished (budget, model, sandbox), `error` says why, and
        `resume` goes on.

    Raises:
        ConfigError: an option makes no sense, or both improvers are the same.
        StopError: nothing could begin.
    """
    check_names(limits, OneRunLimits)
    config = transfer_config(
        improver, tasks=tasks, baseline=baseline, trained_on=trained_on, lm=lm, budget=budget,
        repetitions=repetitions, calls=calls, responses=responses, utility_calls=utility_calls,
        max_response_tokens=max_response_tokens, base_url=base_url, lm_patience=lm_patience,
        sandbox=sandbox, isolation=isolation, image=image, policy=policy,
        policy_level=policy_level, halt_after=halt_after, random_seed=random_seed,
        concurrency=concurrency, **limits,
    )  # fmt: skip
    result: Transfer = begin(config, runs_dir, progress)
    return result


def measure_bypass(
    *,
    samples: int,
    lm: str | None = None,
    budget: Budget | None = None,
    cells: tuple[Cell, ...] = ("no_warning", "warning"),
    execute: bool = False,
    responses: int = 6,
    temperature: float = 0.7,
    max_response_tokens: int = 1024,
    base_url: str | None = None,
    lm_patience: float | None = None,
    sandbox: SandboxChoice = "auto",
    isolation: Isolation = "fork",
    image: str | None = None,
    concurrency: int = 2,
    runs_dir: str | Path | None = None,
    progress: ProgressListener | None = None,
    **limits: Unpack[RunLimits],
) -> BypassRates:
    """Sample improvers of a flag-carrying improver and count those that switch the sandbox off.

    Args:
        samples: improvers per cell.
        lm: the language model that is measured. Defaults to what the environment offers.
        budget: limits of the whole measurement.
        cells: without and with a warning in the program that is to be improved.
        execute: whether each program that parses is also run, in a sandbox of its own.
        responses: in one request to the model.
        temperature: of sampling, 0 to 2.
        max_response_tokens: tokens of one response.
        base_url, lm_patience, sandbox, isolation, image: as of `run`.
        concurrency: requests, and improver runs, at once.
        runs_dir, progress: as of `run`.
        limits: of the whole measurement (`max_usd`, ...).

    Returns:
        What is there. If it could not be finished (budget, model, sandbox), `error` says why, and
        `resume` goes on.

    Raises:
        ConfigError: an option makes no sense.
        StopError: nothing could begin.
    """
    check_names(limits, RunLimits)
    config = bypass_config(
        samples=samples, lm=lm, budget=budget, cells=cells, execute=execute, responses=responses,
        temperature=temperature, max_response_tokens=max_response_tokens, base_url=base_url,
        lm_patience=lm_patience, sandbox=sandbox, isolation=isolation, image=image,
        concurrency=concurrency, **limits,
    )  # fmt: skip
    result: BypassRates = begin(config, runs_dir, progress)
    return result


def begin(config: RunConfig, runs_dir: str | Path | None, progress: ProgressListener | None) -> Any:
    """Make a run of any kind from its configuration, and work on it.

    Args:
        config: says what to do.
        runs_dir: where the run's folder is made. Defaults to STOP_RUNS_DIR, else "runs".
        progress: called with each Progress event.

    Returns:
        The result of its kind; see `resume`.

    Raises:
        StopError: nothing could begin, or an improve has no result.
    """
    where = Path(runs_dir or os.environ.get("STOP_RUNS_DIR") or "runs")
    with new_run(config, where) as folder:
        return _carry_on(folder, config, progress)


def resume(
    folder: str | Path,
    *,
    budget: Budget | None = None,
    lm_patience: float | None = None,
    reason: str = "",
    progress: ProgressListener | None = None,
    **limits: Unpack[ResumeLimits],
) -> AnyResult:
    """Go on with a run of any kind where it was. Limits given here replace its own.

    Args:
        folder: of the run.
        budget: takes the place of the run's limits.
        lm_patience: seconds to wait for a model server that has stopped answering.
        reason: why a run that its policy halted should go on; it is logged.
        progress: called with each Progress event.
        limits: of the whole run (`max_usd`, ...) and of each round that has not ended
            (`round_max_usd`, ...).

    Returns:
        What `run`, `improve`, `transfer` or `measure_bypass` would have returned.

    Raises:
        ConfigError: a run of this kind has no such limit.
        StopError: nothing could begin, or an improve has no result.
    """
    config = read_config(Path(folder))
    if budget is not None:
        config = config.changed(budget=run_budget({}, budget))
    if lm_patience is not None:
        config = config.changed(lm_patience=lm_patience)
    result: AnyResult = _carry_on(Path(folder), config.raised(dict(limits)), progress, reason)
    return result


def _carry_on(
    folder: Path, config: RunConfig, progress: ProgressListener | None, reason: str = ""
) -> Any:
    result = kind_of(config).carry_on(folder, config, progress or default_listener(), reason)
    return Run(result.folder, result.error) if isinstance(result, Ended) else result


def evaluate(
    program: str | Path | Program,
    *,
    task: str | Path,
    split: Split = "test",
    count: int | None = None,
    sandbox: SandboxChoice = "auto",
    isolation: Isolation = "fork",
    image: str | None = None,
    random_seed: int | None = None,
) -> Evaluation:
    """Score one program in the sandbox. A program that fails is a result with a status.

    Args:
        program: its text, or the `Path` of a file.
        task: a name or a folder.
        split: whose instances.
        count: number of instances. Defaults to the task's for that split.
        sandbox, isolation, image: as of `run`.
        random_seed: the same number gives the same instances on this machine; None draws new ones.

    Raises:
        ProgramError: the file cannot be read, or the text looks like the name of a file.
        TaskError, SandboxError: the host cannot score it.
    """
    source = program_source(program)
    loaded = load_task(task)
    if count is not None and count < 1:
        raise ConfigError(f"count must be at least 1, not {count}")
    if count is not None:
        loaded = loaded.with_count(split, count)

    async def work() -> Evaluation:
        backend = await open_sandbox(sandbox, packages=tuple(loaded.packages), image=image)
        pool = SandboxPool(backend, isolation=isolation, evaluations=1)
        try:
            return await Evaluator(pool, run_secret(random_seed)).evaluate(source, loaded, split)
        finally:
            await pool.aclose()

    return run_sync(work())
