"""Meta-utility over the rounds, and the scores on the three splits."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from stop.analysis.figures.style import (
    BLACK,
    COLOURS,
    GREY,
    MARKERS,
    ORANGE,
    canvas,
    finish,
    legend_or_reason,
    plain,
    reach,
    whole_numbers,
)
from stop.analysis.runs import Runs, as_runs
from stop.analysis.saturation import saturation
from stop.analysis.scores import splits_df
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
    whole_numbers(axes.xaxis)
    if drawn and len(named) == 1:
        _mark_saturation(axes, next(iter(named.values())))
    legend_or_reason(axes, drawn, "no improver has a score yet")
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
    named: set[str] = set()
    for record in scored:
        mean = record.meta_utility or 0.0
        what = _what(record)
        shown = colour if record.accepted or not alone else ORANGE
        axes.errorbar(
            [record.round], [mean], yerr=reach(mean, record.low, record.high), color=shown,
            marker="s" if record.round == 0 else "o", markersize=7, capsize=3, linestyle="",
            markerfacecolor=shown if record.accepted else "white", zorder=3,
            label=what if alone and what not in named else None,
        )  # fmt: skip
        named.add(what)
    failed = [r for r in records if r.meta_utility is None]
    if failed:
        floor = axes.get_ylim()[0]
        axes.plot([r.round for r in failed], [floor] * len(failed), "x", color=GREY, clip_on=False,
                  label="no score" if alone else None)  # fmt: skip
        for record in failed:
            axes.annotate(plain(record.status, 12), (record.round, floor), color=GREY, fontsize=7,
                          xytext=(0, 6), textcoords="offset points", ha="center")  # fmt: skip
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
    groups = list(whole.groupby(["run", "role"], sort=False, dropna=False))
    for i, ((label, role), group) in enumerate(groups):
        shift = 0.12 * (i - (len(groups) - 1) / 2)
        for row in group.itertuples():
            place = splits.index(row.split) + shift
            first = row.Index == group.index[0]
            name = role if whole["run"].nunique() == 1 else f"{plain(label, 28)}: {role}"
            axes.errorbar(
                [place], [row.mean], yerr=reach(row.mean, row.low, row.high), capsize=3,
                marker=MARKERS[i % len(MARKERS)], markersize=7, color=COLOURS[i % len(COLOURS)],
                linestyle="", label=name if first else None,
            )  # fmt: skip
    finish(axes, "Seen and held-out instances", "split", "mean score (95 % interval)")
    axes.set_xticks(range(3), ["search\n(seen)", "meta\n(judges)", "test\n(held out)"])
    axes.set_xlim(-0.5, 2.5)
    legend_or_reason(axes, groups, "no scores yet")
    return figure
