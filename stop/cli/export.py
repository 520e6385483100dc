"""`stop export`: the tables of a run as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stop.cli.output import note
from stop.cli.runs import run_argument
from stop.errors import ConfigError

if TYPE_CHECKING:
    from stop.runs.export import Format


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "csv", "parquet"]),
    default="json",
    show_default=True,
    help="json: one document; csv, parquet: a folder with one file for each table.",
)
@click.option("-o", "--output", metavar="PATH", required=True, help="The file, or the folder.")
@run_argument
def export(folder: Path, form: Format, output: str) -> None:
    """Write the tables of RUN for other programs: programs, scores, LM calls, events.

    Files that are in the way are replaced. The texts are what programs and models wrote. In CSV,
    text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    from stop.runs.export import export as write

    if output == "-":
        raise ConfigError("the tables go to files", hint="-o tables.json; or a reader with --json")
    write(folder, form, Path(output), lambda name, rows: note(f"{name:<16} {rows:>9} rows"))
    note(f"written to {output}")
