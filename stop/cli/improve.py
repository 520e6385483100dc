"""`stop improve`: apply an improver once to one task's program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stop.budget.limits import OneRunLimits
from stop.cli import options
from stop.cli.output import note
from stop.cli.runs import named
from stop.errors import ConfigError
from stop.experiments.improve.config import ImproveConfig


@click.command()
@options.task_option
@click.option("--program", metavar="FILE", help="To begin with. Defaults to the task's seed.")
@options.improver_option("An improver program, or a run whose best improver is taken.")
@options.several(ImproveConfig, "lm", "base_url", "lm_patience")
@options.improver_run_options(ImproveConfig)
@options.limit_options(OneRunLimits)
@options.work_options(ImproveConfig)
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write the program here.")
@options.json_option
def improve(
    task: str, program: str | None, as_json: bool, output: str | None, runs_dir: str,
    **all_options: Any,
) -> None:  # fmt: skip
    """Apply an improver to a program of a task and print the better one.

    Scores are on instances that the improver did not see.

    \b
      stop improve --task knapsack --lm local:qwen2.5-coder-1.5b
      stop improve --task my_task/ --program mine.py --improver last -o better.py
    """
    from stop import api
    from stop.cli.display import RunProgress
    from stop.cli.results import show_result

    wanted = named(all_options, runs_dir)
    begun = None if program is None else Path(program)
    if output is not None:
        _check_writable(Path(output))
    with RunProgress() as progress:
        result = api.improve(begun, task=task, runs_dir=runs_dir, progress=progress, **wanted)
    if output is not None:
        Path(output).write_text(result.source, "utf-8")
    show_result(result, as_json)
    if output is not None:
        note(f"program in {output}")


def _check_writable(path: Path) -> None:
    """Before a model is asked: afterwards it would be too late."""
    try:
        path.open("a").close()
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
