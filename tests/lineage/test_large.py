"""The readers on a made-up run of thousands of programs: what they say, not how long it takes."""

from __future__ import annotations

import csv
import json
import random
from contextlib import closing

import pytest
from click.testing import CliRunner

from benchmarks.large_run import commands, make_run
from stop.audit.log import verify
from stop.audit.notes import run_id
from stop.cli import cli
from stop.recorded_run import Run
from stop.store.tables import TABLES

PROGRAMS = 3000


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("large")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOP_STATE_DIR", str(place / "state"))
        return Run(make_run(place / "runs", PROGRAMS))


@pytest.fixture(autouse=True)
def _its_state(run, monkeypatch):
    monkeypatch.setenv("STOP_STATE_DIR", str(run.folder.parent.parent / "state"))


@pytest.fixture(scope="module")
def nodes(run):
    return list(run.lineage.nodes())


def test_its_log_verifies(run):
    verdict = verify(run.folder / "audit.jsonl", run=run_id(run.folder))
    assert verdict.ok
    assert not verdict.orphans


def test_every_page_size_gives_the_same_nodes(run, nodes, monkeypatch):
    assert len(nodes) == run.lineage.count() >= PROGRAMS
    for size in (1, 7, 499):
        monkeypatch.setattr("stop.lineage.nodes._PAGE", size)
        assert list(run.lineage.nodes("improver")) == [n for n in nodes if n.kind == "improver"]
    assert list(run.lineage.nodes(offset=1500, limit=20)) == nodes[1500:1520]


def test_it_is_the_lineage_that_the_records_tell(run, nodes):
    """Against a walk through all records in the order in which they were made."""
    parents = {}
    with closing(run.store()) as store:
        (seed, *_) = store.rounds()
        parents[seed.improver_id] = None
        for record in store.improver_runs():
            if record.level == "task":
                parents[record.initial_id] = None
        for record in store.improver_runs():
            for program, _, _ in store.utility_calls(record.key):
                parents.setdefault(program, record.initial_id)
    assert {n.program_id: n.parent_id for n in nodes} == parents
    generations = {None: -1}
    for node in nodes:
        generations[node.program_id] = generations[node.parent_id] + 1
        assert node.generation == generations[node.program_id]


def test_few_generations_may_be_remembered(run, nodes, monkeypatch):
    monkeypatch.setattr("stop.lineage.nodes._MAX_KNOWN", 1)
    assert list(run.lineage.nodes()) == nodes


def test_origins_are_those_that_were_made_up(run, nodes):
    chosen = random.Random(3).sample([n for n in nodes if n.parent_id], 100)
    matches = [run.lineage.origin(node.program_id).match for node in chosen]
    assert 60 < matches.count("exact") < 100
    assert matches.count("exact") + matches.count("edited") == 100


def test_security_counts_are_those_of_the_log(run, nodes):
    events = [e for e in run.security_events() if e["level"] > 0]
    assert sum(node.security_events for node in nodes) == len(events) > 10
    gravest = {}
    for event in events:
        gravest[event["program_id"]] = max(event["level"], gravest.get(event["program_id"], 0))
    assert {n.program_id: n.security_level for n in nodes if n.security_level} == gravest


@pytest.mark.parametrize(
    "name",
    ["lineage", "lineage --solutions", "lineage --origins", "show best", "show SOLUTION", "diff",
     "costs", "ls", "audit show", "audit summary"],
)  # fmt: skip
def test_readers_know_it(run, name):
    done = CliRunner().invoke(cli, commands(run.folder)[name], catch_exceptions=False)
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) > 1


def test_costs_are_those_of_the_calls(run):
    done = CliRunner().invoke(cli, ["costs", str(run.folder), "--json"])
    document = json.loads(done.stdout)
    with closing(run.store()) as store:
        calls = list(TABLES["lm_calls"].rows(store))
        reasons = [row["finish_reason"] for row in TABLES["responses"].rows(store)]
    assert document["models"] == {"made-up": len(calls)}
    assert document["cut_off_responses"] == reasons.count("length") > 0
    assert document["total"]["usd"] == pytest.approx(0.001 * len(calls))
    assert document["seconds"] == pytest.approx(
        sum(call["finished"] - call["started"] for call in calls), abs=0.01
    )


def test_csv_and_store_agree(run, tmp_path):
    done = CliRunner().invoke(
        cli, ["export", str(run.folder), "--format", "csv", "-o", str(tmp_path / "out")]
    )
    assert done.exit_code == 0
    csv.field_size_limit(1 << 20)
    with (tmp_path / "out/programs.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with closing(run.store()) as store:
        assert len(rows) == store.count_programs()
        for row in rows[::97]:
            assert store.program(row["program_id"]).source == row["source"]
            made = store.made_by(row["program_id"])
            assert row["parent_id"] == (made.initial_id if made else "")
