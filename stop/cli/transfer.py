"""`stop transfer`: two improvers on tasks that neither was made for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from stop.cli.options import (
    budget_options,
    improver_budget_options,
    improver_run_options,
    lm_options,
    policy_options,
    runs_dir_option,
    sandbox_options,
    seed_option,
)
from stop.cli.output import clean, interval, json_option, note, number, say, show_json, table
from stop.errors import ConfigError

if TYPE_CHECKING:
    from stop.experiments.transfer.report import Transfer
    from stop.recorded_run import Run

_TRAINED = {True: " (trained on)", False: "", None: ""}


@click.command()
@click.argument("run_name", metavar="[RUN]", required=False)
@click.option("--tasks", metavar="A,B", required=True, help="Names or folders of tasks.")
@click.option("--improver", metavar="FILE", help="Another improved improver than RUN's best.")
@click.option(
    "--baseline",
    metavar="FILE|RUN",
    default="seed",
    show_default=True,
    help="The improver that it is compared with.",
)
@lm_options
@click.option(
    "--repetitions",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Improver runs for each task and improver.",
)
@improver_run_options
@budget_options
@improver_budget_options
@sandbox_options
@policy_options
@seed_option
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    help="Evaluations and improver runs at once.  [default: 2]",
)
@runs_dir_option
@click.option("--dry-run", is_flag=True, help="Only say what it would do and cost at the most.")
@json_option
def transfer(
    run_name: str | None, improver: str | None, as_json: bool, dry_run: bool, **options: Any
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
    from stop.cli.display import RunProgress
    from stop.cli.run import show_plan
    from stop.cli.runs import find_improver, find_tapes
    from stop.experiments.plan import plan
    from stop.options import transfer_config

    runs_dir = options["runs_dir"]
    options["baseline"] = find_improver(options["baseline"], runs_dir)
    find_tapes(options)
    del options["runs_dir"]
    run = _run(run_name, runs_dir)
    if run is None and improver is None:
        raise ConfigError("nothing to compare", hint="name a run, or --improver FILE")
    what = improver if improver is not None else run
    assert what is not None
    config = transfer_config(what, trained_on=run, need_model=not dry_run, **options)
    if dry_run:
        show_plan(plan(config), as_json)
        return
    with RunProgress() as progress:
        result = api.begin(config, runs_dir, progress)
    show_transfer(result, as_json)


def _run(name: str | None, runs_dir: str) -> Run | None:
    from stop.cli.runs import find_run
    from stop.recorded_run import Run

    return None if name is None else Run(find_run(name, runs_dir, rounds_only=True))


def show_transfer(result: Transfer, as_json: bool) -> None:
    """The table, what the improver adds, the cost; then why it is not done, if it is not."""
    document = result.to_dict()
    if as_json:
        show_json(document)
    else:
        _show(document)
        note(f"\nrecorded in {result.folder}")
    if result.error is not None:
        raise result.error


def _show(document: dict[str, Any]) -> None:
    trained = {each["task"]: _TRAINED[each["trained_on"]] for each in document["tasks"]}
    _show_scores(document["rows"], trained)
    _show_gains(document["gains"], trained)
    for row in document["rows"]:
        if row["failed"] and row["split"] == "meta":
            say(f"{row['program']} on {row['task']}: {row['failed']} of {row['n']} runs without a")
            say(f"program, which counts as the lowest score; {clean(row['detail'][:120])}")
    if document["repetitions"] == 1 and document["rows"]:
        say("one repetition: the intervals are over instances and leave out how much the")
        say("model's answers vary from time to time; --repetitions 5 measures that as well")
    improver, lm = document["improver"], document["lm"]
    cost = "price unknown" if lm["usd"] is None else f"${lm['usd']:.4f}"
    tokens = f"{lm['prompt_tokens']} + {lm['completion_tokens']} tokens"
    known = improver["trained_on"]
    on = "not known" if known is None else ", ".join(map(clean, known)) or "no task"
    say(f"improver  {clean(improver['origin'])}")
    say(f"trained   on: {on}")
    say(f"model     {clean(document['model'])}")
    say(f"cost      {lm['calls']} LM calls, {lm['responses']} responses, {tokens}, {cost}")
    say(f"status    {document['status']}")


def _show_scores(rows: list[dict[str, Any]], trained: dict[str, str]) -> None:
    """One line for a task and a program, both splits beside each other."""
    lines: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        name = row["task"] + trained[row["task"]]
        line = lines.setdefault(
            (row["task"], row["program"]), [name, row["program"], "-", "", "-", "", "0"]
        )
        at = 2 if row["split"] == "meta" else 4
        line[at : at + 2] = [number(row["mean"]), interval(*(row["interval"] or (None, None)))]
        line[6] = str(row["n"])
    if lines:
        heads = ["task", "program", "meta", "95 % interval", "test", "95 % interval", "n"]
        table(heads, list(lines.values()))
        say()


def _show_gains(gains: list[dict[str, Any]], trained: dict[str, str]) -> None:
    rows = [
        [
            gain["task"] + trained[gain["task"]],
            gain["split"],
            f"{gain['difference']:+.4f}",
            interval(*(gain["interval"] or (None, None))),
            _p(gain["p"]),
            _p(gain["p_holm"]),
        ]
        for gain in gains
    ]
    if rows:
        say("improved improver minus seed improver, paired:")
        table(["task", "split", "difference", "95 % interval", "p", "p (Holm)"], rows)
        say()


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"
