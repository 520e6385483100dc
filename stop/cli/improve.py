"""`stop improve`: apply an improver once to one task's program."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stop.cli.options import (
    budget_options,
    improver_budget_options,
    lm_options,
    policy_options,
    runs_dir_option,
    sandbox_options,
    seed_option,
)
from stop.cli.output import clean, json_option, note, number, say, short, show_json
from stop.errors import ConfigError

if TYPE_CHECKING:
    from stop.experiments.improve.kind import Improved


@click.command()
@click.option("--task", required=True, metavar="T", help="A task's name or folder.")
@click.option("--program", metavar="FILE", help="To begin with. Default: the task's seed.")
@click.option(
    "--improver",
    metavar="FILE|RUN",
    default="seed",
    show_default=True,
    help="An improver program, or a run whose best improver is taken.",
)
@lm_options
@click.option("--calls", type=click.IntRange(min=1), default=1, show_default=True, help="LM calls.")
@click.option(
    "--responses",
    type=click.IntRange(min=1),
    default=6,
    show_default=True,
    help="Responses in one LM call.",
)
@click.option(
    "--max-response-tokens",
    type=click.IntRange(min=16),
    default=1024,
    show_default=True,
    help="Length of one response.",
)
@budget_options
@improver_budget_options
@sandbox_options
@policy_options
@seed_option
@runs_dir_option
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write the program here.")
@json_option
def improve(as_json: bool, output: str | None, **options: Any) -> None:
    """Apply an improver to a program of a task and print the better one.

    Scores are on instances that the improver did not see.

    \b
      stop improve --task knapsack --lm local:qwen2.5-coder-1.5b
      stop improve --task my_task/ --program mine.py --improver last -o better.py
    """
    from stop.api import improve as improve_program
    from stop.cli.display import RunProgress
    from stop.cli.runs import find_improver, find_tapes
    from stop.programs import Program

    if options["program"] is not None:
        options["program"] = Program.from_file(options["program"]).source
    options["improver"] = find_improver(options["improver"], options["runs_dir"])
    find_tapes(options)
    if output is not None:
        _check_writable(Path(output))
    with RunProgress() as progress:
        result = improve_program(progress=progress, **options)
    if output is not None:
        Path(output).write_text(result.source, "utf-8")
    show_improved(result, as_json)
    if output is not None:
        note(f"program in {output}")


def show_improved(result: Improved, as_json: bool) -> None:
    """What came of it: the change, both scores, the cost."""
    if as_json:
        show_json(result.to_dict())
        return
    before = result.before.source.splitlines(keepends=True)
    changes = difflib.unified_diff(
        before, result.source.splitlines(keepends=True), "before", "after"
    )
    say(clean("".join(changes)) or "(the program did not change)")
    say(f"before   {number(result.before.score)}  {short(result.before.program_id)}")
    say(f"after    {number(result.score)}  {short(result.program_id)}")
    if result.status != "ok":
        say(f"status   {result.status}: {clean(result.detail)}")
    lm = result.lm
    cost = "price unknown" if lm["usd"] is None else f"${lm['usd']:.4f}"
    tokens = f"{lm['prompt_tokens']} + {lm['completion_tokens']} tokens"
    say(f"cost     {lm['calls']} LM call(s), {lm['responses']} responses, {tokens}, {cost}")
    note(f"recorded in {result.run}")


def _check_writable(path: Path) -> None:
    """Before a model is asked: afterwards it would be too late."""
    try:
        path.open("a").close()
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
