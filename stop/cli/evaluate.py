"""`stop evaluate`: score one program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stop.cli.options import given, json_option, sandbox_options, several, task_option
from stop.cli.output import note, show
from stop.config import RunConfig
from stop.tasks.files import InstanceCounts


@click.command()
@click.argument("program", type=click.Path(dir_okay=True))
@task_option
@click.option(
    "--split",
    type=click.Choice(list(InstanceCounts.model_fields)),
    default="test",
    show_default=True,
    help="Which instances: improvers see search, the meta-utility uses meta, reports use test.",
)
@click.option("--count", type=click.IntRange(min=1), help="Instances; default: the task's number.")
@sandbox_options
@several(RunConfig, "random_seed")
@json_option
def evaluate(program: str, task: str, split: Any, as_json: bool, **all_options: Any) -> None:
    """Score PROGRAM (a Python file) on a task, in the sandbox.

    A program that fails is an answer: its status says why, and the exit code is 0.

    \b
      stop evaluate --task knapsack my_program.py
      stop evaluate --task tasks/mine my_program.py --split search --json
    """
    from stop import api

    if not as_json:
        note(f"evaluating {program} on {task}, split {split}")
    result = api.evaluate(Path(program), task=task, split=split, **given(all_options))
    show(result.to_dict(), result.sheet(), as_json)
