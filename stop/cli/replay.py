"""`stop replay`: a run again from its tape, and what is not as it was."""

from __future__ import annotations

from pathlib import Path

import click

from stop._util.sheet import plural
from stop.cli.options import json_option, option
from stop.cli.output import note, show
from stop.cli.runs import run_argument
from stop.config import RunConfig
from stop.errors import StopError


@click.command()
@option(RunConfig, "sandbox", default=None, help="Another one than the run's.")
@click.option("--keep", metavar="DIR", help="Keep the repetition here, as a run of its own.")
@run_argument
@json_option
def replay(folder: Path, sandbox: str | None, keep: str | None, as_json: bool) -> None:
    """Do RUN again, with its own responses and no model, and say what differs.

    Programs, scores, rounds and security events are compared; an improver that is not
    deterministic is named, with the reason. A run that is not done is compared as far as it went.
    Nothing in RUN's folder changes.

    Exit code 0: everything is as it was, 1: it is not.

    \b
      stop replay last
      stop replay last --keep again && stop lineage again
    """
    from stop.cli.display import RunProgress
    from stop.replays import replay as replay_run

    with RunProgress() as progress:
        result = replay_run(folder, sandbox=sandbox, keep=keep, progress=progress)
    show(result.to_dict(), result.sheet(), as_json)
    if result.kept is not None:
        note(f"kept in {result.kept}")
    if not result.same:
        things = plural(len(result.differences), "thing")
        raise StopError(f"the repetition differs from the run in {things}")
