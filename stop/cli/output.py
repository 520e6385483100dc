"""Words on a terminal: results to stdout, everything else to stderr, nothing a guest can abuse."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from stop._util.sheet import Block, Code, Table, clean


def say(text: str = "") -> None:
    """Prints a line of a command's result."""
    click.echo(text)


def note(text: str) -> None:
    """Prints a line about the progress of a command."""
    click.echo(text, err=True)


def show_json(document: Any) -> None:
    """Prints the one document of `--json`, plain data or dataclasses.

    ASCII only: a program's text may hold anything.
    """
    if not isinstance(document, Mapping):
        from stop._util.documents import to_document

        listed = isinstance(document, list)
        document = [to_document(each) for each in document] if listed else to_document(document)
    click.echo(json.dumps(document, indent=2, ensure_ascii=True))


def show(document: Any, sheet: Iterable[Block], as_json: bool) -> None:
    """Prints a result: its document with `--json`, else its sheet."""
    if as_json:
        show_json(document)
    else:
        show_sheet(sheet)


def show_sheet(sheet: Iterable[Block]) -> None:
    """Prints the blocks of a sheet, with empty lines around tables and texts."""
    previous: Block = ""
    for block in sheet:
        if previous and not (isinstance(previous, str) and isinstance(block, str)):
            say()
        if isinstance(block, Table):
            if block.title:
                say(clean(block.title))
            table(block.headers, block.rows)
        elif isinstance(block, Code):
            say(clean(block.text))
        elif isinstance(block, str):
            say(textwrap.fill(clean(block), 100))
        else:
            facts(block)
        previous = block


def facts(found: Mapping[str, Any]) -> None:
    """Prints one line for each fact, its name first."""
    width = max(map(len, found))
    for name, value in found.items():
        say(f"{name.ljust(width)}  {_in_one_line(str(value))}")


def left_out(count: int) -> list[Block]:
    """Says how many rows `--limit` left out."""
    return [f"... {count} more; --limit N shows them"] if count > 0 else []


def show_error(message: str, hint: str = "") -> None:
    """Prints an error: what happened, then what helps."""
    click.echo(click.style("error: ", fg="red", bold=True) + clean(message), err=True)
    if hint:
        click.echo(click.style("  try: ", fg="yellow") + clean(hint), err=True)


def fitting(line: str) -> str:
    """`line`, cut to the width of the terminal; whole where stdout is not one."""
    if not sys.stdout.isatty():
        return line
    width = shutil.get_terminal_size().columns
    return line if len(line) <= width else line[: width - 1] + "…"


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], *, fit: bool = False) -> None:
    """Prints aligned columns, plain enough for grep.

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
