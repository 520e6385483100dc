"""The lineage as a networkx graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from stop._util.extras import analysis_module
from stop.lineage.nodes import Node
from stop.lineage.origins import Origin

if TYPE_CHECKING:
    import networkx


def build_graph(
    nodes: Iterable[Node], rounds: dict[str, int | None], origin: Callable[[str], Origin] | None
) -> networkx.DiGraph[str]:
    """Makes the graph that `Lineage.to_networkx` describes.

    Args:
        nodes: parents before their children.
        rounds: of improver runs, by their keys.
        origin: finds a program's origin; None: nodes get none.
    """
    graph: networkx.DiGraph[str] = analysis_module("networkx").DiGraph()
    for node in nodes:
        found = {} if origin is None else asdict(origin(node.program_id))
        graph.add_node(node.program_id, **node.to_dict(), **found)
        if node.parent_id is not None and node.parent_id in graph:
            graph.add_edge(
                node.parent_id,
                node.program_id,
                improver_run=node.improver_run,
                improver_id=node.improver_id,
                round=rounds.get(node.improver_run or ""),
            )
    return graph
