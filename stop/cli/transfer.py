"""`stop transfer`: two improvers on tasks that neither was made for."""

from __future__ import annotations

from typing import Any

import click

from stop.budget.limits import OneRunLimits
from stop.cli import options
from stop.cli.output import show
from stop.cli.runs import find_run, named
from stop.errors import ConfigError
from stop.experiments.transfer.config import TransferConfig


@click.command()
@click.argument("run_name", metavar="[RUN]", required=False)
@options.option(TransferConfig, "tasks", required=True)
@click.option("--improver", metavar="FILE", help="Another improved improver than RUN's best.")
@options.improver_option("The improver that it is compared with.", "baseline")
@options.several(TransferConfig, "lm", "base_url", "lm_patience")
@options.option(TransferConfig, "repetitions", help="Improver runs for each task and improver.")
@options.improver_run_options(TransferConfig)
@options.limit_options(OneRunLimits)
@options.work_options(TransferConfig)
@click.option("--dry-run", is_flag=True, help="Only say what it would do and could cost.")
@options.json_option
def transfer(
    run_name: str | None, as_json: bool, dry_run: bool, runs_dir: str, **all_options: Any
) -> None:
    """Is what RUN made of its improver better on other tasks, too?

    For each task: the score of the seed solution, of what the seed improver makes of it, and of
    what the best improver of RUN makes of it. Both improvers meet the same instances, and the same
    responses where they ask the same. Tasks that RUN was not trained on are the point.

    \b
      stop transfer last --tasks maxcut,three_sat --lm openai:gpt-4o-mini --max-usd 1
      stop transfer --improver mine.py --tasks tsp --repetitions 3
    """
    from stop import api
    from stop.cli.results import carry_out
    from stop.experiments.plan import plan
    from stop.options import transfer_config
    from stop.recorded_run import Run

    improver = all_options.pop("improver")
    wanted = named(all_options, runs_dir)
    run = Run(find_run(run_name, runs_dir, rounds_only=True)) if run_name is not None else None
    improved = improver or run
    if improved is None:
        raise ConfigError("nothing to compare", hint="name a run, or --improver FILE")
    config = transfer_config(improved, trained_on=run, need_model=not dry_run, **wanted)
    if dry_run:
        planned = plan(config)
        show(planned, planned.sheet(), as_json)
        return
    carry_out(lambda progress: api.begin(config, runs_dir, progress), as_json)
