"""Figures over the rounds: meta-utility, diversity, strategies; and the scores on the splits."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from stop.analysis.figures import style
from stop.analysis.figures.style import BLACK, BLUE, COLOURS, GREY, ORANGE, canvas, finish, plain
from stop.analysis.runs import Runs, as_runs
from stop.analysis.saturation import saturation
from stop.analysis.scores import splits_df
from stop.analysis.strategy import STRATEGIES
from stop.analysis.structure import diversity_df, strategies_df
from stop.recorded_run import Run
from stop.store import RoundRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_rounds(runs: Runs, *, ax: Axes | None = None) -> Figure:
    """Draws the meta-utility of each round's improver, with its 95 % interval.

    Filled: accepted; hollow: not accepted; a cross below: a round without a scored improver. The
    line goes through the improvers in use. Each round that tested its candidate has fresh cells of
    its own; the others show the cells on which the candidate was chosen, where the best of several
    looks better than it is. Of a single run the last confirmed round is marked
    (`stop.analysis.saturation`).

    Args:
        runs: one or several runs of rounds.
        ax: axes to draw on; default: a new figure.
    """
    figure, axes = canvas(ax)
    named = as_runs(runs)
    drawn = False
    for (label, run), colour in zip(named.items(), COLOURS * len(named), strict=False):
        with closing(run.store()) as store:
            records = store.rounds()
        drawn = _draw(axes, label, records, colour, alone=len(named) == 1) or drawn
    finish(axes, "Meta-utility over rounds", "round", "meta-utility (95 % interval)")
    style.whole_numbers(axes.xaxis)
    if drawn and len(named) == 1:
        _mark_saturation(axes, next(iter(named.values())))
    style.legend_or_reason(axes, drawn, "no improver has a score yet")
    return figure


def _draw(axes: Axes, label: str, records: list[RoundRecord], colour: str, alone: bool) -> bool:
    scored = [r for r in records if r.meta_utility is not None]
    if not scored:
        return False
    in_use = [r for r in scored if r.accepted]
    steps = [r.round for r in in_use], [r.meta_utility or 0.0 for r in in_use]
    last = max(r.round for r in records)
    line = "in use" if alone else plain(label)
    axes.step([*steps[0], last], [*steps[1], steps[1][-1]], where="post", color=colour,
              linewidth=1.2, alpha=0.7, label=line)  # fmt: skip
    for record in scored:
        shown = colour if record.accepted or not alone else ORANGE
        style.interval(
            axes, record.round, (record.meta_utility or 0.0, record.low, record.high), color=shown,
            marker="s" if record.round == 0 else "o", markersize=7, capsize=3, zorder=3,
            markerfacecolor=shown if record.accepted else "white",
            label=_what(record) if alone else None,
        )  # fmt: skip
    failed = [r for r in records if r.meta_utility is None]
    if failed:
        floor = axes.get_ylim()[0]
        axes.plot([r.round for r in failed], [floor] * len(failed), "x", color=GREY, clip_on=False,
                  label="no score" if alone else None)  # fmt: skip
        for record in failed:
            style.note(axes, plain(record.status, 12), (record.round, floor), (0, 6), ha="center")
    return True


def _what(record: RoundRecord) -> str:
    if record.round == 0:
        return "seed improver"
    return "accepted" if record.accepted else "not accepted"


def _mark_saturation(axes: Axes, run: Run) -> None:
    found = saturation(run)
    if found.round is None or found.last_round in (None, 0):
        return
    if found.round == found.last_round:
        words = "not saturated: the last round was confirmed"
    elif found.round == 0:  # a line at round 0 would hide under the seed improver's interval
        axes.text(0.99, 0.03, "no gain was confirmed on fresh cells", ha="right",
                  transform=axes.transAxes, fontsize=8, color=GREY)  # fmt: skip
        return
    else:
        words = f"nothing confirmed after round {found.round}"
    axes.axvline(found.round, color=BLACK, linestyle=":", linewidth=1, zorder=1, label=words)


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
            group["round"].astype(int), group["mean"], **style.look(i),
            linestyle="-" if kind == "improver" else "--",
            label=style.of_run(label, name, several),
        )  # fmt: skip
    finish(axes, "Diversity of the programs tried", "round", "mean syntax-tree distance")
    axes.set_ylim(-0.03, 1.03)
    style.whole_numbers(axes.xaxis)
    style.legend_or_reason(axes, len(frame), "no round tried two different programs")
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
            style.note(axes, f"x{count}", place, (11, 6))
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
    style.whole_numbers(axes.xaxis)
    axes.margins(x=0.08, y=0.15)
    style.legend_or_reason(axes, used, "no improver has been tried yet", beside=True)
    return figure


def plot_splits(
    runs: Runs, *, evaluate: bool = False, sandbox: str = "auto", ax: Axes | None = None
) -> Figure:
    """Draws scores on the split that improvers see, the one that judges them, and the held-out one.

    Args:
        runs: one or several.
        evaluate: whether to score on the test split, in the sandbox, what was not scored there yet.
        sandbox: as of `stop.run`.
        ax: axes to draw on; default: a new figure.

    Raises:
        SandboxError, TaskError: with `evaluate`, where the host cannot score programs.
    """
    figure, axes = canvas(ax)
    frame = splits_df(runs, evaluate=evaluate, sandbox=sandbox)
    whole = frame[frame["task"] == ""] if (frame["task"] == "").any() else frame
    splits = ["search", "meta", "test"]
    several = whole["run"].nunique() != 1
    groups = list(whole.groupby(["run", "role"], sort=False, dropna=False))
    for i, ((label, role), group) in enumerate(groups):
        shift = 0.12 * (i - (len(groups) - 1) / 2)
        name = style.of_run(label, role, several)
        for row in group.itertuples():
            place = splits.index(row.split) + shift
            style.interval(axes, place, (row.mean, row.low, row.high), capsize=3, markersize=7,
                           label=name, **style.look(i))  # fmt: skip
    finish(axes, "Seen and held-out instances", "split", "mean score (95 % interval)")
    axes.set_xticks(range(3), ["search\n(seen)", "meta\n(judges)", "test\n(held out)"])
    axes.set_xlim(-0.5, 2.5)
    style.legend_or_reason(axes, groups, "no scores yet")
    return figure
