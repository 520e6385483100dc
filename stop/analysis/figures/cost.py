"""Figures of the best score against tokens, money and programs tried."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from contextlib import closing
from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING, Literal

from stop.analysis.figures import style
from stop.analysis.figures.style import GREY, canvas, finish, plain
from stop.analysis.runs import Runs, as_runs
from stop.errors import StopError
from stop.recorded_run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_UNITS = {
    "tokens": ("prompt_tokens + completion_tokens", "tokens, read and written"),
    "usd": ("usd", "US dollars"),
    "calls": ("1", "language model calls"),
    "seconds": ("finished - started", "seconds of the language model, added up over calls"),
}
"""Of each unit its SQL and its words."""
_SCORED = (
    "FROM utility_calls u JOIN improver_runs r ON r.key = u.improver_run "
    "WHERE r.level = 'task' ORDER BY u.id"
)


def plot_cost(
    runs: Runs,
    *,
    by: Literal["tokens", "usd", "calls", "seconds"] = "tokens",
    ax: Axes | None = None,
) -> Figure:
    """Draws the best score so far against what was spent until then.

    Of rounds it is the meta-utility of the best accepted improver; a mark is the end of a round.
    Of an improve it is the score on the search split; a mark is a scored program.

    Args:
        runs: one or several.
        by: the unit of what was spent; "seconds" are those of the language model's calls.
        ax: axes to draw on; default: a new figure.

    Raises:
        StopError: with `by="usd"`, where no price is known for some call.
    """
    if by not in _UNITS:
        raise StopError(f"cost by {by!r} is not known", hint=f"one of: {', '.join(_UNITS)}")
    figure, axes = canvas(ax)
    named, most = as_runs(runs), 0.0
    for i, (label, run) in enumerate(named.items()):
        points = _points(run, by)
        most = max([most, *(spent for spent, _, _ in points)])
        if points:
            spent, best, rounds = zip(*points, strict=True)
            axes.step(spent, best, where="post", markersize=5, label=plain(label), **style.look(i))
            if len(named) == 1:
                _name_rounds(axes, spent, best, rounds)
    finish(axes, "Score against cost", _UNITS[by][1], "best score so far")
    drawn = len(axes.lines) > 0
    if drawn:
        axes.set_xlim(0, None if most else 1)
        if by != "usd":
            axes.xaxis.set_major_formatter("{x:,.0f}")
        if not most:
            axes.text(0.5, 0.5, "nothing was spent", transform=axes.transAxes, color=GREY)
    if len(named) > 1 or not drawn:
        style.legend_or_reason(axes, drawn, "nothing has been scored yet")
    return figure


def _name_rounds(
    axes: Axes, spent: Sequence[float], best: Sequence[float], rounds: Sequence[int | None]
) -> None:
    for x, y, round_ in zip(spent, best, rounds, strict=True):
        if round_ is not None:
            words = "seed improver" if round_ == 0 else f"round {round_}"
            last = x == spent[-1] and x > 0
            beside = (-6 if last else 6, -11 if round_ else 5)
            style.note(axes, words, (x, y), beside, fontsize=8, ha="right" if last else "left")


def _points(run: Run, by: str) -> list[tuple[float, float, int | None]]:
    """Triples of what was spent, the best score so far, and the round that ended, in time."""
    with closing(run.store()) as store:
        if by == "usd" and store.spending().usd_unknown_calls:
            raise StopError(
                f"{run.folder.name}: no price is known for some of its calls", hint='by="tokens"'
            )
        scores = [(r.finished, r.meta_utility, r.round) for r in store.rounds() if r.accepted]
        if not scores:
            scores = store.query(f"SELECT u.at, u.score, NULL {_SCORED}").fetchall()
        ends = [(r.finished, None, r.round) for r in store.rounds() if not r.accepted]
        spent = store.query(
            f"SELECT finished, {_UNITS[by][0]} FROM lm_calls ORDER BY finished"
        ).fetchall()
    at = [when for when, _ in spent]
    totals = list(accumulate((float(amount or 0.0) for _, amount in spent), initial=0.0))
    best: float | None = None
    points: list[tuple[float, float, int | None]] = []
    end = (inf, None, None)  # after the rounds there is the comparison of the best with the first
    for when, score, round_ in sorted([*scores, *ends, end], key=lambda event: event[0]):
        if score is not None:
            best = score if best is None else max(best, score)
        if best is not None:
            points.append((totals[bisect_right(at, when)], best, round_))
    return points


def plot_best_so_far(runs: Runs, *, ax: Axes | None = None) -> Figure:
    """Draws the best score on the search split so far, by task, over the programs that were scored.

    Every improver begins with the task's seed again; the line is over all of them.

    Args:
        runs: one or several.
        ax: axes to draw on; default: a new figure.
    """
    figure, axes = canvas(ax)
    named = as_runs(runs)
    tasks: dict[str, int] = {}
    for line, (label, run) in zip(("-", "--", "-.", ":") * len(named), named.items(), strict=False):
        with closing(run.store()) as store:
            rows = store.query(f"SELECT r.task, u.score {_SCORED}").fetchall()
        for task in dict.fromkeys(row[0] or "" for row in rows):
            scores = (row[1] for row in rows if (row[0] or "") == task)
            best = list(accumulate(scores, max))
            axes.step(
                range(1, len(best) + 1), best, where="post", linestyle=line,
                markevery=[0, len(best) - 1] if len(best) > 1 else None,
                label=style.of_run(label, plain(task), len(named) > 1),
                **style.look(tasks.setdefault(task, len(tasks))),
            )  # fmt: skip
    finish(axes, "Best program so far", "programs scored", "best score on the search split")
    style.whole_numbers(axes.xaxis)
    style.legend_or_reason(axes, tasks, "no program has been scored yet")
    return figure
