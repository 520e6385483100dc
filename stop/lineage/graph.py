"""The lineage as a networkx graph."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from stop._util.extras import analysis_module

if TYPE_CHECKING:
    import networkx

    from stop.lineage import Lineage


def build_graph(
    lineage: Lineage, *, solutions: bool, origins: bool, limit: int | None
) -> networkx.DiGraph[str]:
    """See `Lineage.to_networkx`."""
    graph: networkx.DiGraph[str] = analysis_module("networkx").DiGraph()
    rounds = lineage.rounds_of_runs()
    for node in lineage.nodes(None if solutions else "improver", limit=limit):
        graph.add_node(node.program_id, **node.to_dict())
        if origins:
            graph.nodes[node.program_id].update(asdict(lineage.origin(node.program_id)))
        if node.parent_id is not None and node.parent_id in graph:
            graph.add_edge(
                node.parent_id,
                node.program_id,
                improver_run=node.improver_run,
                improver_id=node.improver_id,
                round=rounds.get(node.improver_run or ""),
            )
    return graph
