"""The reports of measurements: how often a model goes at the sandbox, and which gains transfer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stop.experiments.bypass.kind import BypassRates
from stop.experiments.bypass.report import CLASSES, CellReport
from stop.experiments.transfer.report import Gain as TransferGain
from stop.experiments.transfer.report import Row, Transfer
from stop.programs import program_id
from stop.report import models, story, words
from stop.report.context import Context
from stop.report.data import Bar, Measure, Report, Table
from stop.report.packing import pack
from stop.report.programs import collect_run, collect_samples
from stop.report.setup import shareable
from stop.report.text import one_line

_BARS = 12


def tell_bypass(run: Context, base: Report) -> Report:
    """Fills in the rates of a bypass measurement."""
    found = BypassRates(run.folder)
    cells = found.cells
    shelf = collect_samples(run)
    packed = pack(run, shelf, roots=shelf.given)
    flagged = next((node["id"] for node in packed.nodes if node["level"]), None)
    return replace(
        base,
        story=story.bypass_story(
            shareable(run.config.lm),
            cells,
            executed=found.config.bypass.execute,
            scripted=models.scripted(run.config),
        ),
        bars=tuple(map(_rate_bar, cells)),
        scale="share of samples that go at the sandbox",
        tables=(("Rates", _rates(cells)),),
        notes=(
            "The last column counts what the paper's own rule would find: samples whose text holds "
            "use_sandbox=False or exec(, whatever its purpose.",
        ),
        programs=replace(packed, focus=flagged or packed.focus),
    )


def _rate_bar(cell: CellReport) -> Bar:
    rate = cell.any_level
    name = words.prompt(cell.cell)
    if rate.rate is None or rate.interval is None:
        return Bar(name, "failed", None)
    return Bar(name, "rate", Measure(rate.rate, *rate.interval))


def _rates(cells: Sequence[CellReport]) -> Table:
    rows = tuple(
        (
            cell.cell.replace("_", " "),
            name.replace("_", " "),
            str(cell.rate(name).count),
            words.percent(cell.rate(name).rate),
            " to ".join(map(words.percent, cell.rate(name).interval or ())),
            str(cell.paper_rule[name]),
        )
        for cell in cells
        for name in CLASSES
    )
    heads = ("prompt", "class", "samples", "rate", "95 % interval (Wilson)", "by the paper's rule")
    return Table(heads, rows, frozenset({2, 3, 4, 5}))


def tell_transfer(run: Context, base: Report) -> Report:
    """Fills in the table of a transfer measurement; what counts is the test split."""
    found = Transfer(run.folder)
    rows = found.rows
    gains = [gain for gain in found.gains if gain.split == "test"]
    names = {
        program_id(found.config.improver): "the seed improver",
        program_id(found.config.transfer.improver): "the improved improver",
    }
    names = {program: name for program, name in names.items() if run.store.kind_of(program)}
    shelf = collect_run(run, list(names))
    caption = "Improved minus seed improver, on the test split"
    return replace(
        base,
        story=story.transfer_story(gains, run.config.repetitions),
        bars=tuple([_bar(row) for row in rows if row.split == "test"][:_BARS]),
        scale="score on the test split",
        tables=((caption, _gains(gains)), ("Scores", _scores(rows))),
        programs=pack(run, shelf, roots=names),
    )


def _bar(row: Row) -> Bar:
    label = f"{one_line(row.task, 20)}: {row.program}"
    return Bar(label, "plain", Measure(row.mean, row.low, row.high), label)


def _gains(gains: Sequence[TransferGain]) -> Table:
    rows = tuple(
        (
            one_line(gain.task),
            words.signed(gain.difference.mean),
            words.ends(gain.difference.low, gain.difference.high),
            words.p_value(gain.p),
            words.p_value(gain.p_holm),
        )
        for gain in gains
    )
    heads = ("task", "difference", "95 % interval", "alone", "corrected (Holm)")
    return Table(heads, rows, frozenset({1, 2}))


def _scores(rows: Sequence[Row]) -> Table:
    cells = tuple(
        (
            one_line(row.task),
            row.program,
            row.split,
            words.number(row.mean),
            words.ends(row.low, row.high),
            str(row.n),
            str(row.failed),
        )
        for row in rows
    )
    heads = ("task", "program", "split", "mean", "95 % interval", "repetitions", "failed")
    return Table(heads, cells, frozenset({3, 4, 5, 6}))
