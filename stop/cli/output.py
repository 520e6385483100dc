"""Words on a terminal: results to stdout, everything else to stderr, nothing a guest can abuse."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any

import click

json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else there."
)


def say(text: str = "") -> None:
    """A line of a command's result."""
    click.echo(text)


def note(text: str) -> None:
    """A line about how things go."""
    click.echo(text, err=True)


def show_json(document: Any) -> None:
    """The one document of `--json`. ASCII only: a program's text may hold anything."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=True, default=str))


def show_error(message: str, hint: str = "") -> None:
    """One error: what happened, then what helps."""
    click.echo(click.style("error: ", fg="red", bold=True) + clean(message), err=True)
    if hint:
        click.echo(click.style("  try: ", fg="yellow") + clean(hint), err=True)


def clean(text: str) -> str:
    """`text` without control characters: a guest's words must not steer the terminal."""
    return "".join(
        c if c in "\n\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def fitting(line: str) -> str:
    """`line`, cut to the width of the terminal; whole where stdout is none."""
    if not sys.stdout.isatty():
        return line
    width = shutil.get_terminal_size().columns
    return line if len(line) <= width else line[: width - 1] + "…"


def short(identity: str | None) -> str:
    """The first characters of a program id; commands accept them in place of the whole."""
    return identity[:10] if identity else "-"


def number(value: float | None) -> str:
    """A score as people read it."""
    return "-" if value is None else f"{value:.4f}"


def interval(low: float | None, high: float | None) -> str:
    """A 95 % interval, or "" where there is none."""
    return "" if low is None or high is None else f"[{low:.4f}, {high:.4f}]"


def table(headers: list[str], rows: list[list[Any]], *, fit: bool = False) -> None:
    """Aligned columns on stdout, plain enough for grep.

    Args:
        headers: one for each column.
        rows: of cells; text of any kind.
        fit: cut lines to the width of the terminal.
    """
    cells = [[_in_one_line(str(cell)) for cell in row] for row in [headers, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    for i, row in enumerate(cells):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        line = fitting(line.rstrip()) if fit else line.rstrip()
        click.echo(click.style(line, bold=True) if i == 0 else line)


def _in_one_line(text: str) -> str:
    """A cell must not begin a row of its own."""
    return clean(text).replace("\n", "\N{SYMBOL FOR NEWLINE}").replace("\t", " ")


def is_terminal() -> bool:
    """Whether a person watches stderr."""
    return sys.stderr.isatty()
