"""The library: what `import stop` offers. Synchronous, also where an event loop runs (notebooks).

run = stop.run(tasks=["knapsack"], lm="openai:gpt-4o-mini", rounds=3, max_usd=2)
better = stop.improve(task="my_task/", improver=run)
stop.evaluate(better.source, task="my_task/", split="test").score
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack

from stop import bypass, rounds, transfers
from stop.audit import log as audit_log
from stop.broker import ENTRY_POINT
from stop.budget import ImproverBudget
from stop.concurrency import run_sync
from stop.config import PRESETS, RunConfig, run_secret
from stop.errors import ConfigError, ProgramError, StopError
from stop.evaluation import Evaluation
from stop.events import Progress, ProgressListener, ignore_progress
from stop.improvers import load_improver
from stop.limits import (
    Limits,
    ResumeLimits,
    check_names,
    improver_budget,
    round_budget,
    run_budget,
)
from stop.lineage import Lineage
from stop.lm import default_spec
from stop.programs import Program, syntax_problem
from stop.report import write_report
from stop.run_folder import create_run, read_config
from stop.sandbox import open_sandbox
from stop.sandbox.pool import SandboxPool
from stop.security import SUMMARIZED, Summary, summarize
from stop.session import open_session
from stop.store import ProgramRecord, Store
from stop.store.best import best_round
from stop.task import load_task
from stop.utility import Evaluator


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it is on disk.

    Attributes:
        folder: where everything of it lies.
        error: why it is not done, when `stop.run` ended early.
    """

    folder: Path
    error: StopError | None = field(default=None, compare=False)

    @property
    def config(self) -> RunConfig:
        return read_config(self.folder)

    def store(self) -> Store:
        """The run's records, read-only; close it after use."""
        return Store(self.folder / "run.db", read_only=True)

    def to_dict(self) -> dict[str, Any]:
        """The result as `stop run --json` prints it."""
        store = self.store()
        try:
            return rounds.summary(store, self.config, self.folder, self.security_events())
        finally:
            store.close()

    @property
    def best(self) -> ProgramRecord:
        """The accepted improver with the highest meta-utility."""
        store = self.store()
        try:
            best = best_round(store, self.config)
            if best is None or best.improver_id is None:
                raise StopError(f"{self.folder} has no improver with a meta-utility yet")
            return store.program(best.improver_id)
        finally:
            store.close()

    @property
    def lineage(self) -> Lineage:
        """Where each program came from."""
        return Lineage(self.folder)

    def report(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the story of the run as one HTML file; returns where it is.

        Args:
            path: the file.
            force: replace a file that is there, also one that is no report.

        Raises:
            StopError: the run's files are damaged, or there is a file that is no report.
        """
        return write_report(self.folder, Path(path), force=force)

    def program(self, prefix: str) -> ProgramRecord:
        """A program of the run by the beginning of its id."""
        store = self.store()
        try:
            return store.program(prefix)
        finally:
            store.close()

    def security_events(self) -> list[dict[str, Any]]:
        """The security events of the run's audit log, oldest first."""
        path = self.folder / "audit.jsonl"
        if not path.exists():
            return []
        return list(audit_log.read(path, "security"))

    def security_summary(self) -> Summary:
        """Which programs tried what, with the model and the round that brought it in."""
        path = self.folder / "audit.jsonl"
        config = self.config
        store = self.store()
        try:
            lines = audit_log.read(path, *SUMMARIZED) if path.exists() else ()
            if config.kind == "bypass":
                return summarize(store, lines, given=config.lm)
            return summarize(store, lines)
        finally:
            store.close()


def open_run(folder: str | Path) -> Run:
    """A run by its folder; `RunError` when there is none."""
    run_folder = Path(folder)
    read_config(run_folder)
    return Run(run_folder)


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
    return _carry_on(create_run(config, runs_dir), config, progress)


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
            (`round_max_usd`, ...); see `stop.limits.ResumeLimits`.
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
        return bypass.carry_on(Path(folder), config, progress)
    if config.kind == "transfer":
        return transfers.carry_on(Path(folder), config, progress, reason)
    return _carry_on(Path(folder), config, progress, reason)


def _carry_on(folder: Path, config: RunConfig, progress: ProgressListener, reason: str = "") -> Run:
    async def work() -> None:
        async with open_session(folder, progress, config, reason) as session:
            await rounds.run_rounds(session)

    progress(Progress("message", f"recording in {folder}"))
    try:
        run_sync(work())
    except KeyboardInterrupt:
        progress(Progress("message", f"what is recorded stays; to go on: stop resume {folder}"))
        raise
    except StopError as error:
        if not (folder / "run.db").exists():
            raise
        return Run(folder, error)
    return Run(folder)


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
            improver run (`improver_max_usd`, ...); see `stop.limits.Limits`.
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
    folder = create_run(config, Path(runs_dir))
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
    return transfers.carry_on(create_run(config, runs_dir), config, progress)


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
