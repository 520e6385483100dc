"""`stop replay`: a run again from its tape, and what is not as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stop.cli.options import runs_dir_option
from stop.cli.output import clean, json_option, note, say, short, show_json
from stop.errors import StopError

if TYPE_CHECKING:
    from stop.replays import Difference, Replay


@click.command()
@click.argument("run_name", metavar="RUN")
@click.option(
    "--sandbox",
    type=click.Choice(["auto", "docker", "bubblewrap"]),
    help="Another one than the run's.",
)
@click.option("--keep", metavar="DIR", help="Keep the repetition here, as a run of its own.")
@runs_dir_option
@json_option
def replay(
    run_name: str, sandbox: str | None, keep: str | None, runs_dir: str, as_json: bool
) -> None:
    """Do RUN again, with its own responses and no model, and say what comes out differently.

    Programs, scores, rounds and security events are compared; an improver that is not
    deterministic is named, with the reason. A run that is not done is compared as far as it came.
    Nothing in RUN's folder changes.

    Exit code 0: everything is as it was, 1: it is not.

    \b
      stop replay last
      stop replay last --keep again && stop lineage again
    """
    from stop.cli.display import RunProgress
    from stop.cli.runs import find_run
    from stop.replays import replay as replay_run

    with RunProgress() as progress:
        result = replay_run(
            find_run(run_name, runs_dir), sandbox=sandbox, keep=keep, progress=progress
        )
    if as_json:
        show_json(result.to_dict())
    else:
        _show(result)
    if result.kept is not None:
        note(f"kept in {result.kept}")
    if not result.same:
        count = len(result.differences)
        raise StopError(f"the repetition differs from the run in {count} thing(s)")


def _show(result: Replay) -> None:
    for cause in result.causes:
        say(f"{'not as then' if result.same else 'likely cause'}  {clean(cause)}")
    for identity, differences in result.improvers.items():
        say(f"\nimprover {short(identity)} is not deterministic")
        for each in differences:
            say(f"  {each.improver_run}: {clean(each.detail)}")
    _show_others("\nbeside improvers", [d for d in result.differences if _is_other(d)])
    _show_others("\nwhat may follow from it", [d for d in result.differences if d.follows])
    if result.differences:
        say()
    counts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in result.compared.items())
    say(f"compared      {counts}")
    if result.ended:
        say(f"ended early   {clean(result.ended)}")
    same = "the same" if any(result.compared.values()) else "nothing came to its end then"
    say(f"result        {same if result.same else f'{len(result.differences)} differences'}")


def _is_other(difference: Difference) -> bool:
    return not difference.follows and not difference.improver_id


def _show_others(title: str, differences: list[Difference]) -> None:
    if differences:
        say(title)
    for each in differences:
        place = each.improver_run or (
            f"program {short(each.program_id)}" if each.program_id else ""
        )
        say(f"  {place + ': ' if place else ''}{clean(each.detail)}")
