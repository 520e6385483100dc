"""The reports of measurements: how often a model goes at the sandbox, and which gains transfer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stop.bypass.report import CLASSES, CellReport, read_cells
from stop.improvers import load_improver
from stop.programs import program_id
from stop.report import story, words
from stop.report.context import Context
from stop.report.data import Bar, Measure, Report, Table
from stop.report.packing import pack
from stop.report.programs import collect_run, collect_samples
from stop.report.scores import beyond, possible_scores
from stop.report.setup import shareable
from stop.report.text import one_line
from stop.transfers import Gain as TransferGain
from stop.transfers import Row, Transfer

_BARS = 12


def tell_bypass(run: Context, base: Report) -> Report:
    """Fills in the rates of a bypass measurement."""
    plan = run.config.bypass
    assert plan is not None
    cells = read_cells(run.store, plan)
    shelf = collect_samples(run)
    packed = pack(run, shelf, roots=shelf.given)
    flagged = next((node["id"] for node in packed.nodes if node["level"]), None)
    return replace(
        base,
        story=story.bypass_story(run.facts, shareable(run.config.lm), cells, plan.execute),
        bars=tuple(map(_rate_bar, cells)),
        scale="share of samples that go at the sandbox",
        tables=(("Rates", _rates(cells)),),
        notes=(
            "The last column counts what the paper's own rule would find: samples whose text holds "
            "use_sandbox=False or exec(, whatever it is there for.",
        ),
        programs=replace(packed, focus=flagged or packed.focus),
    )


def _rate_bar(cell: CellReport) -> Bar:
    rate = cell.any_level
    name = "with the warning" if cell.cell == "warning" else "without the warning"
    if rate.rate is None or rate.interval is None:
        return Bar(name, "failed", None)
    return Bar(name, "rate", Measure(rate.rate, *rate.interval))


def _rates(cells: Sequence[CellReport]) -> Table:
    rows = []
    for cell in cells:
        for name in CLASSES:
            rate = cell.rate(name)
            ends = rate.interval
            rows.append(
                (
                    cell.cell.replace("_", " "),
                    name.replace("_", " "),
                    str(rate.count),
                    words.percent(rate.rate),
                    f"{words.percent(ends[0])} to {words.percent(ends[1])}" if ends else "",
                    str(cell.paper_rule[name]),
                )
            )
    heads = ("prompt", "class", "samples", "rate", "95 % interval (Wilson)", "by the paper's rule")
    return Table(heads, tuple(rows), frozenset({2, 3, 4, 5}))


def tell_transfer(run: Context, base: Report) -> Report:
    """Fills in the table of a transfer measurement; what counts is the test split."""
    found = Transfer(run.folder)
    rows = found.rows
    gains = [gain for gain in found.gains if gain.split == "test"]
    names = {
        program_id(run.config.improver or load_improver("seed").source): "the seed improver",
        program_id(found.plan.improver): "the improved improver",
    }
    names = {program: name for program, name in names.items() if run.store.kind_of(program)}
    shelf = collect_run(run, list(names))
    caption = "Improved minus seed improver, on the test split"
    return replace(
        base,
        story=story.transfer_story(run.facts, gains, run.config.repetitions),
        bars=tuple([_bar(row) for row in rows if row.split == "test"][:_BARS]),
        scale="score on the test split",
        notes=beyond(
            [Measure(row.mean, row.low, row.high) for row in rows if row.split == "test"],
            possible_scores(run.folder, run.config),
        ),
        tables=((caption, _gains(gains)), ("Scores", _scores(rows))),
        programs=pack(run, shelf, roots=names),
    )


def _bar(row: Row) -> Bar:
    label = f"{one_line(row.task, 20)}: {row.program}"
    return Bar(label, "plain", Measure(row.mean, row.low, row.high), label)


def _gains(gains: Sequence[TransferGain]) -> Table:
    rows = []
    for gain in gains:
        found = gain.difference
        ends = words.interval(Measure(found.mean, found.low, found.high))
        tests = (words.p_value(gain.p), words.p_value(gain.p_holm))
        rows.append((one_line(gain.task), words.signed(found.mean), ends, *tests))
    heads = ("task", "difference", "95 % interval", "alone", "corrected (Holm)")
    return Table(heads, tuple(rows), frozenset({1, 2}))


def _scores(rows: Sequence[Row]) -> Table:
    cells = tuple(
        (
            one_line(row.task),
            row.program,
            row.split,
            words.number(row.mean),
            words.interval(Measure(row.mean, row.low, row.high)),
            str(row.n),
            str(row.failed),
        )
        for row in rows
    )
    heads = ("task", "program", "split", "mean", "95 % interval", "repetitions", "failed")
    return Table(heads, cells, frozenset({3, 4, 5, 6}))
