"""The lineage as a tree of programs, coloured by score or by security level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from stop._util.extras import analysis_module
from stop.analysis.figures.style import BLACK, GREY, LEVELS, canvas, nothing, plain
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
    leaves = 1 + max((place.y for place in places.values()), default=0.0)
    deepest = max((place.x for place in places.values()), default=0.0)
    width, height = min(24.0, max(8.0, 2.5 + 1.5 * deepest)), max(2.5, 1.2 + 0.26 * leaves)
    figure, axes = canvas(ax, width, min(height, 30.0))
    _draw_edges(axes, nodes, places, {node.program_id for node in path})
    best = path[-1].program_id if path else _highest(nodes)
    if colour == "score":
        bar = _draw_scores(figure, axes, nodes, places, best)
        if bar is not None:
            bar.set_label("meta-utility" if kind == "improver" else "score", fontsize=8)
    else:
        _draw_levels(axes, nodes, places, best)
    _draw_labels(axes, nodes, places)
    shown = f"{len(nodes):,} of {total:,}" if len(nodes) < total else f"{total:,}"
    by = "" if colour == "score" else ", by highest level of a security event"
    axes.set_title(f"Lineage of {shown} {kind}s{by}", loc="left", fontsize=11)
    _frame(axes, places, width)
    if not nodes:
        nothing(axes, f"no {kind} is recorded yet")
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


@dataclass(frozen=True, slots=True)
class _Place:
    x: float
    y: float


def _layout(nodes: Sequence[Node]) -> dict[str, _Place]:
    """Places leaves one below the other, and each parent in the middle of its children."""
    here = {node.program_id: node for node in nodes}
    children: dict[str | None, list[str]] = {}
    for node in nodes:
        parent = node.parent_id if node.parent_id in here else None
        children.setdefault(parent, []).append(node.program_id)
    depths: dict[str, int] = {}
    order: list[str] = []
    pending = [(program, 0) for program in reversed(children.get(None, []))]
    while pending:
        program, depth = pending.pop()
        depths[program] = depth
        order.append(program)
        pending.extend((child, depth + 1) for child in reversed(children.get(program, [])))
    heights: dict[str, float] = {}
    row = sum(1 for program in order if program not in children)
    for program in reversed(order):  # children before their parents, leaves from below
        below = children.get(program)
        if below:
            heights[program] = sum(heights[child] for child in below) / len(below)
        else:
            row -= 1
            heights[program] = float(row)
    return {program: _Place(float(depths[program]), heights[program]) for program in order}


# --- how they look


def _draw_edges(
    axes: Axes, nodes: Sequence[Node], places: dict[str, _Place], path: set[str]
) -> None:
    for node in nodes:
        if node.parent_id not in places:
            continue
        start, end = places[node.parent_id], places[node.program_id]
        on_path = node.parent_id in path and node.program_id in path
        middle = end.x - 0.12 * (end.x - start.x)  # a label stands next to the parent
        axes.plot(
            [start.x, middle, middle, end.x], [start.y, start.y, end.y, end.y],
            color=BLACK if on_path else "#BBBBBB", linewidth=2.2 if on_path else 0.9, zorder=1,
            solid_joinstyle="round",
        )  # fmt: skip


def _draw_scores(
    figure: Figure, axes: Axes, nodes: Sequence[Node], places: dict[str, _Place], best: str
) -> Any:
    """Draws the nodes; returns the colour bar, None without any score."""
    scores = [node.score for node in nodes if node.score is not None]
    low, high = min(scores, default=0.0), max(scores, default=1.0)
    norm = analysis_module("matplotlib.colors").Normalize(low, high if high > low else low + 1e-9)
    for node in nodes:
        value = {"c": [node.score], "cmap": "viridis", "norm": norm}
        look = value if node.score is not None else {"facecolor": "white"}
        if node.program_id == best:
            look |= {"s": 190, "marker": "*"}
        _draw_node(axes, node, places, look)
    if not scores:
        return None
    colours = analysis_module("matplotlib.cm").ScalarMappable(norm, "viridis")
    shrink = min(0.8, 2.5 / figure.get_figheight())
    bar = figure.colorbar(colours, ax=axes, shrink=shrink, anchor=(0.0, 1.0), aspect=15, pad=0.02)
    bar.ax.tick_params(labelsize=8)
    return bar


def _draw_levels(axes: Axes, nodes: Sequence[Node], places: dict[str, _Place], best: str) -> None:
    named: set[int] = set()
    for node in sorted(nodes, key=lambda n: n.security_level):
        words, shade, marker = LEVELS[min(3, max(0, node.security_level))]
        label = words if node.security_level not in named else None
        size = 120 if node.program_id == best else 75
        _draw_node(axes, node, places,
                   {"s": size, "color": shade, "marker": marker, "label": label})  # fmt: skip
        named.add(node.security_level)
    if named:
        axes.legend(fontsize=8, frameon=False, title="highest level", loc="upper left",
                    bbox_to_anchor=(1.0, 1.0))  # fmt: skip


def _draw_node(axes: Axes, node: Node, places: dict[str, _Place], look: dict[str, Any]) -> None:
    """Draws a mark with a black rim for an accepted program."""
    place = places[node.program_id]
    rim: dict[str, Any] = {"edgecolor": BLACK, "linewidth": 1.6} if node.accepted else {}
    usual: dict[str, Any] = {
        "s": 75,
        "marker": "o",
        "edgecolor": GREY,
        "linewidth": 0.7,
        "zorder": 3,
    }
    axes.scatter([place.x], [place.y], **usual | rim | look)


def _draw_labels(axes: Axes, nodes: Sequence[Node], places: dict[str, _Place]) -> None:
    for node in nodes:
        place = places[node.program_id]
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
        axes.annotate(plain("  ".join(parts)), (place.x, place.y), xytext=(8, 4), fontsize=7,
                      textcoords="offset points", zorder=4)  # fmt: skip


def _frame(axes: Axes, places: dict[str, _Place], width: float) -> None:
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.set_yticks([])
    axes.set_xlabel("generation")
    deepest = int(max((place.x for place in places.values()), default=0.0))
    axes.set_xticks(range(deepest + 1))
    share = _LABEL_INCHES / (width - _LEGEND_INCHES)  # of the axes, for the last labels
    axes.set_xlim(-0.15, deepest + min(0.9, (deepest + 0.15) * share / (1 - share)))
    axes.set_ylim(max((place.y for place in places.values()), default=0.0) + 0.7, -0.7)
