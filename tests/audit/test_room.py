"""The audit room: no circle of imports, and one door to the rules and one to the flow analysis."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.helpers.places import REPOSITORY


def _imports(path: Path) -> set[str]:
    """Modules that a file imports anything from; also where only a type checker looks."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def _modules(folder: str) -> dict[str, set[str]]:
    paths = sorted((REPOSITORY / folder).rglob("*.py"))
    named = {
        ".".join(p.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): p
        for p in paths
    }
    return {name: _imports(path) for name, path in named.items()}


def test_nothing_imports_in_a_circle():
    modules = _modules("stop/audit")
    graph = {name: found & modules.keys() - {name} for name, found in modules.items()}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert order.index("stop.audit.rules._flow.folding") < order.index("stop.audit.rules")


@pytest.mark.parametrize("door", ["stop.audit.rules", "stop.audit.rules._flow"])
def test_what_is_behind_a_door_is_used_through_it(door):
    behind = {name for name in _modules("stop/audit") if name.startswith(f"{door}.")}
    assert behind
    for name, found in {**_modules("stop"), **_modules("benchmarks")}.items():
        assert name.startswith(door) or found.isdisjoint(behind), name
