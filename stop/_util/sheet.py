"""Results as people read them: numbers in words, and tables for terminals and notebooks.

A sheet is a list of blocks: tables, facts by name, and remarks. The command line prints it as text
(`stop.cli.output.show_sheet`), a notebook shows it as HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

ONE_REPETITION = (
    "one repetition: it has no interval, as nothing shows how much the model's answers vary from "
    "time to time; 5 repetitions and more do"
)


class Table(NamedTuple):
    """Rows of cells under their headers; cells are shown by `str`."""

    headers: Sequence[str]
    rows: Sequence[Sequence[Any]]
    title: str = ""


class Code(NamedTuple):
    """The text of a program, or of a change."""

    text: str


Block = Table | Mapping[str, str] | Code | str
"""A table, facts by name, a program's text, or a remark."""
Sheet = list[Block]


def clean(text: str) -> str:
    """`text` without characters that steer a terminal or reorder text: a guest may have sent it."""
    return "".join(
        c if c in "\n\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def short(identity: str | None) -> str:
    """The first characters of a program id; commands accept them in place of the whole."""
    return identity[:10] if identity else "-"


def number(value: float | None) -> str:
    """A score as people read it."""
    return "-" if value is None else f"{value:.4f}"


def interval(ends: Sequence[float | None] | None) -> str:
    """A 95 % interval, or "" where there is none."""
    return "" if ends is None or None in ends else f"[{ends[0]:.4f}, {ends[1]:.4f}]"


def p_value(value: float | None) -> str:
    """A p-value, or "-" where there is none."""
    if value is None:
        return "-"
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def money(usd: float | None) -> str:
    """US dollars; None stands for an unknown price."""
    return "price unknown" if usd is None else f"${usd:.4f}"


def plural(n: int, one: str) -> str:
    """ "1 program", "3 programs"."""
    return f"{n:,} {one if n == 1 else one + 's'}"


def cost(lm: Mapping[str, Any]) -> str:
    """Calls, responses, tokens and money, see `stop.budget.LMCost`."""
    tokens = f"{lm['prompt_tokens']} + {lm['completion_tokens']} tokens"
    calls = f"{plural(lm['calls'], 'LM call')}, {plural(lm['responses'], 'response')}"
    return f"{calls}, {tokens}, {money(lm['usd'])}"


def to_html(sheet: Iterable[Block]) -> str:
    """Returns a sheet as HTML for a notebook. All texts are escaped: models wrote some of them."""
    return "\n".join(map(_block, sheet))


def _block(block: Block) -> str:
    if isinstance(block, str):
        return f"<p>{_text(block)}</p>"
    if isinstance(block, Code):
        return f"<pre>{_text(block.text)}</pre>"
    if isinstance(block, Table):
        title = f"<caption>{_text(block.title)}</caption>" if block.title else ""
        rows = [_row("th", block.headers), *(_row("td", row) for row in block.rows)]
    else:
        title = ""
        rows = [f"<tr><th>{_text(k)}</th><td>{_text(v)}</td></tr>" for k, v in block.items()]
    return f"<table>{title}{''.join(rows)}</table>"


def _row(tag: str, cells: Iterable[Any]) -> str:
    return f"<tr>{''.join(f'<{tag}>{_text(cell)}</{tag}>' for cell in cells)}</tr>"


def _text(value: Any) -> str:
    return escape(clean(str(value)))
