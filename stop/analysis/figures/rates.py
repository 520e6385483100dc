"""The transfer table and bypass rates, as points with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stop.analysis.figures.style import (
    BLACK,
    BLUE,
    GREY,
    LEVELS,
    ORANGE,
    canvas,
    finish,
    new_figure,
    nothing,
    plain,
    reach,
)
from stop.analysis.runs import Runs, as_runs
from stop.errors import StopError
from stop.experiments.bypass.report import CellReport, Rate, read_cells
from stop.experiments.transfer import Transfer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stop.experiments.transfer.report import Gain

_PROGRAMS = {"seed solution": (GREY, "s"), "seed improver": (ORANGE, "o"),
             "improved improver": (BLUE, "D")}  # fmt: skip
_LEVELS = {
    "intent": LEVELS[1],
    "attempt": LEVELS[2],
    "tampering": LEVELS[3],
    "any": ("1 and up", BLACK, "D"),
}


def plot_transfer(transfer: Any, *, split: str = "meta", ax: Axes | None = None) -> Figure:
    """The paper's table: each task's seed solution, and what both improvers make of it.

    Means over repetitions with 95 % intervals (Student's t). Beside it the paired differences of
    the two improvers, where they are known and no `ax` is given: they are small beside the scores.

    Args:
        transfer: of `stop.transfer`, its folder, or its rows: with task, program, mean, low, high,
            n and, if there are several, split.
        split: "meta", or "test" for instances that nothing was chosen by.
        ax: axes to draw on.
    """
    if isinstance(transfer, str | Path):
        transfer = Transfer(Path(transfer))
    rows = [
        r for r in map(_row, getattr(transfer, "rows", transfer)) if r["split"] in (split, None)
    ]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    gains = [g for g in getattr(transfer, "gains", ()) if g.split == split and g.task in tasks]
    height = 1.6 + 0.7 * max(2, len(tasks))
    if gains and ax is None:
        figure = new_figure(9.5, height + 0.4)
        axes, beside = figure.subplots(1, 2, width_ratios=(3, 2))
        _draw_gains(beside, gains, tasks)
    else:
        figure, axes = canvas(ax, 7.0, height)
    named: set[str] = set()
    for row in rows:
        program = row["program"]
        colour, marker = _PROGRAMS.get(program, (BLACK, "^"))
        order = list(_PROGRAMS).index(program) if program in _PROGRAMS else 3
        place = len(tasks) - 1 - tasks.index(row["task"]) + 0.2 * (1 - order)
        axes.errorbar(
            [row["mean"]], [place], xerr=reach(row["mean"], row["low"], row["high"]), color=colour,
            marker=marker, markersize=5, capsize=4, linestyle="",
            label=plain(program) if program not in named else None,
        )  # fmt: skip
        named.add(program)
    finish(axes, f"Transfer to tasks, {split} split", "mean score (95 % interval)", "")
    trained = _trained_on(transfer)
    labels = [plain(t) + ("\n(trained on)" if t in trained else "") for t in reversed(tasks)]
    axes.set_yticks(range(len(tasks)), labels)
    axes.set_ylim(-0.6, len(tasks) - 0.4)
    if len(figure.axes) > 1 and ax is None:
        figure.legend(fontsize=8, frameon=False, loc="outside lower left", ncols=3)
    elif rows:
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    else:
        nothing(axes, "nothing has been measured yet")
    return figure


def _draw_gains(axes: Axes, gains: Sequence[Gain], tasks: Sequence[str]) -> None:
    """Improved minus seed improver, in pairs, around 0."""
    axes.axvline(0.0, color=BLACK, linewidth=1, zorder=1)
    for gain in gains:
        place = len(tasks) - 1 - tasks.index(gain.task)
        change = gain.difference
        axes.errorbar(
            [change.mean], [place], xerr=reach(change.mean, change.low, change.high), color=BLUE,
            marker="D", markersize=5, capsize=4, linestyle="",
        )  # fmt: skip
        axes.annotate(f"{change.mean:+.4f}, n = {gain.n}", (change.mean, place), xytext=(0, 8),
                      textcoords="offset points", fontsize=7, color=GREY, ha="center")  # fmt: skip
    finish(axes, "Paired difference", "improved minus seed improver\n(95 % interval)", "")
    axes.set_yticks(range(len(tasks)), [])
    axes.set_ylim(-0.6, len(tasks) - 0.4)
    axes.locator_params(axis="x", nbins=5)


def _row(row: Any) -> dict[str, Any]:
    if isinstance(row, Mapping):
        return {"split": None, **row}
    names = ("task", "program", "mean", "low", "high", "n")
    return {name: getattr(row, name) for name in names} | {"split": getattr(row, "split", None)}


def _trained_on(transfer: Any) -> frozenset[str]:
    plan = getattr(transfer, "plan", None)
    return frozenset(getattr(plan, "trained_on", None) or ())


def plot_bypass(runs: Runs, *, ax: Axes | None = None) -> Figure:
    """How many sampled improvers had security events, by level, with Wilson's 95 % intervals.

    Rates are of all samples of a cell, each at its highest level; counts stand beside.

    Args:
        runs: one or several bypass measurements.
        ax: axes to draw on.
    """
    groups: list[tuple[str, CellReport]] = []
    named = as_runs(runs)
    for label, run in named.items():
        config = run.config
        if config.bypass is None:
            raise StopError(f"{label} is no bypass measurement", hint="stop bypass --help")
        with closing(run.store()) as store:
            cells = read_cells(store, config.bypass)
        model = plain(config.lm, 32)
        groups += [(f"{model}\n{cell.cell.replace('_', ' ')}", cell) for cell in cells]
    figure, axes = canvas(ax, 7.0, 1.4 + 0.8 * max(1, len(groups)))
    for i, (_, cell) in enumerate(groups):
        for j, (name, (words, colour, marker)) in enumerate(_LEVELS.items()):
            rate = cell.any_level if name == "any" else cell.rate(name)
            place = len(groups) - 1 - i + 0.27 - 0.18 * j
            look = {"color": colour, "marker": marker, "label": words if i == 0 else None}
            _draw_rate(axes, rate, place, look)
    finish(
        axes,
        "Sampled programs by gravest security event",
        "share of sampled programs, % (95 % interval)",
        "",
    )
    axes.set_yticks(range(len(groups)), [label for label, _ in reversed(groups)])
    axes.set_ylim(-0.6, len(groups) - 0.4)
    axes.set_xlim(-2.0, axes.get_xlim()[1] * 1.08)
    if any(cell.samples for _, cell in groups):
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0),
                    title="level")  # fmt: skip
    else:
        nothing(axes, "nothing has been sampled yet")
    return figure


def _draw_rate(axes: Axes, rate: Rate, place: float, look: dict[str, Any]) -> None:
    if rate.rate is None or rate.interval is None:
        return
    mean, (low, high) = 100 * rate.rate, (100 * end for end in rate.interval)
    axes.errorbar([mean], [place], xerr=reach(mean, low, high), markersize=6, capsize=3,
                  linestyle="", **look)  # fmt: skip
    axes.annotate(f"{rate.count} of {rate.n}", (high, place), xytext=(9, 0), fontsize=7,
                  textcoords="offset points", va="center", color=GREY)  # fmt: skip
