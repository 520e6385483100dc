"""`stop run` and `stop resume`: rounds of self-improvement."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from stop.budget.limits import Limits, ResumeLimits
from stop.cli import options
from stop.cli.output import note, show
from stop.cli.runs import named, run_argument
from stop.experiments.rounds.config import Preset, RoundsConfig


@click.command()
@options.option(RoundsConfig, "tasks")
@options.option(RoundsConfig, "rounds")
@options.option(RoundsConfig, "preset", type=click.Choice(get_args(Preset)), default=None)
@options.several(RoundsConfig, "lm", "base_url", "lm_patience", "meta_lm", "meta_base_url")
@options.improver_option("The improver to begin with.")
@options.several(RoundsConfig, "repetitions", "accept", "alpha", "confirm_repetitions")
@options.several(RoundsConfig, "final_repetitions", "holdout")
@options.improver_run_options(RoundsConfig)
@options.limit_options(Limits)
@options.work_options(RoundsConfig)
@click.option("--dry-run", is_flag=True, help="Only say what it would do and could cost.")
@options.json_option
def run(as_json: bool, dry_run: bool, runs_dir: str, **all_options: Any) -> None:
    """Rounds of self-improvement.

    In round t the improver of round t-1 rewrites itself; what it makes is scored by the
    meta-utility: how good are the programs that it makes of the tasks' seeds?

    \b
      stop run --preset quick
      stop run --tasks maxcut,three_sat --rounds 3 --lm openai:gpt-4o-mini --max-usd 2
      stop run --tasks knapsack --lm local:qwen2.5-coder-1.5b --meta-lm openai:gpt-4o
    """
    from stop import api
    from stop.cli.results import carry_out
    from stop.experiments.plan import plan
    from stop.options import rounds_config

    wanted = named(all_options, runs_dir)
    config = rounds_config(**wanted, need_model=not dry_run)
    if dry_run:
        planned = plan(config)
        show(planned, planned.sheet(), as_json)
        return
    carry_out(lambda progress: api.begin(config, runs_dir, progress), as_json)


@click.command()
@run_argument
@options.limit_options(ResumeLimits)
@options.option(RoundsConfig, "lm_patience")
@click.option("--reason", help="Why a run that its policy halted may go on; logged.")
@options.json_option
def resume(folder: Path, as_json: bool, **all_options: Any) -> None:
    """Go on with RUN where it was; limits given here take the place of its own.

    RUN is a run's folder, its name, a part of it that fits no other, or `last`.
    """
    from stop import api
    from stop.cli.results import carry_out
    from stop.runs.folder import status_noted

    was_done = status_noted(folder) == "done"
    limits = options.given(all_options)
    carry_out(lambda progress: api.resume(folder, progress=progress, **limits), as_json)
    if was_done:
        note("it was done already: nothing was left to do")
