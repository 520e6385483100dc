"""Diversity and strategies over the rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stop.analysis.figures.style import (
    BLUE,
    COLOURS,
    GREY,
    MARKERS,
    ORANGE,
    canvas,
    finish,
    legend_or_reason,
    plain,
    whole_numbers,
)
from stop.analysis.runs import Runs
from stop.analysis.strategy import STRATEGIES
from stop.analysis.structure import diversity_df, strategies_df

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_diversity(runs: Runs, *, ax: Axes | None = None) -> Figure:
    """Draws how much the programs that were tried in a round differ: mean distance of two of them.

    0: all have the same structure, 1: they have nothing in common. Improvers are those that the
    round's meta level tried, solutions those that the round's improver tried.

    Args:
        runs: one or several runs of rounds.
        ax: axes to draw on; default: a new figure.
    """
    figure, axes = canvas(ax)
    frame = diversity_df(runs).dropna(subset=["mean"])
    several = frame["run"].nunique() > 1
    groups = frame.groupby(["run", "kind", "task"], sort=False)
    for i, ((label, kind, task), group) in enumerate(groups):
        name = "improvers" if kind == "improver" else f"solutions of {plain(task)}"
        axes.plot(
            group["round"].astype(int), group["mean"], marker=MARKERS[i % len(MARKERS)],
            color=COLOURS[i % len(COLOURS)], linestyle="-" if kind == "improver" else "--",
            label=f"{plain(label, 28)}: {name}" if several else name,
        )  # fmt: skip
    finish(axes, "Diversity of the programs tried", "round", "mean syntax-tree distance")
    axes.set_ylim(-0.03, 1.03)
    whole_numbers(axes.xaxis)
    legend_or_reason(axes, len(frame), "no round tried two different programs")
    return figure


def plot_strategies(runs: Runs, *, ax: Axes | None = None) -> Figure:
    """Draws which strategies the improvers of each round show, by rules over their text.

    Grey: the improvers tried that show it (its size, and the number next to it, say how many); a
    filled mark is the round's candidate that was accepted, a hollow one one that was not.

    Args:
        runs: one or several runs of rounds.
        ax: axes to draw on; default: a new figure.
    """
    frame = strategies_df(runs)
    used = [s for s in STRATEGIES if (frame["strategy"] == s).any()]
    figure, axes = canvas(ax, 7.0, 1.6 + 0.38 * max(3, len(used)))
    rows = {strategy: len(used) - 1 - i for i, strategy in enumerate(used)}
    for (round_, strategy), group in frame.groupby(["round", "strategy"]):
        count, place = len(group), (int(round_), rows[strategy])
        axes.scatter([place[0]], [place[1]], s=120 + 60 * min(count, 12), color="#D9D9D9", zorder=2)
        if count > 1:
            axes.annotate(f"x{count}", place, xytext=(11, 6), textcoords="offset points",
                          fontsize=7, color=GREY)  # fmt: skip
    if used:
        axes.scatter([], [], s=120, color="#D9D9D9", label="improvers tried (x4: four of them)")
    marks = frame[frame["candidate"]]
    seed = marks["round"] == 0
    for chosen, accepted, colour, marker, name in (
        (marks[seed], True, BLUE, "s", "seed improver"),
        (marks[~seed & marks["accepted"]], True, BLUE, "o", "candidate, accepted"),
        (marks[~seed & ~marks["accepted"]], False, ORANGE, "o", "candidate, not accepted"),
    ):
        if len(chosen):
            axes.scatter(
                chosen["round"].astype(int), [rows[s] for s in chosen["strategy"]], s=60,
                facecolor=colour if accepted else "white", edgecolor=colour, linewidth=1.8,
                marker=marker, zorder=3, label=name,
            )  # fmt: skip
    finish(axes, "Strategies of the improvers tried", "round", "")
    axes.set_yticks(list(rows.values()), [strategy.replace("_", " ") for strategy in rows])
    whole_numbers(axes.xaxis)
    axes.margins(x=0.08, y=0.15)
    legend_or_reason(axes, used, "no improver has been tried yet", beside=True)
    return figure
