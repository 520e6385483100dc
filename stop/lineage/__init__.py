"""Where each program of a run came from, read from its store and audit log by query.

    programs, improver runs ──► nodes.py    a program: its parent, its maker, its score
    tape                    ──► origins.py  the response that its text came from

Nothing is loaded whole: a run may have a million programs. A program's parent is the initial
program of the improver run in which it was first scored or returned; see `stop.store.makers`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from stop._util.extras import analysis_module
from stop.config import RunConfig
from stop.errors import RunError
from stop.lineage.differences import unified_diff
from stop.lineage.nodes import Kind, Node, Nodes
from stop.lineage.origins import Origin, find_origin
from stop.lineage.security import SecurityCounts
from stop.runs.folder import read_config_as
from stop.store import Store
from stop.store.best import best_round

if TYPE_CHECKING:
    import networkx

__all__ = ["Kind", "Lineage", "Node", "Origin"]


class Lineage:
    """The programs of one run. Each call opens the store anew, also while the run goes on.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._security = SecurityCounts(folder)

    def nodes(
        self, kind: Kind | None = None, *, limit: int | None = None, offset: int = 0
    ) -> Iterator[Node]:
        """The programs in the order in which they came up: parents before their children.

        Args:
            kind: "improver" or "solution"; None: both.
            limit: an upper bound of their number; None: all.
            offset: the number of programs that are left out first.

        Raises:
            RunError: there is no run in the folder, or it cannot be read (as every method does).
        """
        with closing(self._store()) as store:
            yield from self._nodes(store).all(kind, limit, offset)

    def count(self, kind: Kind | None = None) -> int:
        """The number of programs, of one kind or of both."""
        with closing(self._store()) as store:
            return store.count_programs(kind)

    def node(self, prefix: str) -> Node:
        """A program by the beginning of its id; `RunError` when none or several fit."""
        with closing(self._store()) as store:
            return self._nodes(store).one(store.program(prefix).id)

    def children(self, program_id: str, *, limit: int | None = None) -> list[Node]:
        """The programs that were made from this one, in the order in which they came up."""
        with closing(self._store()) as store:
            return self._nodes(store).children(store.program(program_id).id, limit)

    def ancestors(self, program_id: str) -> list[Node]:
        """The nodes from a program's parent up to what the run began with."""
        with closing(self._store()) as store:
            return list(self._nodes(store).ancestors(store.program(program_id).id))

    def path_to_best(self) -> list[Node]:
        """The nodes from the seed improver to the best one (`stop.store.best`).

        Raises:
            RunError: no improver has a meta-utility yet.
        """
        with closing(self._store()) as store:
            best = best_round(store, read_config_as(self.folder, RunConfig))
            if best is None or best.improver_id is None:
                raise RunError(f"{self.folder} has no improver with a meta-utility yet")
            nodes = self._nodes(store)
            return [nodes.one(best.improver_id), *nodes.ancestors(best.improver_id)][::-1]

    def source(self, program_id: str) -> str:
        """The text of a program, by the beginning of its id."""
        with closing(self._store()) as store:
            return store.program(program_id).source

    def diff(self, a: str, b: str) -> str:
        """What changed from program `a` to program `b`, as a unified diff; "" for the same text."""
        with closing(self._store()) as store:
            first, second = store.program(a), store.program(b)
        return unified_diff(first.source, second.source, first.id[:10], second.id[:10])

    def origin(self, program_id: str) -> Origin:
        """Finds the response that a program's text came from, of those that its maker could see."""
        with closing(self._store()) as store:
            return find_origin(store, store.program(program_id))

    def to_networkx(
        self, *, solutions: bool = True, origins: bool = False, limit: int | None = None
    ) -> networkx.DiGraph[str]:
        """The lineage as a graph. Needs the extra `analysis`.

        Args:
            solutions: with the solutions, or improvers only.
            origins: nodes have `match`, `lm_call`, `choice` and `similarity` as well; slow.
            limit: an upper bound of the number of nodes; None: all.

        Returns:
            Nodes are program ids with the fields of `Node`; edges go from parent to child, with
            `improver_run`, `improver_id` and `round` (None on tasks).
        """
        graph: networkx.DiGraph[str] = analysis_module("networkx").DiGraph()
        with closing(self._store()) as store:
            rounds = {r.key: r.round for r in store.improver_runs("meta")}
        for node in self.nodes(None if solutions else "improver", limit=limit):
            found = asdict(self.origin(node.program_id)) if origins else {}
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

    def _store(self) -> Store:
        return Store(self.folder / "run.db", read_only=True)

    def _nodes(self, store: Store) -> Nodes:
        return Nodes(store, self._security)
