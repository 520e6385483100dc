"""Colours, text and axes that all figures share."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

from stop._util.extras import analysis_module

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# M. Okabe, K. Ito, Color Universal Design, 2008.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, RED, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY = "#777777"
COLOURS = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LEVELS = {
    0: ("no event", "#BBBBBB", "o"),
    1: ("1 intent", ORANGE, "^"),
    2: ("2 attempt", RED, "s"),
    3: ("3 tampering", PURPLE, "X"),
}
"""Levels of security events: words, colour and mark, the same in each figure."""
_LONGEST = 40


def canvas(ax: Axes | None, width: float = 7.0, height: float = 4.0) -> tuple[Figure, Axes]:
    """Returns the axes to draw on: the given ones, or the only ones of a new figure.

    The figure does not belong to a window system: it is shown as the last value of a notebook's
    cell, and is saved by `figure.savefig(path)`.

    Args:
        ax: given axes.
        width, height: of a new figure, in inches.
    """
    if ax is not None:
        return ax.get_figure(root=True), ax  # type: ignore[return-value]
    figure = new_figure(width, height)
    return figure, figure.add_subplot()


def new_figure(width: float, height: float) -> Figure:
    """Returns a figure without axes; `width` and `height` are in inches."""
    module = analysis_module("matplotlib.figure")

    class Shown(module.Figure):  # type: ignore[name-defined,misc]
        """A figure that notebooks show by itself, whatever their backend."""

        def _repr_png_(self) -> bytes:
            data = io.BytesIO()
            self.savefig(data, format="png", dpi=110)
            return data.getvalue()

    figure: Figure = Shown(figsize=(width, height), layout="constrained")
    return figure


def finish(ax: Axes, title: str, x: str, y: str) -> None:
    """Writes title and labels, and draws a light grid in place of a box."""
    ax.set_title(title, loc="left", fontsize=11)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def whole_numbers(axis: Any) -> None:
    """Puts ticks at whole numbers only."""
    axis.set_major_locator(analysis_module("matplotlib.ticker").MaxNLocator(integer=True))


def plain(text: str, longest: int = _LONGEST) -> str:
    """Returns text that matplotlib does not interpret and that its font can show."""
    safe = "".join(c if " " <= c <= "~" else "?" for c in text[: longest + 1])
    return (safe if len(safe) <= longest else safe[: longest - 3] + "...").replace("$", r"\$")


def look(i: int) -> dict[str, Any]:
    """Returns marker and colour of the group with this number, counted from 0."""
    return {"marker": MARKERS[i % len(MARKERS)], "color": COLOURS[i % len(COLOURS)]}


def of_run(label: str, name: str, several: bool) -> str:
    """Returns a name in the legend, with its run where there are several."""
    return f"{plain(label, 28)}: {name}" if several else name


def interval(
    ax: Axes,
    place: float,
    ends: tuple[float, float | None, float | None],
    *,
    lying: bool = False,
    **look: Any,
) -> None:
    """Draws a mark with its interval.

    Args:
        ax: the axes.
        place: on the axis of the things compared.
        ends: mean, low and high; without an interval low is None or NaN.
        lying: whether values go from left to right.
        look: as of `Axes.errorbar`.
    """
    mean, low, high = ends
    if low is None or high is None or math.isnan(low):
        low = high = mean
    reach = [[max(0.0, mean - low)], [max(0.0, high - mean)]]
    if lying:
        ax.errorbar([mean], [place], xerr=reach, linestyle="", **look)
    else:
        ax.errorbar([place], [mean], yerr=reach, linestyle="", **look)


def note(
    ax: Axes, text: str, place: tuple[float, float], offset: tuple[int, int], **look: Any
) -> None:
    """Writes a small text next to a mark, `offset` in points."""
    usual: dict[str, Any] = {"fontsize": 7, "color": GREY, "textcoords": "offset points"}
    ax.annotate(text, place, xytext=offset, **usual | look)


def legend(ax: Axes, *, beside: bool = False, figure: Figure | None = None, **more: Any) -> None:
    """Draws the legend, each label once: beside the axes, where there is room, or of a figure."""
    handles: dict[str, Any] = {}
    for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
        handles.setdefault(label, handle)
    look: dict[str, Any] = {"fontsize": 8, "frameon": False, "loc": "best"}
    if beside:
        look |= {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
    (figure or ax).legend(list(handles.values()), list(handles), **look | more)


def legend_or_reason(ax: Axes, drawn: object, why: str, **how: Any) -> None:
    """Draws the legend as `legend` does, or says why nothing is drawn."""
    if drawn:
        legend(ax, **how)
    else:
        nothing(ax, why)


def nothing(ax: Axes, why: str) -> None:
    """Writes in empty axes why nothing is drawn."""
    ax.text(0.5, 0.5, why, ha="center", va="center", transform=ax.transAxes, color=GREY)
    ax.set_xticks([])
    ax.set_yticks([])
