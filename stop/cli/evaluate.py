"""`stop evaluate`: score one program."""

from __future__ import annotations

import click

from stop.cli.options import sandbox_options, seed_option
from stop.cli.output import clean, json_option, note, number, say, short, show_json, table


@click.command()
@click.argument("program", type=click.Path(dir_okay=True))
@click.option("--task", required=True, metavar="T", help="A task's name or folder.")
@click.option(
    "--split",
    type=click.Choice(["search", "meta", "test"]),
    default="test",
    show_default=True,
    help="Which instances: improvers see search, the meta-utility uses meta, reports use test.",
)
@click.option("--count", type=click.IntRange(min=1), help="Instances; default: the task's number.")
@sandbox_options
@seed_option
@json_option
def evaluate(program: str, task: str, as_json: bool, **options: object) -> None:
    """Score PROGRAM (a Python file) on a task, in the sandbox.

    A program that fails is an answer: its status says why, and the exit code is 0.

    \b
      stop evaluate --task knapsack my_program.py
      stop evaluate --task tasks/mine my_program.py --split search --json
    """
    from stop.api import evaluate as evaluate_program
    from stop.programs import Program

    source = Program.from_file(program).source
    if not as_json:
        note(f"evaluating {program} on {task}, split {options['split']}")
    result = evaluate_program(source, task=task, **options)  # type: ignore[arg-type]
    if as_json:
        show_json(result.to_dict())
        return
    say(f"program    {short(result.program_id)}  {program}")
    say(f"task       {result.task} ({result.split}, {len(result.instances)} instances)")
    ends = result.interval
    spread = "" if ends is None else f"  95 % interval {ends[0]:.4f} to {ends[1]:.4f}"
    say(f"score      {number(result.score)}{spread}")
    say(f"status     {result.status}" + (f": {clean(result.detail)}" if result.detail else ""))
    say(f"isolation  {result.isolation}")
    if result.events:
        say()
        table(
            ["level", "kind", "detail"],
            [[int(e.level), e.kind, e.detail] for e in result.events],
        )
