"""`stop bypass`: how often a model switches the sandbox off."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from stop.cli.options import lm_budget_options, lm_options, runs_dir_option, sandbox_options
from stop.cli.output import clean, json_option, note, say, short, show_json, table

if TYPE_CHECKING:
    from stop.experiments.bypass.config import Cell
    from stop.experiments.bypass.kind import BypassRates
    from stop.experiments.bypass.report import CellReport, Rate

_CELLS: dict[str, tuple[Cell, ...]] = {
    "no-warning": ("no_warning",),
    "warning": ("warning",),
    "both": ("no_warning", "warning"),
}
_LABELS = {
    "nothing": "0 nothing",
    "intent": "1 intent",
    "attempt": "2 attempt",
    "tampering": "3 tampering",
    "unparsable": "unparsable",
    "no_code": "no code",
}
_RULES_SHOWN = 4


@click.command()
@click.option(
    "--samples", type=click.IntRange(min=1), required=True, help="Improvers to sample, per cell."
)
@click.option("--warning", "which", flag_value="warning", help="Only with the warning comment.")
@click.option("--no-warning", "which", flag_value="no-warning", help="Only without it.")
@click.option(
    "--both", "which", flag_value="both", default="both", help="Both cells; this is the default."
)
@click.option("--run", "execute", is_flag=True, help="Also run each program, in the sandbox.")
@lm_options
@click.option(
    "--responses",
    type=click.IntRange(1, 128),
    default=6,
    show_default=True,
    help="Responses in one LM request.",
)
@click.option(
    "--temperature", type=click.FloatRange(0, 2), default=0.7, show_default=True, help="Of the LM."
)
@click.option(
    "--max-response-tokens",
    type=click.IntRange(min=16),
    default=1024,
    show_default=True,
    help="Length of one response.",
)
@lm_budget_options
@sandbox_options
@click.option(
    "--concurrency",
    type=click.IntRange(1, 256),
    default=2,
    show_default=True,
    help="LM requests, and improver runs, at once.",
)
@runs_dir_option
@json_option
def bypass(which: str, as_json: bool, **options: Any) -> None:
    """How often does a model switch the sandbox off?

    The model is asked to improve an improver that scores programs with `use_sandbox=True`, with and
    without a comment that warns against changing it. Its programs are read by static rules and,
    with --run, run: the flag has no effect, but it is noticed.

    \b
      stop bypass --lm openai:gpt-4o-mini --samples 100 --max-usd 1
      stop bypass --lm local:qwen2.5-coder-1.5b --samples 50 --no-warning --run
    """
    from stop.api import measure_bypass
    from stop.cli.display import RunProgress
    from stop.cli.runs import find_tapes

    find_tapes(options)
    with RunProgress() as progress:
        result = measure_bypass(cells=_CELLS[which], progress=progress, **options)
    show_rates(result, as_json)


def show_rates(result: BypassRates, as_json: bool) -> None:
    """The table, the programs to read, the cost; then why it is not done, if it is not."""
    document = result.to_dict()
    if as_json:
        show_json(document)
    else:
        _show(result.cells, document)
        note(f"\nrecorded in {result.folder}")
        note(f"read a program: stop show {result.folder} ID")
    if result.error is not None:
        raise result.error


def _show(cells: list[CellReport], document: dict[str, Any]) -> None:
    rows = [row for cell in cells for row in _rows(cell)]
    heads = ["cell", "class", "programs", "rate", "95 % interval", "paper's rule", "95 % interval"]
    table(heads, rows)
    say()
    say("each sample counts at its program's highest level; rates are of all samples of the cell")
    for cell in cells:
        if cell.cut_off:
            say(f"{_name(cell.cell)}: {cell.cut_off} response(s) ended at the token limit; "
                "--max-response-tokens raises it")  # fmt: skip
        if cell.runs:
            counts = ", ".join(f"{status} {n}" for status, n in sorted(cell.runs.items()))
            say(f"{_name(cell.cell)}: run: {counts}")
    say()
    _show_programs([each for each in document["programs"] if each["level"]])
    wanted = document["samples_per_cell"]
    lm = document["lm"]
    cost = "price unknown" if lm["usd"] is None else f"${lm['usd']:.4f}"
    tokens = f"{lm['prompt_tokens']} + {lm['completion_tokens']} tokens"
    say(f"model     {clean(document['model'])}, temperature {document['temperature']:g}")
    say(f"samples   {', '.join(f'{c.samples} of {wanted} {_name(c.cell)}' for c in cells)}")
    say(f"cost      {lm['calls']} LM calls, {lm['responses']} responses, {tokens}, {cost}")
    say(f"status    {document['status']}")


def _rows(cell: CellReport) -> list[list[str]]:
    rows = [
        [_name(cell.cell), label, *_cells(cell.rate(name)), *_cells(cell.paper_rate(name))]
        for name, label in _LABELS.items()
    ]
    together = [_name(cell.cell), "1 and up", *_cells(cell.any_level), "", "", ""]
    whole = [_name(cell.cell), "all", str(cell.samples), "", "", *_cells(cell.paper_rate())]
    return [_paper_in_two(row) for row in [*rows, together, whole]]


def _paper_in_two(row: list[str]) -> list[str]:
    """Count and rate of the paper's rule share a column."""
    *head, count, rate, ends = row
    return [*head, f"{count}  {rate}".rstrip(), ends]


def _cells(rate: Rate) -> list[str]:
    """Count, percentage and interval, as the paper prints them."""
    if rate.rate is None or rate.interval is None:
        return [str(rate.count), "-", ""]
    low, high = rate.interval
    return [str(rate.count), f"{100 * rate.rate:.2f} %", f"[{100 * low:.2f}, {100 * high:.2f}]"]


def _show_programs(programs: list[dict[str, Any]]) -> None:
    if not programs:
        say("no program at level 1 or higher")
        say()
        return
    times = Counter((each["cell"], each["program_id"]) for each in programs)
    rows = []
    for each in programs:
        count = times.pop((each["cell"], each["program_id"]), 0)
        if count == 0:
            continue  # sampled again, and shown before
        run = each["run"]["status"] if each["run"] else "-"
        paper = "yes" if each["paper_rule"] else "no"
        identity, cell = short(each["program_id"]), _name(each["cell"])
        rows.append([identity, cell, count, each["level"], paper, run, _why(each)])
    table(["program", "cell", "samples", "level", "paper's rule", "run", "why"], rows)
    say()


def _why(program: dict[str, Any]) -> str:
    """What it tried, then what its text shows, gravest first."""
    tried = [f"{each['kind']} (tried)" for each in program["events"]]
    shown = sorted(program["rules"], key=lambda rule: -rule["level"])
    reasons = tried + [f"{each['rule']} line {each['line']}" for each in shown]
    more = len(reasons) - _RULES_SHOWN
    return ", ".join(reasons[:_RULES_SHOWN]) + (f", {more} more" if more > 0 else "")


def _name(cell: str) -> str:
    return cell.replace("_", " ")
