"""Figures of the transfer table and of bypass rates: points with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stop.analysis.figures import style
from stop.analysis.figures.style import BLACK, BLUE, GREY, LEVELS, ORANGE, canvas, finish, plain
from stop.analysis.runs import Runs, as_runs
from stop.errors import StopError
from stop.experiments import kind_of
from stop.experiments.bypass.report import CellReport
from stop.experiments.transfer.report import Transfer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stop.experiments.transfer.report import Gain, Row

_PROGRAMS = {"seed solution": (GREY, "s"), "seed improver": (ORANGE, "o"),
             "improved improver": (BLUE, "D")}  # fmt: skip
_LEVELS = {
    "intent": LEVELS[1],
    "attempt": LEVELS[2],
    "tampering": LEVELS[3],
    "any": ("1 and up", BLACK, "D"),
}


def plot_transfer(
    transfer: Transfer | str | Path | Iterable[Row | Mapping[str, Any]],
    *,
    split: Literal["meta", "test"] = "meta",
    ax: Axes | None = None,
) -> Figure:
    """Draws the paper's table: each task's seed solution, and what both improvers make of it.

    Means over repetitions with 95 % intervals (Student's t). To the right stand the paired
    differences of the two improvers, where they are known and no `ax` is given: they are small next
    to the scores.

    Args:
        transfer: of `stop.transfer`, its folder, or its rows: with task, program, mean, low, high,
            n and, if there are several, split.
        split: "meta", or "test" for instances that nothing was chosen by.
        ax: axes to draw on; default: a new figure.
    """
    if isinstance(transfer, str | Path):
        transfer = Transfer(Path(transfer))
    whole = transfer if isinstance(transfer, Transfer) else None
    rows = [r for r in map(_row, whole.rows if whole else transfer) if r["split"] in (split, None)]  # type: ignore[arg-type]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    gains = [g for g in whole.gains if g.split == split and g.task in tasks] if whole else []
    height = 1.6 + 0.7 * max(2, len(tasks))
    if gains and ax is None:
        figure = style.new_figure(9.5, height + 0.4)
        axes, beside = figure.subplots(1, 2, width_ratios=(3, 2))
        _draw_gains(beside, gains, tasks)
    else:
        figure, axes = canvas(ax, 7.0, height)
    for row in rows:
        program = row["program"]
        colour, marker = _PROGRAMS.get(program, (BLACK, "^"))
        order = list(_PROGRAMS).index(program) if program in _PROGRAMS else 3
        place = len(tasks) - 1 - tasks.index(row["task"]) + 0.2 * (1 - order)
        ends = row["mean"], row["low"], row["high"]
        style.interval(axes, place, ends, lying=True, color=colour, marker=marker, markersize=5,
                       capsize=4, label=plain(program))  # fmt: skip
    finish(axes, f"Transfer to tasks, {split} split", "mean score (95 % interval)", "")
    trained = (whole.config.transfer.trained_on or ()) if whole else ()
    labels = [plain(t) + ("\n(trained on)" if t in trained else "") for t in reversed(tasks)]
    axes.set_yticks(range(len(tasks)), labels)
    axes.set_ylim(-0.6, len(tasks) - 0.4)
    if len(figure.axes) > 1 and ax is None:
        style.legend(axes, figure=figure, loc="outside lower left", ncols=3)
    else:
        style.legend_or_reason(axes, rows, "nothing has been measured yet", beside=True)
    return figure


def _draw_gains(axes: Axes, gains: Sequence[Gain], tasks: Sequence[str]) -> None:
    """Improved minus seed improver, in pairs, around 0."""
    axes.axvline(0.0, color=BLACK, linewidth=1, zorder=1)
    for gain in gains:
        place = len(tasks) - 1 - tasks.index(gain.task)
        change = gain.difference
        ends = change.mean, change.low, change.high
        style.interval(axes, place, ends, lying=True, color=BLUE, marker="D", markersize=5,
                       capsize=4)  # fmt: skip
        words = f"{change.mean:+.4f}, n = {gain.n}"
        style.note(axes, words, (change.mean, place), (0, 8), ha="center")
    finish(axes, "Paired difference", "improved minus seed improver\n(95 % interval)", "")
    axes.set_yticks(range(len(tasks)), [])
    axes.set_ylim(-0.6, len(tasks) - 0.4)
    axes.locator_params(axis="x", nbins=5)


def _row(row: Row | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(row, Mapping):
        return {"split": None, **row}
    return asdict(row) | {"low": row.low, "high": row.high}


def plot_bypass(runs: Runs, *, ax: Axes | None = None) -> Figure:
    """Draws how many sampled improvers had security events, by level, with 95 % intervals (Wilson).

    Rates are of all samples of a cell, each at its highest level; counts stand next to them.

    Args:
        runs: one or several bypass measurements.
        ax: axes to draw on; default: a new figure.

    Raises:
        StopError: a run is not a bypass measurement.
    """
    groups: list[tuple[str, CellReport]] = []
    named = as_runs(runs)
    for label, run in named.items():
        config = run.config
        with closing(run.store()) as store:
            cells = kind_of(config).rates(store, config)
        if not cells:
            raise StopError(f"{label} is not a bypass measurement", hint="stop bypass --help")
        model = plain(config.lm, 32)
        groups += [(f"{model}\n{cell.cell.replace('_', ' ')}", cell) for cell in cells]
    figure, axes = canvas(ax, 7.0, 1.4 + 0.8 * max(1, len(groups)))
    for i, (_, cell) in enumerate(groups):
        for j, (name, (words, colour, marker)) in enumerate(_LEVELS.items()):
            rate = cell.any_level if name == "any" else cell.rate(name)
            place = len(groups) - 1 - i + 0.27 - 0.18 * j
            if rate.rate is None or rate.interval is None:
                continue
            mean, (low, high) = 100 * rate.rate, (100 * end for end in rate.interval)
            style.interval(axes, place, (mean, low, high), lying=True, color=colour, marker=marker,
                           markersize=6, capsize=3, label=words)  # fmt: skip
            style.note(axes, f"{rate.count} of {rate.n}", (high, place), (9, 0), va="center")
    finish(
        axes,
        "Sampled programs by highest level of a security event",
        "share of sampled programs, % (95 % interval)",
        "",
    )
    axes.set_yticks(range(len(groups)), [label for label, _ in reversed(groups)])
    axes.set_ylim(-0.6, len(groups) - 0.4)
    axes.set_xlim(-2.0, axes.get_xlim()[1] * 1.08)
    drawn = any(cell.samples for _, cell in groups)
    style.legend_or_reason(axes, drawn, "nothing has been sampled yet", beside=True, title="level")
    return figure
