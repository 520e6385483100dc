"""`stop report`: the story of a run as one HTML file."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from stop.cli.options import runs_dir_option
from stop.cli.output import json_option, note, say, show_json


@click.command()
@click.argument("run_name", metavar="RUN")
@click.option(
    "-o", "--output", metavar="FILE", help="Where to write it; default: the run's name, here."
)
@click.option("--force", is_flag=True, help="Replace FILE, also when it is no report.")
@click.option("--open", "show", is_flag=True, help="Show it in the browser.")
@runs_dir_option
@json_option
def report(
    run_name: str, output: str | None, *, force: bool, show: bool, runs_dir: str, as_json: bool
) -> None:
    """Write the story of RUN as one HTML file that needs no network.

    The result with its interval, the change that gave the gain, the tree of programs, costs,
    security events, and the configuration. What programs and models wrote is shown as text.
    """
    from stop.cli.runs import find_run
    from stop.recorded_run import open_run

    run = open_run(find_run(run_name, runs_dir))
    path = run.report(output or f"{run.folder.resolve().name}.html", force=force)
    size = path.stat().st_size
    if as_json:
        show_json({"run": str(run.folder), "path": str(path), "bytes": size})
    else:
        say(str(path))
        note(f"{size / 1024:,.0f} KiB, complete in itself: open it in any browser")
    if show and not webbrowser.open(Path(path).resolve().as_uri()):
        note("no browser could be started here")
