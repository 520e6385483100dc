"""The lineage as a tree of programs, coloured by score or by security level."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from stop._util.extras import analysis_module
from stop.analysis.figures.style import BLACK, GREY, LEVELS, canvas, legend, note, nothing, plain
from stop.analysis.runs import OneRun, as_run
from stop.errors import RunError
from stop.experiments import kind_of
from stop.lineage import Kind, Lineage, Node

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LIMIT = 60
"""More nodes than this are not legible."""
_LABEL_INCHES, _LEGEND_INCHES = 1.9, 1.8
_LOOKED_AT = 2_000
"""Programs of a large run among which the highest scores are looked for."""


def plot_lineage(
    run: OneRun,
    *,
    colour: Literal["score", "security"] = "score",
    kind: Kind | None = None,
    limit: int = LIMIT,
    ax: Axes | None = None,
) -> Figure:
    """Draws which program was made from which, left to right; the path to the best is thick.

    A black rim: accepted; a star: the best. Next to a node stand its id, its round and its score.
    Of more than `limit` programs the most telling are shown, with all that they were made from: the
    path to the best, the candidates of rounds, those with security events, the highest scores; the
    title says how many programs there are.

    Args:
        run: of any kind.
        colour: by score, or by the highest level of a security event.
        kind: "improver" or "solution"; default: improvers, of an improve solutions.
        limit: the largest number of nodes.
        ax: axes to draw on; default: a new figure.
    """
    opened = as_run(run)
    lineage = opened.lineage
    kind = kind or kind_of(opened.config).programs
    total = lineage.count(kind)
    path = _path(lineage) if kind == "improver" else []
    nodes = _chosen(lineage, kind, total, path, limit)
    places = _layout(nodes)
    lowest = max((y for _, y in places.values()), default=0.0)
    deepest = max((x for x, _ in places.values()), default=0)
    width, height = min(24.0, max(8.0, 2.5 + 1.5 * deepest)), max(2.5, 1.2 + 0.26 * (1 + lowest))
    figure, axes = canvas(ax, width, min(height, 30.0))
    _draw_edges(axes, nodes, places, {node.program_id for node in path})
    best = path[-1].program_id if path else _highest(nodes)
    looks = _by_score(nodes, best) if colour == "score" else _by_level(nodes, best)
    for node in sorted(nodes, key=lambda n: n.security_level if colour == "security" else 0):
        _draw_node(axes, node, places[node.program_id], looks[node.program_id])
    if not nodes:
        nothing(axes, f"no {kind} is recorded yet")
    elif colour == "security":
        legend(axes, beside=True, title="highest level")
    elif any(node.score is not None for node in nodes):
        _draw_bar(figure, axes, "meta-utility" if kind == "improver" else "score")
    shown = f"{len(nodes):,} of {total:,}" if len(nodes) < total else f"{total:,}"
    by = "" if colour == "score" else ", by highest level of a security event"
    axes.set_title(f"Lineage of {shown} {kind}s{by}", loc="left", fontsize=11)
    _frame(axes, deepest, lowest, width)
    return figure


# --- which nodes are drawn


def _path(lineage: Lineage) -> list[Node]:
    try:
        return lineage.path_to_best()
    except RunError:  # no improver has a score yet
        return []


def _chosen(
    lineage: Lineage, kind: Kind, total: int, path: Sequence[Node], limit: int
) -> list[Node]:
    """The nodes to draw, parents before children."""
    if total <= limit:
        return list(lineage.nodes(kind))
    looked_at = list(islice(lineage.nodes(kind), _LOOKED_AT))
    known = {node.program_id: node for node in (*looked_at, *path)}
    wanted = sorted(
        known.values(),
        key=lambda n: (n not in path, not n.rounds, -n.security_level, -(n.score or 0.0)),
    )
    chosen: dict[str, Node] = {}
    for node in wanted:
        line = [node]
        while line[-1].parent_id is not None and line[-1].parent_id not in chosen:
            above = known.get(line[-1].parent_id) or lineage.node(line[-1].parent_id)
            line.append(above)
        line = [n for n in line if n.program_id not in chosen and n.kind == kind]
        if len(chosen) + len(line) <= limit:
            chosen.update((n.program_id, n) for n in line)
        if len(chosen) >= limit:
            break
    return sorted(chosen.values(), key=lambda n: n.generation)


def _highest(nodes: Sequence[Node]) -> str:
    scored = [node for node in nodes if node.score is not None]
    return max(scored, key=lambda n: n.score or 0.0).program_id if scored else ""


# --- where they stand


Looks = dict[str, dict[str, Any]]
"""By program id, arguments of `Axes.scatter`."""


def _layout(nodes: Sequence[Node]) -> dict[str, tuple[int, float]]:
    """Places leaves one below the other, and each parent in the middle of its children."""
    here = {node.program_id: node for node in nodes}
    children: dict[str | None, list[str]] = {}
    for node in nodes:
        parent = node.parent_id if node.parent_id in here else None
        children.setdefault(parent, []).append(node.program_id)
    order: list[str] = []
    pending = children.get(None, [])[::-1]
    while pending:
        order.append(pending.pop())
        pending += reversed(children.get(order[-1], []))
    heights: dict[str, float] = {}
    row = sum(1 for program in order if program not in children)
    for program in reversed(order):  # children before their parents, leaves from below
        if below := children.get(program):
            heights[program] = sum(heights[child] for child in below) / len(below)
        else:
            row -= 1
            heights[program] = float(row)
    return {program: (here[program].generation, heights[program]) for program in order}


# --- how they look


def _draw_edges(
    axes: Axes, nodes: Sequence[Node], places: dict[str, tuple[int, float]], path: set[str]
) -> None:
    for node in nodes:
        if node.parent_id not in places:
            continue
        (x1, y1), (x2, y2) = places[node.parent_id], places[node.program_id]
        on_path = node.parent_id in path and node.program_id in path
        middle = x2 - 0.12 * (x2 - x1)  # a label stands next to the parent
        axes.plot(
            [x1, middle, middle, x2], [y1, y1, y2, y2],
            color=BLACK if on_path else "#BBBBBB", linewidth=2.2 if on_path else 0.9, zorder=1,
            solid_joinstyle="round",
        )  # fmt: skip


def _by_score(nodes: Sequence[Node], best: str) -> Looks:
    scores = [node.score for node in nodes if node.score is not None]
    low, high = min(scores, default=0.0), max(scores, default=1.0)
    norm = analysis_module("matplotlib.colors").Normalize(low, high if high > low else low + 1e-9)
    looks: Looks = {}
    for node in nodes:
        value = {"c": [node.score], "cmap": "viridis", "norm": norm}
        star = {"s": 190, "marker": "*"} if node.program_id == best else {}
        looks[node.program_id] = ({"facecolor": "white"} if node.score is None else value) | star
    return looks


def _draw_bar(figure: Figure, axes: Axes, label: str) -> None:
    coloured = next(c for c in axes.collections[::-1] if c.get_array() is not None)
    shrink = min(0.8, 2.5 / figure.get_figheight())
    bar = figure.colorbar(coloured, ax=axes, shrink=shrink, anchor=(0.0, 1.0), aspect=15, pad=0.02)
    bar.ax.tick_params(labelsize=8)
    bar.set_label(label, fontsize=8)


def _by_level(nodes: Sequence[Node], best: str) -> Looks:
    looks: Looks = {}
    for node in nodes:
        words, shade, marker = LEVELS[min(3, max(0, node.security_level))]
        size = 120 if node.program_id == best else 75
        looks[node.program_id] = {"s": size, "color": shade, "marker": marker, "label": words}
    return looks


def _draw_node(axes: Axes, node: Node, place: tuple[int, float], look: dict[str, Any]) -> None:
    """Draws a mark, with a black rim for an accepted program, and what is said of it."""
    rim: dict[str, Any] = {"edgecolor": BLACK, "linewidth": 1.6} if node.accepted else {}
    usual: dict[str, Any] = {
        "s": 75,
        "marker": "o",
        "edgecolor": GREY,
        "linewidth": 0.7,
        "zorder": 3,
    }
    axes.scatter([place[0]], [place[1]], **usual | rim | look)
    parts = [node.program_id[:6]]
    if node.generation == 0 and node.task:
        parts.append(node.task)
    if 0 in node.rounds:
        parts.append("seed")
    elif node.rounds:
        parts.append("round " + ",".join(map(str, node.rounds[:3])))
    if node.score is not None:
        parts.append(f"{node.score:.3f}")
    elif node.status:
        parts.append(node.status)
    note(axes, plain("  ".join(parts)), place, (8, 4), color=BLACK, zorder=4)


def _frame(axes: Axes, deepest: int, lowest: float, width: float) -> None:
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.set_yticks([])
    axes.set_xlabel("generation")
    axes.set_xticks(range(deepest + 1))
    share = _LABEL_INCHES / (width - _LEGEND_INCHES)  # of the axes, for the last labels
    axes.set_xlim(-0.15, deepest + min(0.9, (deepest + 0.15) * share / (1 - share)))
    axes.set_ylim(lowest + 0.7, -0.7)
