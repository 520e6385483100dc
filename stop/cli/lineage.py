"""`stop lineage`, `stop show`, `stop diff`: what came of a run."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from stop.cli.options import runs_dir_option
from stop.cli.output import (
    clean,
    fitting,
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
    from stop.lineage import Kind, Node, Origin
    from stop.store import ProgramRecord

_MAX_LEAD = 30


@click.command()
@click.argument("run_name", metavar="RUN")
@click.option("--solutions", is_flag=True, help="With the solutions that improvers made.")
@click.option("--origins", is_flag=True, help="Which LM response each text came from.")
@click.option("--limit", type=click.IntRange(min=1), default=200, show_default=True)
@runs_dir_option
@json_option
def lineage(
    *, run_name: str, solutions: bool, origins: bool, limit: int, runs_dir: str, as_json: bool
) -> None:
    """The tree of RUN's improvers with their scores.

    `*` was accepted, `!` caused security events (`!!` attempts, `!!!` tampering).
    """
    from stop.cli.runs import find_run
    from stop.recorded_run import open_run

    run = open_run(find_run(run_name, runs_dir))
    read = run.lineage
    kind: Kind | None = None if solutions or run.config.kind == "improve" else "improver"
    nodes = list(read.nodes(kind, limit=limit))
    found = {n.program_id: read.origin(n.program_id) for n in nodes} if origins else {}
    left_out = read.count(kind) - len(nodes) if len(nodes) == limit else 0
    if as_json:
        shown = [
            node.to_dict() | ({"origin": asdict(found[node.program_id])} if origins else {})
            for node in nodes
        ]
        show_json({"run": str(run.folder), "nodes": shown, "left_out": left_out})
        return
    _draw(nodes, found)
    if left_out:
        say(f"... {left_out} more; --limit N shows them")


def _draw(nodes: list[Node], origins: dict[str, Origin]) -> None:
    shown = {node.program_id for node in nodes}
    children: dict[str | None, list[Node]] = {}
    for node in nodes:
        parent = node.parent_id if node.parent_id in shown else None
        children.setdefault(parent, []).append(node)
    stack = [("", "", node) for node in reversed(children.get(None, []))]
    while stack:
        lead, branch, node = stack.pop()
        say(fitting(_branch(lead, branch) + _label(node, origins.get(node.program_id))))
        below = lead + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
        kin = children.get(node.program_id, [])
        for i, child in reversed(list(enumerate(kin))):
            stack.append((below, "└─ " if i == len(kin) - 1 else "├─ ", child))


def _branch(lead: str, branch: str) -> str:
    """The lines of the tree before a label; of a deep one only the last, and how deep it is."""
    if len(lead) <= _MAX_LEAD:
        return lead + branch
    depth = f"…{(len(lead) + len(branch)) // 3} "
    return depth + lead[len(depth) - _MAX_LEAD :] + branch


def _label(node: Node, origin: Origin | None) -> str:
    parts = [short(node.program_id), number(node.score)]
    if node.interval:
        parts.append(interval(*node.interval))
    if node.accepted:
        parts.append("*")
    if node.security_events:
        parts.append("!" * max(1, node.security_level))
    if 0 in node.rounds:
        parts.append("seed improver")
    elif node.rounds:
        parts.append("round " + ",".join(map(str, node.rounds)))
    if node.task:
        parts.append(clean(node.task))
    if node.status not in ("ok", ""):
        parts.append(node.status)
    if origin is not None and node.improver_run is not None:
        parts.append(_in_short(origin))
    return "  ".join(parts)


def _in_short(origin: Origin) -> str:
    if origin.match == "none":
        return "of no response"
    which = "" if origin.match == "exact" else f" {origin.similarity:.2f}"
    return f"{origin.match}{which} of call {origin.lm_call}"


@click.command()
@click.argument("run_name", metavar="RUN")
@click.argument("program_id", metavar="ID")
@runs_dir_option
@json_option
def show(run_name: str, program_id: str, runs_dir: str, as_json: bool) -> None:
    """One program of RUN: where it came from, what it scored, its text.

    ID is the beginning of a program id, or `best`.
    """
    from stop.audit.evidence import join
    from stop.cli.runs import find_run
    from stop.recorded_run import open_run

    run = open_run(find_run(run_name, runs_dir, rounds_only=program_id == "best"))
    program = run.program(program_id)
    node, origin = run.lineage.node(program.id), run.lineage.origin(program.id)
    events = [e for e in run.security_events() if e["program_id"] == program.id]
    store = run.store()
    try:
        evaluations = [e.to_dict() for e in store.evaluations(program.id)]
    finally:
        store.close()
    if as_json:
        show_json(
            {
                "program_id": program.id,
                "kind": program.kind,
                "source": program.source,
                "lineage": node.to_dict(),
                "origin": asdict(origin),
                "evaluations": evaluations,
                "evidence": [each.to_dict() for each in join(events)],
                "events": events,
            }
        )
        return
    _show_program(program, node, origin, evaluations, join(events))


def _show_program(
    program: ProgramRecord,
    node: Node,
    origin: Origin,
    evaluations: list[dict[str, Any]],
    evidence: list[Evidence],
) -> None:
    say(f"program   {program.id}")
    say(f"kind      {program.kind}")
    if node.improver_run is None:
        say("made from nothing: the run began with it, or was cut off before it was scored")
    else:
        say(f"made from {short(node.parent_id)} by improver {short(node.improver_id)}"
            f" in {clean(node.improver_run)}")  # fmt: skip
        say(f"text      {_in_words(origin)}")
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


def _in_words(origin: Origin) -> str:
    if origin.match == "none":
        best = (
            "" if origin.similarity is None else f"; the most similar one: {origin.similarity:.2f}"
        )
        return f"of no LM response that its improver could see{best}"
    which = f"response {(origin.choice or 0) + 1} of LM call {origin.lm_call}"
    if origin.match == "exact":
        return f"as in {which}"
    return f"{which}, edited by the improver: similarity {origin.similarity:.2f}"


@click.command()
@click.argument("run_name", metavar="RUN")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@runs_dir_option
@json_option
def diff(run_name: str, first: str, second: str, runs_dir: str, as_json: bool) -> None:
    """What changed from program A to program B of RUN (ids, their beginnings, or `best`)."""
    from stop.cli.runs import find_run
    from stop.recorded_run import open_run

    run = open_run(find_run(run_name, runs_dir))
    a, b = (run.program(text) for text in (first, second))
    text = run.lineage.diff(a.id, b.id)
    if as_json:
        show_json({"a": a.id, "b": b.id, "diff": text})
        return
    for line in text.splitlines():
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        say(click.style(clean(line), fg=colour) if colour else clean(line))
    if not text:
        say("(the same text)")
