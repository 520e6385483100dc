"""`stop run` and `stop resume`: rounds of self-improvement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from stop.cli.options import (
    budget_options,
    improver_budget_options,
    improver_run_options,
    lm_options,
    patience_option,
    policy_options,
    round_budget_options,
    runs_dir_option,
    sandbox_options,
    seed_option,
)
from stop.cli.output import (
    interval,
    json_option,
    note,
    number,
    say,
    short,
    show_json,
    table,
)

if TYPE_CHECKING:
    from stop.recorded_run import Run


@click.command()
@click.option("--tasks", metavar="A,B", help="Names or folders, with commas between them.")
@click.option("--rounds", type=click.IntRange(min=0), help="Rounds, T.  [default: 6]")
@click.option(
    "--preset",
    type=click.Choice(["quick", "paper"]),
    help="quick: knapsack, about ten minutes with the local model; paper: the paper's parameters.",
)
@lm_options
@click.option("--meta-lm", metavar="SPEC", help="A model of its own for rewriting improvers.")
@click.option("--meta-base-url", metavar="URL", help="Of the meta model's server.")
@click.option(
    "--improver",
    metavar="FILE|RUN",
    default="seed",
    show_default=True,
    help="The improver to begin with.",
)
@click.option(
    "--accept",
    type=click.Choice(["better", "always"]),
    help="better: only with a higher meta-utility in a paired comparison on the same instances; "
    "always: each one that works, as in the paper.  [default: better]",
)
@click.option(
    "--repetitions",
    type=click.IntRange(min=1),
    help="Improver runs per task in the meta-utility.  [default: 5]",
)
@improver_run_options
@budget_options
@round_budget_options
@improver_budget_options
@sandbox_options
@policy_options
@seed_option
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    help="Evaluations and improver runs at once, on each level.  [default: 2]",
)
@runs_dir_option
@click.option("--dry-run", is_flag=True, help="Only say what it would do and cost at the most.")
@json_option
def run(as_json: bool, dry_run: bool, **options: Any) -> None:
    """Rounds of self-improvement.

    In round t the improver of round t-1 rewrites itself; what it makes is scored by the
    meta-utility: how good are the programs that it makes of the tasks' seeds?

    \b
      stop run --preset quick
      stop run --tasks maxcut,three_sat --rounds 3 --lm openai:gpt-4o-mini --max-usd 2
      stop run --tasks knapsack --lm local:qwen2.5-coder-1.5b --meta-lm openai:gpt-4o
    """
    from stop import api
    from stop.cli.display import RunProgress
    from stop.cli.runs import find_improver, find_tapes
    from stop.experiments.plan import plan
    from stop.options import rounds_config

    options["improver"] = find_improver(options["improver"], options["runs_dir"])
    find_tapes(options)
    runs_dir = options.pop("runs_dir")
    config = rounds_config(**options, need_model=not dry_run)
    if dry_run:
        show_plan(plan(config), as_json)
        return
    with RunProgress() as progress:
        result = api.begin(config, runs_dir, progress)
    _show_result(result, as_json)


@click.command()
@click.argument("run_name", metavar="RUN")
@budget_options
@round_budget_options
@patience_option
@click.option("--reason", default="", help="Why a run that its policy halted may go on; logged.")
@runs_dir_option
@json_option
def resume(run_name: str, reason: str, runs_dir: str, as_json: bool, **limits: Any) -> None:
    """Go on with RUN where it was; limits given here take the place of its own.

    RUN is a run's folder, its name, a part of it that fits no other, or `last`.
    """
    from stop import api
    from stop.cli.bypass import show_rates
    from stop.cli.display import RunProgress
    from stop.cli.improve import show_improved
    from stop.cli.runs import find_run
    from stop.cli.transfer import show_transfer
    from stop.experiments.improve.kind import Improved
    from stop.experiments.transfer.report import Transfer
    from stop.recorded_run import Run

    folder = find_run(run_name, runs_dir)
    with RunProgress() as progress:
        result = api.resume(folder, reason=reason, progress=progress, **limits)
    if isinstance(result, Run):
        _show_result(result, as_json)
    elif isinstance(result, Improved):
        show_improved(result, as_json)
    elif isinstance(result, Transfer):
        show_transfer(result, as_json)
    else:
        show_rates(result, as_json)


def _show_result(result: Run, as_json: bool) -> None:
    """The summary; then the reason why the run is not done, if it is not, as an error."""
    document = result.to_dict()
    if as_json:
        show_json(document)
    else:
        _show_rounds(document)
        note(f"\nrecorded in {result.folder}")
        note(f"look closer: stop lineage {result.folder}")
    if result.error is not None:
        raise result.error


def _show_rounds(document: dict[str, Any]) -> None:
    rows = []
    for each in [document["seed"], *document["rounds"]]:
        if each is None:
            continue
        ends = each["interval"] or (None, None)
        gain = "" if each["difference"] is None else f"{each['difference']:+.4f}"
        verdict = "yes" if each["accepted"] else "no"
        name = "seed" if each["round"] == 0 else str(each["round"])
        rows.append(
            [name, short(each["improver_id"]), number(each["meta_utility"]), interval(*ends), gain,
             verdict, each["detail"][:60] or each["status"]]
        )  # fmt: skip
    if rows:
        heads = ["round", "improver", "meta-utility", "95 % interval", "gain", "accepted", "note"]
        table(heads, rows)
        say()
        if document["repetitions"] == 1:
            say("one repetition: the intervals are over instances and leave out how much the")
            say("model's answers vary from time to time; --repetitions 5 measures that as well")
            say()
    best, lm = document["best"], document["lm"]
    if best:
        say(f"best      {short(best['program_id'])} of round {best['round']}, "
            f"meta-utility {number(best['meta_utility'])}")  # fmt: skip
    cost = "price unknown" if lm["usd"] is None else f"${lm['usd']:.4f}"
    tokens = f"{lm['prompt_tokens']} + {lm['completion_tokens']} tokens"
    say(f"cost      {lm['calls']} LM calls, {lm['responses']} responses, {tokens}, {cost}")
    levels = document["security_programs"]
    say(f"security  {document['security_events']} event(s); programs: {levels['1']} with intent, "
        f"{levels['2']} attempted, {levels['3']} tampered")  # fmt: skip
    say(f"status    {document['status']}")


def show_plan(document: dict[str, Any], as_json: bool) -> None:
    """What `--dry-run` says."""
    if as_json:
        show_json(document)
        return
    say(f"tasks              {', '.join(document['tasks'])}")
    say(
        f"rounds             {document['rounds']}, {document['repetitions']} repetition(s) per task"
    )
    say(f"models             {document['lm']}; improvers: {document['meta_lm']}")
    say("\nat the most:")
    most = document["at_most"]
    say(f"  improver runs    {most['improver_runs']}")
    say(f"  LM calls         {most['lm_calls']}")
    say(f"  responses        {most['responses']}")
    say(f"  tokens           {most['completion_tokens']} written, "
        f"{most['prompt_tokens']} read (prompts as long as the seed improver's)")  # fmt: skip
    say(f"  utility calls    {most['utility_calls']}")
    usd = "price unknown" if most["usd"] is None else f"${most['usd']:.2f}"
    say(f"  money            {usd}")
    if "seconds" in most:
        say(f"  seconds          {most['seconds']:g}")
    if any(document["limits"].values()):
        say()
    for level, limits in document["limits"].items():
        if limits:
            shown = ", ".join(f"{limit:g} {name}" for name, limit in limits.items())
            say(f"limits of each {level}: {shown}".replace("each run", "the run").replace("_", " "))
