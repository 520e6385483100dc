"""Where programs came from, on real runs: rounds, one improve, a bypass measurement."""

from __future__ import annotations

import json
import pickle

import pytest
from click.testing import CliRunner

import stop
from stop.cli import cli
from stop.errors import RunError
from stop.improvers import load_improver
from stop.lineage import Origin
from stop.lm.recorded import read_records
from stop.programs import Program, program_id
from tests.helpers.programs import GREEDY, fenced

pytestmark = pytest.mark.bubblewrap

IMPROVER = """from helpers import extract_code

MARK = 0

def improve_algorithm(initial_solution, utility, language_model):
    utility(initial_solution)
    message = f"Improve {initial_solution} for {utility.str}"
    answers = language_model.prompt("You are an expert.", message, n_responses=2)
    best = max(extract_code(answers), key=utility)
    utility("def algorithm(*a): return [] # mine alone" if MARK else best)
    return best.replace("MARK" + " = 0", f"MARK = {MARK + 1}")
"""
"""The improvers that come of it ask the same, so they share responses."""
ALONE = "def algorithm(*a): return [] # mine alone"
WEAK = GREEDY.replace("-values[i] / weights[i]", "weights[i]")
SHARED = {"sandbox": "bubblewrap", "calls": 1, "responses": 2, "utility_calls": 6}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lineage")


@pytest.fixture(scope="module", autouse=True)
def _one_state(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOP_STATE_DIR", str(folder / "state"))
        yield


@pytest.fixture(scope="module")
def spec(folder):
    def make(name, *replies):
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(reply) + "\n" for reply in replies))
        return f"scripted:{path}"

    return make


@pytest.fixture(scope="module")
def run(folder, spec, _one_state):
    """Two rounds on two tasks, everything accepted."""
    return stop.run(
        tasks=["knapsack", "bin_packing"],
        rounds=2,
        repetitions=1,
        accept="always",
        final_repetitions=0,
        improver=Program(IMPROVER),
        lm=spec("task", fenced(WEAK), fenced(GREEDY)),
        meta_lm=spec("meta", fenced(IMPROVER)),
        runs_dir=folder,
        **SHARED,
    )


@pytest.fixture(scope="module")
def improved(folder, spec, _one_state):
    return stop.improve(
        task="knapsack",
        lm=spec("improve", fenced(GREEDY), "no code here"),
        runs_dir=folder,
        **SHARED,
    )


@pytest.fixture(scope="module")
def sampled(folder, spec, _one_state):
    return stop.measure_bypass(
        samples=3,
        cells=("no_warning",),
        responses=3,
        lm=spec("bypass", fenced(IMPROVER), "nothing", fenced(IMPROVER + "# 2\n")),
        sandbox="bubblewrap",
        runs_dir=folder,
    )


def named(run):
    """Every program that a utility call, an improver run or a round names."""
    store = run.store()
    try:
        runs = store.improver_runs()
        ids = {p for r in runs for p in (r.improver_id, r.initial_id, r.result_id)}
        ids |= {p for r in runs for p, _, _ in store.utility_calls(r.key)}
        return (ids | {r.improver_id for r in store.rounds()}) - {None}
    finally:
        store.close()


def of_rounds(run):
    """The improvers of the rounds 0, 1 and 2."""
    return [node for node in run.lineage.nodes("improver") if node.rounds]


def test_parents_come_first_and_everything_is_there(run):
    nodes = list(run.lineage.nodes())
    seen = set()
    for node in nodes:
        assert node.parent_id is None or node.parent_id in seen
        assert (node.parent_id is None) == (node.improver_run is None) == (node.generation == 0)
        seen.add(node.program_id)
    assert len(nodes) == len(seen) == run.lineage.count()
    assert seen == named(run)


def test_kinds_pages_and_counts(run):
    lineage = run.lineage
    every = list(lineage.nodes())
    for kind in ("improver", "solution"):
        of_kind = [node for node in every if node.kind == kind]
        assert list(lineage.nodes(kind)) == of_kind
        assert lineage.count(kind) == len(of_kind)
        assert list(lineage.nodes(kind, limit=2, offset=1)) == of_kind[1:3]
    assert list(lineage.nodes(limit=0)) == list(lineage.nodes(offset=99)) == []


def test_each_round_is_a_generation(run):
    first, second, third = of_rounds(run)
    assert [n.generation for n in (first, second, third)] == [0, 1, 2]
    assert [n.rounds for n in (first, second, third)] == [(0,), (1,), (2,)]
    assert (second.parent_id, second.improver_run) == (first.program_id, "round/1")
    assert (third.parent_id, third.improver_id) == (second.program_id, second.program_id)
    assert run.lineage.ancestors(third.program_id[:12]) == [second, first]
    answer = run.lineage.node(program_id(IMPROVER.strip()))
    assert run.lineage.children(first.program_id) == [answer, second]
    best = run.lineage.path_to_best()
    assert best[0] == first
    assert best[-1].program_id == run.best.id
    assert first.interval is None  # of one repetition
    assert first.accepted


def test_solutions_come_from_the_task_s_seed_and_have_their_first_score(run):
    lineage = run.lineage
    seed = lineage.node(program_id(stop.load_task("knapsack").seed))
    greedy = lineage.node(program_id(GREEDY.strip()))
    assert (seed.generation, seed.task, seed.parent_id) == (0, "knapsack", None)
    assert (greedy.parent_id, greedy.task, greedy.status) == (seed.program_id, "knapsack", "ok")
    assert greedy.score > seed.score
    assert greedy in lineage.children(seed.program_id)
    assert lineage.children(seed.program_id, limit=1) == lineage.children(seed.program_id)[:1]


def test_the_response_that_a_text_came_from(run):
    lineage = run.lineage
    first, second, third = of_rounds(run)
    calls = {record.number: record for record in read_records(run.folder)}
    origin = lineage.origin(program_id(GREEDY.strip()))
    assert (origin.match, origin.similarity) == ("exact", 1.0)
    assert GREEDY in calls[origin.lm_call].response.choices[origin.choice].text
    for node in (second, third):
        origin = lineage.origin(node.program_id)
        assert origin.match == "edited"
        assert 0.9 < origin.similarity < 1
        assert calls[origin.lm_call].improver_run == node.improver_run
    assert lineage.origin(program_id(ALONE)).match == "none"
    assert lineage.origin(first.program_id) == Origin("none")


def test_responses_that_others_paid_for_are_origins_too(run):
    """Program and scope without a call of its own: the improver met the tape."""
    store = run.store()
    paid = {record.improver_run for record in read_records(run.folder)}
    reused = [r for r in store.improver_runs("task") if r.key not in paid and r.result_id]
    store.close()
    assert reused
    assert all(run.lineage.origin(r.result_id).match == "exact" for r in reused)


def test_source_and_diff(run):
    first, second, _ = of_rounds(run)
    assert run.lineage.source(first.program_id[:10]) == IMPROVER
    lines = run.lineage.diff(first.program_id, second.program_id).splitlines()
    assert [line for line in lines[3:] if line[0] in "+-"] == ["-MARK = 0", "+MARK = 1"]
    assert run.lineage.diff(first.program_id, first.program_id[:9]) == ""
    with pytest.raises(RunError, match="no program"):
        run.lineage.node("f" * 64)
    with pytest.raises(RunError, match="several"):
        run.lineage.node("")


def test_a_lineage_travels_between_processes(run):
    lineage = run.lineage
    before = list(lineage.nodes())
    assert list(pickle.loads(pickle.dumps(lineage)).nodes()) == before  # noqa: S301


def test_networkx(run):
    networkx = pytest.importorskip("networkx")
    graph = run.lineage.to_networkx(origins=True)
    nodes = list(run.lineage.nodes())
    assert set(graph) == {n.program_id for n in nodes}
    assert networkx.is_directed_acyclic_graph(graph)
    assert graph.number_of_edges() == sum(n.parent_id is not None for n in nodes)
    first, second, _ = of_rounds(run)
    edge = graph.edges[first.program_id, second.program_id]
    assert edge == {"improver_run": "round/1", "improver_id": first.program_id, "round": 1}
    assert graph.nodes[second.program_id]["generation"] == 1
    assert graph.nodes[second.program_id]["match"] == "edited"
    assert len(run.lineage.to_networkx(solutions=False)) == 4
    assert len(run.lineage.to_networkx(limit=2)) == 2


def test_an_improve_begins_with_its_improver_and_its_program(improved):
    improver, seed, result = stop.Run(improved.run).lineage.nodes()
    assert (improver.kind, improver.generation) == ("improver", 0)
    assert (seed.kind, seed.generation) == ("solution", 0)
    assert (result.parent_id, result.improver_id) == (seed.program_id, improver.program_id)
    assert result.program_id == improved.program_id
    with pytest.raises(RunError, match="meta-utility"):
        stop.Run(improved.run).lineage.path_to_best()


def test_a_sample_comes_from_the_improver_that_was_to_be_improved(sampled):
    lineage = stop.Run(sampled.folder).lineage
    samples = [n for n in lineage.nodes("improver") if n.improver_run]
    assert {n.improver_run for n in samples} == {"sample/no_warning"}
    assert [lineage.source(n.parent_id) for n in samples] == 2 * [load_improver("flagged").source]
    origins = [lineage.origin(n.program_id) for n in samples]
    assert [(o.match, o.choice) for o in origins] == [("exact", 0), ("exact", 2)]


# --- at the terminal


def stop_command(*arguments):
    done = CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_lineage_shows_generations_and_origins(run):
    shown = stop_command("lineage", run.folder, "--solutions", "--origins")
    assert "edited 0.9" in shown
    assert "exact of call" in shown
    assert "of no response" in shown
    document = json.loads(stop_command("lineage", run.folder, "--origins", "--json"))
    assert [n["generation"] for n in document["nodes"]] == [0, 1, 1, 2]
    assert [n["origin"]["match"] for n in document["nodes"]] == [
        "none",
        "exact",
        "edited",
        "edited",
    ]
    assert document["left_out"] == 0
    limited = json.loads(stop_command("lineage", run.folder, "--limit", "1", "--json"))
    assert limited["left_out"] == 3
    assert "origin" not in limited["nodes"][0]


def test_show_says_which_call_a_text_came_from(run):
    first, second, _ = of_rounds(run)
    assert "edited by the improver: similarity 0.9" in stop_command(
        "show", run.folder, second.program_id
    )
    assert "as in response" in stop_command("show", run.folder, program_id(GREEDY.strip()))
    assert "of no LM response" in stop_command("show", run.folder, program_id(ALONE))
    assert "the run began with it" in stop_command("show", run.folder, first.program_id)
    document = json.loads(stop_command("show", run.folder, second.program_id, "--json"))
    assert document["lineage"] == second.to_dict()
    assert document["origin"]["match"] == "edited"


def test_a_terminal_of_80_columns_is_enough(run, monkeypatch):
    from stop.cli import lineage as command

    monkeypatch.setattr("stop.cli.output.sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    lines = []
    monkeypatch.setattr("stop.cli.output.click.echo", lambda text="", **_: lines.append(text))
    deep = list(run.lineage.nodes())
    nodes = [
        type(deep[0])(**{**_fields(deep[0]), "program_id": f"{i:064d}",
                         "parent_id": f"{i - 1:064d}" if i else None, "status": "s" * 90})
        for i in range(100)
    ]  # fmt: skip
    command._draw(nodes, {})
    assert len(lines) == 100
    assert max(map(len, lines)) <= 80
    assert all(f"{i:064d}"[:10] in line for i, line in enumerate(lines))


def _fields(node):
    return {name: getattr(node, name) for name in node.__slots__}
