"""What is known of one program: names, constants, and where values come from.

    tree ─► index (who binds what, where) ─► folding (constants) ─► names (full names)
                                                  └─► calls ─► flow (where values come from)

`Program` is the door; rules go through it only.
"""

from __future__ import annotations

import ast

from stop.audit.rules._flow.calls import Site, called, last_name
from stop.audit.rules._flow.flow import Flow
from stop.audit.rules._flow.folding import Folder, Fuel, OutOfFuel
from stop.audit.rules._flow.handlers import Handlers
from stop.audit.rules._flow.index import EACH, MAX_PATH, Index, Path, Store, sole_value
from stop.audit.rules._flow.names import REACHING, WAYS, Names
from stop.audit.rules._flow.values import NOTHING

__all__ = [
    "EACH", "MAX_PATH", "NOTHING", "REACHING", "WAYS", "Fuel", "Handlers", "Index", "OutOfFuel",
    "Path", "Program", "Site", "Store", "called", "last_name", "sole_value",
]  # fmt: skip


class Program:
    """A program that is looked at.

    Args:
        tree: its syntax tree.
        fuel: the work that it may still cause; `OutOfFuel` is raised where that is used up.

    Attributes:
        index: its names, calls, imports, assignments and strings.
        fold: node -> its constant value (tuples as lists), or `NOTHING`.
        text: node -> its constant value if that is a string, else None.
        full: node -> the full name of the function or module of Python that it is, or "".
        trace: node, path -> the expressions whose value may arrive there.
        can_be: node, test -> whether a constant that may arrive there passes.
        flow: calls as their callees see them.
    """

    def __init__(self, tree: ast.Module, fuel: Fuel) -> None:
        self.index = Index(tree)
        folder = Folder(self.index, fuel)
        self.fold, self.text = folder.fold, folder.text
        self.full = Names(self.index, folder, fuel).full
        self.flow = Flow(self.index, folder, fuel)
        self.trace, self.can_be = self.flow.trace, self.flow.can_be
