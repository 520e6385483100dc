"""`stop report`: the story of a run as one HTML file."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from stop.cli.options import json_option
from stop.cli.output import note, say, show_json
from stop.cli.runs import run_argument


@click.command()
@click.option(
    "-o", "--output", metavar="FILE", help="Where to write it; default: the run's name, here."
)
@click.option("--force", is_flag=True, help="Replace FILE, also when it is not a report.")
@click.option("--open", "show", is_flag=True, help="Show it in the browser.")
@run_argument
@json_option
def report(folder: Path, output: str | None, *, force: bool, show: bool, as_json: bool) -> None:
    """Write the story of RUN as one HTML file that needs no network.

    The result with its interval, the change that gave the gain, the tree of programs, costs,
    security events, and the configuration. What programs and models wrote is shown as text.
    """
    from stop.cli.documents.runs import ReportFile
    from stop.recorded_run import open_run

    path = open_run(folder).report(output or f"{folder.resolve().name}.html", force=force)
    size = path.stat().st_size
    if as_json:
        show_json(ReportFile(folder, path, size))
    else:
        say(str(path))
        note(f"{size / 1024:,.0f} KiB, complete in itself: open it in any browser")
    if show and not webbrowser.open(path.resolve().as_uri()):
        note("no browser could be started here")
