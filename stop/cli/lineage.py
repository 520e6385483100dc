"""`stop lineage`, `stop show`, `stop diff`: what came of a run."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import click

from stop.cli.options import runs_dir_option
from stop.cli.output import (
    clean,
    interval,
    json_option,
    number,
    say,
    short,
    show_json,
    table,
)

if TYPE_CHECKING:
    from stop.audit.evidence import Evidence
    from stop.lineage import Node


@click.command()
@click.argument("run_name", metavar="RUN")
@click.option("--solutions", is_flag=True, help="With the solutions that improvers made.")
@click.option("--limit", type=click.IntRange(min=1), default=200, show_default=True)
@runs_dir_option
@json_option
def lineage(run_name: str, solutions: bool, limit: int, runs_dir: str, as_json: bool) -> None:
    """The tree of RUN's improvers with their scores.

    `*` was accepted, `!` caused security events (`!!` attempts, `!!!` tampering).
    """
    from stop.api import open_run
    from stop.cli.runs import find_run
    from stop.lineage import read_lineage

    run = open_run(find_run(run_name, runs_dir))
    store = run.store()
    try:
        solutions = solutions or run.config.kind == "improve"
        nodes = read_lineage(store, run.security_events(), solutions=solutions)
    finally:
        store.close()
    if as_json:
        shown = [node.to_dict() for node in nodes[:limit]]
        show_json({"run": str(run.folder), "nodes": shown, "left_out": max(0, len(nodes) - limit)})
        return
    _draw(nodes[:limit])
    if len(nodes) > limit:
        say(f"... {len(nodes) - limit} more; --limit N shows them")


def _draw(nodes: list[Node]) -> None:
    shown = {node.program_id for node in nodes}
    children: dict[str | None, list[Node]] = {}
    for node in nodes:
        parent = node.parent_id if node.parent_id in shown else None
        children.setdefault(parent, []).append(node)
    stack = [("", "", node) for node in reversed(children.get(None, []))]
    while stack:
        lead, branch, node = stack.pop()
        say(lead + branch + _label(node))
        below = lead + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
        kin = [n for n in children.get(node.program_id, []) if n is not node]
        for i, child in reversed(list(enumerate(kin))):
            stack.append((below, "└─ " if i == len(kin) - 1 else "├─ ", child))


def _label(node: Node) -> str:
    parts = [short(node.program_id), number(node.score)]
    if node.interval:
        parts.append(interval(*node.interval))
    if 0 in node.rounds:
        parts.append("seed improver")
    elif node.rounds:
        parts.append("round " + ",".join(map(str, node.rounds)))
    if node.task:
        parts.append(node.task)
    if node.status not in ("ok", ""):
        parts.append(node.status)
    if node.accepted:
        parts.append("*")
    if node.security_events:
        parts.append("!" * max(1, node.security_level))
    return "  ".join(parts)


@click.command()
@click.argument("run_name", metavar="RUN")
@click.argument("program_id", metavar="ID")
@runs_dir_option
@json_option
def show(run_name: str, program_id: str, runs_dir: str, as_json: bool) -> None:
    """One program of RUN: where it came from, what it scored, its text.

    ID is the beginning of a program id, or `best`.
    """
    from stop.api import open_run
    from stop.audit.evidence import join
    from stop.cli.runs import find_run
    from stop.lineage import read_lineage

    run = open_run(find_run(run_name, runs_dir, rounds_only=program_id == "best"))
    program = run.best if program_id == "best" else run.program(program_id)
    events = [e for e in run.security_events() if e.get("program_id") == program.id]
    store = run.store()
    try:
        nodes = read_lineage(store, run.security_events(), solutions=True)
        node = next((n for n in nodes if n.program_id == program.id), None)
        evaluations = [e.to_dict() for e in store.evaluations(program.id)]
    finally:
        store.close()
    if as_json:
        show_json(
            {
                "program_id": program.id,
                "kind": program.kind,
                "source": program.source,
                "lineage": node.to_dict() if node else None,
                "evaluations": evaluations,
                "evidence": [each.to_dict() for each in join(events)],
                "events": events,
            }
        )
        return
    _show_program(program, node, evaluations, join(events))


def _show_program(
    program: Any, node: Node | None, evaluations: list[dict[str, Any]], evidence: list[Evidence]
) -> None:
    say(f"program   {program.id}")
    say(f"kind      {program.kind}")
    if node is not None:
        say(f"made from {short(node.parent_id)} by improver {short(node.improver_id)}"
            f" in {clean(node.improver_run or 'the beginning')}")  # fmt: skip
        ends = node.interval or (None, None)
        say(f"score     {number(node.score)} {interval(*ends)} {node.status}")
    if evaluations:
        say()
        rows = [
            [
                e["task"],
                e["split"],
                number(e["score"]),
                e["status"],
                e["detail"][:60],
                e["isolation"],
            ]
            for e in evaluations
        ]
        table(["task", "split", "score", "status", "detail", "isolation"], rows)
    if evidence:
        say()
        table(
            ["level", "topic", "how", "events", "what"],
            [
                [int(e.level), e.topic, e.join, e.events if i == 0 else "", detail]
                for e in evidence
                for i, detail in enumerate(e.details[:5])
            ],
        )
    say()
    say(clean(program.source))


@click.command()
@click.argument("run_name", metavar="RUN")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@runs_dir_option
@json_option
def diff(run_name: str, first: str, second: str, runs_dir: str, as_json: bool) -> None:
    """What changed from program A to program B of RUN (ids, their beginnings, or `best`)."""
    from stop.api import open_run
    from stop.cli.runs import find_run

    run = open_run(find_run(run_name, runs_dir))
    a, b = (run.best if text == "best" else run.program(text) for text in (first, second))
    lines = difflib.unified_diff(
        a.source.splitlines(), b.source.splitlines(), short(a.id), short(b.id), lineterm=""
    )
    text = "\n".join(lines)
    if as_json:
        show_json({"a": a.id, "b": b.id, "diff": text})
        return
    for line in text.splitlines():
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        say(click.style(clean(line), fg=colour) if colour else clean(line))
    if not text:
        say("(the same text)")
