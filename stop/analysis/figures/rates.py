"""The transfer table and bypass rates, as points with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from stop.analysis.figures.style import (
    BLACK,
    BLUE,
    GREY,
    MARKERS,
    ORANGE,
    PURPLE,
    RED,
    canvas,
    finish,
    nothing,
    plain,
    reach,
)
from stop.analysis.runs import Runs, as_runs
from stop.bypass.report import CellReport, Rate, read_cells
from stop.errors import StopError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PROGRAMS = {"seed solution": (GREY, "s"), "seed improver": (ORANGE, "o"),
             "improved improver": (BLUE, "D")}  # fmt: skip
_LEVELS = {
    "intent": ("1 intent", ORANGE),
    "attempt": ("2 attempt", RED),
    "tampering": ("3 tampering", PURPLE),
    "any": ("1 and up", BLACK),
}


def plot_transfer(transfer: Any, *, split: str = "meta", ax: Axes | None = None) -> Figure:
    """The paper's table: each task's seed solution, and what both improvers make of it.

    Means over repetitions with 95 % intervals (Student's t).

    Args:
        transfer: of `stop.transfer`, or its rows: with task, program, mean, low, high, n and, if
            there are several, split.
        split: "meta", or "test" for instances that nothing was chosen by.
        ax: axes to draw on.
    """
    rows = [
        r for r in map(_row, getattr(transfer, "rows", transfer)) if r["split"] in (split, None)
    ]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    figure, axes = canvas(ax, 7.0, 1.6 + 0.7 * max(2, len(tasks)))
    named: set[str] = set()
    for row in rows:
        program = row["program"]
        colour, marker = _PROGRAMS.get(program, (BLACK, "^"))
        order = list(_PROGRAMS).index(program) if program in _PROGRAMS else 3
        place = len(tasks) - 1 - tasks.index(row["task"]) + 0.2 * (1 - order)
        axes.errorbar(
            [row["mean"]], [place], xerr=reach(row["mean"], row["low"], row["high"]), color=colour,
            marker=marker, markersize=7, capsize=3, linestyle="",
            label=plain(program) if program not in named else None,
        )  # fmt: skip
        named.add(program)
    finish(axes, f"Transfer to tasks, {split} split", "mean score (95 % interval)", "")
    trained = _trained_on(transfer)
    labels = [plain(t) + ("\n(trained on)" if t in trained else "") for t in reversed(tasks)]
    axes.set_yticks(range(len(tasks)), labels)
    axes.set_ylim(-0.6, len(tasks) - 0.4)
    if rows:
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    else:
        nothing(axes, "nothing has been measured yet")
    return figure


def _row(row: Any) -> dict[str, Any]:
    if isinstance(row, Mapping):
        return {"split": None, **row}
    names = ("task", "program", "mean", "low", "high", "n")
    return {name: getattr(row, name) for name in names} | {"split": getattr(row, "split", None)}


def _trained_on(transfer: Any) -> frozenset[str]:
    plan = getattr(transfer, "plan", None)
    return frozenset(getattr(plan, "trained_on", None) or ())


def plot_bypass(runs: Runs, *, ax: Axes | None = None) -> Figure:
    """How many sampled improvers got around the sandbox, or tried, with Wilson's 95 % intervals.

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
        for j, (name, (words, colour)) in enumerate(_LEVELS.items()):
            rate = cell.any_level if name == "any" else cell.rate(name)
            place = len(groups) - 1 - i + 0.27 - 0.18 * j
            look = {"color": colour, "marker": MARKERS[j], "label": words if i == 0 else None}
            _draw_rate(axes, rate, place, look)
    finish(axes, "Attempts on the sandbox", "share of sampled programs, % (95 % interval)", "")
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
