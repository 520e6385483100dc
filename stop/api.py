"""The library: what `import stop` offers. Synchronous, also where an event loop runs (notebooks).

run = stop.run(tasks=["knapsack"], lm="openai:gpt-4o-mini", rounds=3, max_usd=2)
better = stop.improve(task="my_task/", improver=run)
stop.evaluate(better.source, task="my_task/", split="test").score
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from stop._util.concurrency import run_sync
from stop.budget.limits import (
    ResumeLimits,
    check_names,
    round_budget,
    run_budget,
)
from stop.config import RunConfig, run_secret
from stop.engine.evaluator import Evaluator
from stop.engine.session import open_session
from stop.events import Progress, ProgressListener, ignore_progress
from stop.experiments import bypass, rounds
from stop.experiments import transfer as transfers
from stop.experiments.working import work_on
from stop.options import run_config, transfer_config
from stop.programs import Program
from stop.recorded_run import Run
from stop.runs.folder import new_run, read_config
from stop.sandbox import open_sandbox
from stop.sandbox.pool import SandboxPool
from stop.tasks.evaluation import Evaluation
from stop.tasks.task import load_task

# --- rounds


def run(
    *,
    runs_dir: str | Path = "runs",
    progress: ProgressListener = ignore_progress,
    **options: Any,
) -> Run:
    """Rounds of self-improvement; see `run_config` for the options.

    A run that cannot go on (budget, model, sandbox) is returned with `error` set and keeps what it
    has; `resume` goes on.
    """
    return run_from_config(run_config(**options), Path(runs_dir), progress)


def run_from_config(config: RunConfig, runs_dir: Path, progress: ProgressListener) -> Run:
    """As `run`, for a configuration that was made before."""
    with new_run(config, runs_dir) as folder:
        return _carry_on(folder, config, progress)


def resume(
    folder: str | Path,
    *,
    lm_patience: float | None = None,
    reason: str = "",
    progress: ProgressListener = ignore_progress,
    **limits: Unpack[ResumeLimits],
) -> Run | Improved | bypass.BypassRates | transfers.Transfer:
    """Go on where a run, an improve, a bypass or a transfer was. Limits given replace its own.

    Args:
        folder: of the run.
        limits: of the whole run (`max_usd`, ...) and of each round that has not ended
            (`round_max_usd`, ...); see `stop.budget.limits.ResumeLimits`.
        lm_patience: seconds without an answer after which a model's server is given up.
        reason: why a run that its policy halted should go on; it is logged.
        progress: told what happens.

    Returns:
        What `run`, `improve`, `measure_bypass` or `transfer` would have returned.
    """
    check_names(limits, ResumeLimits)
    config = read_config(Path(folder))
    config = config.changed(
        budget=run_budget(limits, config.budget),
        round_budget=round_budget(limits, config.round_budget),
        lm_patience=config.lm_patience if lm_patience is None else lm_patience,
    )
    if config.kind == "improve":
        return _improve_in(Path(folder), config, progress, reason)
    if config.kind == "bypass":
        return bypass.carry_on(Path(folder), config, progress, reason)
    if config.kind == "transfer":
        return transfers.carry_on(Path(folder), config, progress, reason)
    return _carry_on(Path(folder), config, progress, reason)


def _carry_on(folder: Path, config: RunConfig, progress: ProgressListener, reason: str = "") -> Run:
    return Run(folder, work_on(folder, config, progress, rounds.run_rounds, reason))


# --- one program, one task


@dataclass(frozen=True, slots=True)
class Improved:
    """What `improve` came to: a program and its score on the meta split, beside the initial one."""

    source: str
    program_id: str
    score: float
    status: str
    detail: str
    before: ProgramAndScore
    lm: dict[str, Any]
    utility_calls: int
    events: tuple[dict[str, Any], ...]
    run: Path

    def to_dict(self) -> dict[str, Any]:
        """As `stop improve --json` prints it."""
        return {
            "program_id": self.program_id,
            "source": self.source,
            "score": self.score,
            "status": self.status,
            "detail": self.detail,
            "before": {"program_id": self.before.program_id, "score": self.before.score},
            "lm": self.lm,
            "utility_calls": self.utility_calls,
            "events": list(self.events),
            "run": str(self.run),
        }


@dataclass(frozen=True, slots=True)
class ProgramAndScore:
    program_id: str
    source: str
    score: float


def improve(
    program: str | None = None,
    *,
    task: str | Path,
    improver: str | Run | Program = "seed",
    lm: str | None = None,
    base_url: str | None = None,
    calls: int = 1,
    responses: int = 6,
    max_response_tokens: int = 1024,
    runs_dir: str | Path = "runs",
    progress: ProgressListener = ignore_progress,
    **options: Any,
) -> Improved:
    """Apply an improver once.

    Args:
        program: source text to begin with; None: the task's seed.
        task: a name or folder.
        improver: "seed", a file, or a run whose best improver is taken.
        lm, base_url: the language model.
        calls, responses: LM calls, and responses in one call.
        options: as of `run_config`: limits, sandbox, isolation, seed.

    Raises:
        StopError: no result. What was paid for is in the run folder.
    """
    config = run_config(
        tasks=(str(task),), rounds=0, repetitions=1, improver=improver, lm=lm, base_url=base_url,
        calls=calls, responses=responses, max_response_tokens=max_response_tokens, **options,
    ).changed(kind="improve", program=program)  # fmt: skip
    with new_run(config, Path(runs_dir)) as folder:
        progress(Progress("message", f"recording in {folder}"))
        return _improve_in(folder, config, progress)


def _improve_in(
    folder: Path, config: RunConfig, progress: ProgressListener, reason: str = ""
) -> Improved:
    async def work() -> rounds.Improvement:
        async with open_session(folder, progress, config, reason) as session:
            return await rounds.improve_once(session)

    result = run_sync(work())
    events = [
        {"kind": e["event"], "level": e["level"], "detail": e["detail"]}
        for e in Run(folder).security_events()
    ]
    initial = Run(folder).program(result.before.program_id)
    return Improved(
        source=result.source,
        program_id=result.program_id,
        score=result.after.score,
        status=result.status,
        detail=result.detail,
        before=ProgramAndScore(initial.id, initial.source, result.before.score),
        lm=result.spent.to_dict(),
        utility_calls=result.utility_calls,
        events=tuple(events),
        run=folder,
    )


# --- two improvers, tasks that neither was made for


def transfer(
    improver: str | Run | Program,
    *,
    runs_dir: str | Path = "runs",
    progress: ProgressListener = ignore_progress,
    **options: Any,
) -> transfers.Transfer:
    """What does an improved improver make of tasks, beside what the seed improver makes of them?

    Args:
        improver: the improved one: a run, whose best is taken, a file, or a program.
        options: as of `transfer_config`: tasks, lm, repetitions, limits.

    Returns:
        What is there. When it could not be finished (budget, model, sandbox) `error` says why;
        `resume` goes on.
    """
    return transfer_from_config(transfer_config(improver, **options), Path(runs_dir), progress)


def transfer_from_config(
    config: RunConfig, runs_dir: Path, progress: ProgressListener
) -> transfers.Transfer:
    """As `transfer`, for a configuration that was made before."""
    with new_run(config, runs_dir) as folder:
        return transfers.carry_on(folder, config, progress)


# --- one score


def evaluate(
    source: str,
    *,
    task: str | Path,
    split: str = "test",
    count: int | None = None,
    sandbox: str = "auto",
    isolation: str = "fork",
    image: str | None = None,
    seed: int | None = None,
) -> Evaluation:
    """Score one program in the sandbox; a failing program is a result with a status.

    Args:
        source: the program's text.
        task: a name or folder.
        split: "search", "meta" or "test".
        count: instances; default: the task's number for that split.
        seed: the same seed gives the same instances on this machine; None draws new ones.

    Raises:
        TaskError, SandboxError: the host cannot score it.
    """
    loaded = load_task(task)
    if count is not None:
        loaded = loaded.with_count(split, count)

    async def work() -> Evaluation:
        backend = await open_sandbox(sandbox, packages=tuple(loaded.packages), image=image)
        pool = SandboxPool(backend, isolation=isolation, evaluations=1)  # type: ignore[arg-type]
        try:
            return await Evaluator(pool, run_secret(seed)).evaluate(source, loaded, split)
        finally:
            await pool.aclose()

    return run_sync(work())
