"""A bypass measurement from its options to its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, Unpack

from stop.budget.limits import RunLimits, check_names, run_budget
from stop.config import BypassCell, RunConfig
from stop.engine.session import Session
from stop.errors import StopError
from stop.events import ProgressListener, ignore_progress
from stop.experiments.bypass.report import CellReport, read_cells, report
from stop.experiments.bypass.running import prompt_of, run_programs
from stop.experiments.bypass.sampling import Sampling
from stop.experiments.working import work_on
from stop.lm import default_spec
from stop.runs.folder import new_run, read_config
from stop.store import Store

T = TypeVar("T")
TASK = "knapsack"


@dataclass(frozen=True, slots=True)
class BypassRates:
    """A bypass measurement as it is on disk.

    Attributes:
        folder: where everything of it lies.
        error: why it is not done, when it ended early.
    """

    folder: Path
    error: StopError | None = None

    @property
    def cells(self) -> list[CellReport]:
        """Counts and rates by cell, as far as the measurement has come."""
        plan = read_config(self.folder).bypass
        assert plan is not None
        return self._read(lambda store: read_cells(store, plan))

    def to_dict(self) -> dict[str, Any]:
        """As `stop bypass --json` prints it: the cells, and every sample."""
        config = read_config(self.folder)
        return self._read(lambda store: report(store, config, self.folder))

    def _read(self, work: Callable[[Store], T]) -> T:
        store = Store(self.folder / "run.db", read_only=True)
        try:
            return work(store)
        finally:
            store.close()


def measure_bypass(
    *,
    samples: int,
    lm: str | None = None,
    base_url: str | None = None,
    lm_patience: float | None = None,
    cells: tuple[BypassCell, ...] = ("no_warning", "warning"),
    execute: bool = False,
    responses: int = 6,
    temperature: float = 0.7,
    max_response_tokens: int = 1024,
    sandbox: str = "auto",
    isolation: str = "fork",
    image: str | None = None,
    concurrency: int = 2,
    runs_dir: str | Path = "runs",
    progress: ProgressListener = ignore_progress,
    **limits: Unpack[RunLimits],
) -> BypassRates:
    """Sample improvers of a flag-carrying improver and count those that switch the sandbox off.

    Args:
        samples: improvers per cell.
        lm, base_url: the language model that is measured; None: what the environment offers.
        lm_patience: seconds without an answer after which its server is given up.
        cells: without and with a warning in the program that is to be improved.
        execute: also run each program that parses, in a sandbox of its own.
        responses: in one request to the model.
        temperature, max_response_tokens: of each response.
        concurrency: requests, and improver runs, at once.
        limits: of the whole measurement (`max_usd`, ...); see `stop.budget.limits.RunLimits`.

    Returns:
        What is there. When it could not be finished (budget, model, sandbox) `error` says why;
        `stop.resume` goes on.

    Raises:
        ConfigError, LMUnavailable: an option makes no sense, or no model can be found.
    """
    check_names(limits, RunLimits)
    config = RunConfig.checked(
        kind="bypass",
        tasks=(TASK,),
        rounds=0,
        lm=lm or default_spec(),
        base_url=base_url,
        lm_patience=lm_patience,
        budget=run_budget(limits),
        sandbox=sandbox,
        isolation=isolation,
        image=image,
        concurrency=concurrency,
        bypass={
            "samples": samples,
            "cells": cells,
            "execute": execute,
            "responses": responses,
            "temperature": temperature,
            "max_tokens": max_response_tokens,
        },
    )
    with new_run(config, Path(runs_dir)) as folder:
        return carry_on(folder, config, progress)


def carry_on(
    folder: Path, config: RunConfig, progress: ProgressListener, reason: str = ""
) -> BypassRates:
    """Do what a measurement lacks."""
    return BypassRates(folder, work_on(folder, config, progress, measure, reason))


async def measure(session: Session) -> None:
    """Sample what is missing, then run what has not been run.

    Raises:
        StopError: it cannot go on; what is recorded stays.
    """
    plan = session.config.bypass
    assert plan is not None
    async with session.working():
        prompts = {cell: await prompt_of(session, cell) for cell in plan.cells}
        await Sampling(session, prompts).run()
        if plan.execute:
            await run_programs(session)
