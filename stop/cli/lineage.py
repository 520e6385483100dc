"""`stop lineage`, `stop show`, `stop diff`: the programs of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stop._util.sheet import Code, Sheet, Table, clean, interval, number, short
from stop.cli.options import json_option, limit_option, runs_dir_option
from stop.cli.output import fitting, left_out, say, show_json, show_sheet
from stop.cli.output import show as show_result
from stop.cli.runs import find_run, run_argument

if TYPE_CHECKING:
    from stop.cli.documents.runs import ShownProgram
    from stop.lineage import Kind, Node, Origin

_MAX_LEAD = 30


@click.command()
@click.option("--solutions", is_flag=True, help="With the solutions that improvers made.")
@click.option("--origins", is_flag=True, help="Which LM response each text came from.")
@limit_option(200)
@run_argument
@json_option
def lineage(folder: Path, solutions: bool, origins: bool, limit: int, as_json: bool) -> None:
    """The tree of RUN's improvers with their scores.

    `*` was accepted, `!` caused security events (`!!` attempts, `!!!` tampering).
    """
    from stop._util.documents import extended
    from stop.cli.documents.runs import NodeWithOrigin, Tree
    from stop.experiments import kind_of
    from stop.recorded_run import open_run

    run = open_run(folder)
    read = run.lineage
    story = kind_of(run.config).programs
    kind: Kind | None = None if solutions or story == "solution" else story
    nodes = list(read.nodes(kind, limit=limit))
    found = {n.program_id: read.origin(n.program_id) for n in nodes} if origins else {}
    more = read.count(kind) - len(nodes) if len(nodes) == limit else 0
    if as_json:
        shown = tuple(
            extended(NodeWithOrigin, node, origin=found[node.program_id]) if origins else node
            for node in nodes
        )
        show_json(Tree(folder, shown, more))
        return
    _draw(nodes, found)
    show_sheet(left_out(more))


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
    rounds = f"round {','.join(map(str, node.rounds))}" if node.rounds else ""
    parts = [
        short(node.program_id),
        number(node.score),
        interval(node.interval),
        "*" if node.accepted else "",
        "!" * max(1, node.security_level) if node.security_events else "",
        "seed improver" if 0 in node.rounds else rounds,
        clean(node.task or ""),
        "" if node.status == "ok" else node.status,
        "" if origin is None or node.improver_run is None else _in_short(origin),
    ]
    return "  ".join(filter(None, parts))


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
    from stop.cli.documents.runs import ShownProgram
    from stop.recorded_run import open_run

    run = open_run(find_run(run_name, runs_dir, rounds_only=program_id == "best"))
    program = run.program(program_id)
    events = [e for e in run.security_events() if e["program_id"] == program.id]
    with run.store() as store:
        evaluations = tuple(store.evaluations(program.id))
    best = run.result().best
    shown = ShownProgram(
        program_id=program.id,
        kind=program.kind,
        source=program.source,
        lineage=run.lineage.node(program.id),
        origin=run.lineage.origin(program.id),
        evaluations=evaluations,
        evidence=tuple(join(events)),
        events=tuple(events),
        best=best if best is not None and best.program_id == program.id else None,
    )
    show_result(shown, _sheet(shown), as_json)


def _sheet(program: ShownProgram) -> Sheet:
    from stop.experiments.rounds.result import gain_words

    node, origin = program.lineage, program.origin
    facts = {"program": program.program_id, "kind": program.kind}
    if node.improver_run is None:
        facts["made"] = "from nothing: the run began with it, or was cut off before it was scored"
    else:
        by = f"by improver {short(node.improver_id)} in {node.improver_run}"
        facts |= {"made": f"from {short(node.parent_id)} {by}", "text": _in_words(origin)}
    facts["score"] = f"{number(node.score)} {interval(node.interval)} {node.status}"
    if program.best is not None:
        facts["gain"] = gain_words(program.best.gain, program.best.gain_reason)
    scores = [
        (e.task, e.split, number(e.score), e.status, e.detail[:60], e.isolation)
        for e in program.evaluations
    ]
    evidence = [
        (int(e.level), e.topic, e.join, e.events if i == 0 else "", detail)
        for e in program.evidence
        for i, detail in enumerate(e.details[:5])
    ]
    tables = [
        Table(("task", "split", "score", "status", "detail", "isolation"), scores),
        Table(("level", "topic", "how", "events", "what"), evidence),
    ]
    return [facts, *(table for table in tables if table.rows), Code(program.source)]


def _in_words(origin: Origin) -> str:
    if origin.match == "none":
        best = f"; the most similar one: {origin.similarity:.2f}" if origin.similarity else ""
        return f"of no LM response that its improver could see{best}"
    which = f"response {(origin.choice or 0) + 1} of LM call {origin.lm_call}"
    if origin.match == "exact":
        return f"as in {which}"
    return f"{which}, edited by the improver: similarity {origin.similarity:.2f}"


@click.command()
@run_argument
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@json_option
def diff(folder: Path, first: str, second: str, as_json: bool) -> None:
    """What changed from program A to program B of RUN (ids, their beginnings, or `best`)."""
    from stop.cli.documents.runs import ProgramDiff
    from stop.recorded_run import open_run

    run = open_run(folder)
    a, b = (run.program(text) for text in (first, second))
    text = run.lineage.diff(a.id, b.id)
    if as_json:
        show_json(ProgramDiff(a.id, b.id, text))
        return
    for line in text.splitlines():
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        say(click.style(clean(line), fg=colour) if colour else clean(line))
    if not text:
        say("(the same text)")
