"""`stop ls`: every run is a line, the newest first, whatever state it is in."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing

import pytest
from click.testing import CliRunner

import stop
from stop.cli import cli
from stop.experiments.overview import overview, run_folders
from stop.runs.folder import create_run
from tests.helpers.programs import GREEDY, UNCONFIRMED, fenced

pytestmark = pytest.mark.bubblewrap


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of three kinds, one that never began, and three that cannot be read."""
    place = tmp_path_factory.mktemp("overview")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOP_STATE_DIR", str(place / "state"))
        path = place / "replies.jsonl"
        path.write_text(json.dumps(fenced(GREEDY)) + "\n")
        shared = {"lm": f"scripted:{path}", "sandbox": "bubblewrap", "runs_dir": place / "runs"}
        few = {"calls": 1, "responses": 1}
        run = stop.run(tasks=["knapsack"], rounds=1, repetitions=2, **UNCONFIRMED, **few, **shared)
        improved = stop.improve(task="knapsack", **few, **shared)
        sampled = stop.measure_bypass(samples=1, cells=("no_warning",), **shared)
        new = create_run(run.config, place / "runs")
    named = {"run": run.folder, "improve": improved.run, "bypass": sampled.folder, "new": new}
    for i, name in enumerate(("foreign", "torn", "no config")):
        folder = place / "runs" / f"2020010{i + 1}-000000-run-{i:04x}"
        shutil.copytree(run.folder, folder)
        named[name] = folder
    with closing(sqlite3.connect(named["foreign"] / "run.db")) as db, db:
        db.execute("PRAGMA user_version = 99")
    (named["torn"] / "run.db").write_bytes(b"no store at all")
    (named["no config"] / "config.json").write_text('{"kind": "\x1b[31m"')
    (place / "runs" / ".20990101-000000-run-0000").mkdir()
    (place / "runs" / "no run").mkdir()
    shutil.copytree(improved.run, place / "runs" / "kept")
    os.utime(place / "runs" / "kept" / "config.json", (0, 0))
    return named | {"kept": place / "runs" / "kept"}


def ls(folder, *options):
    done = CliRunner().invoke(cli, ["ls", "--runs-dir", str(folder), *options])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_newest_first_and_nothing_else(runs):
    found = run_folders(runs["run"].parent)
    assert set(found) == set(runs.values())
    oldest = [runs[name] for name in ("no config", "torn", "foreign", "kept")]
    assert found[-4:] == oldest
    times = [overview(folder).when for folder in found]
    assert times == sorted(times, reverse=True)


def test_what_each_kind_came_to(runs):
    run = overview(runs["run"])
    result = stop.Run(runs["run"]).to_dict()
    assert (run.kind, run.status, run.tasks) == ("run", "done", ("knapsack",))
    assert run.outcome.meta_utility == result["best"]["meta_utility"]
    assert list(run.outcome.interval) == result["best"]["interval"]
    assert run.programs == stop.Run(runs["run"]).lineage.count()
    assert run.usd == 0
    assert run.seconds > 0
    improved = overview(runs["improve"])
    assert improved.outcome.before < improved.outcome.after
    assert overview(runs["bypass"]).outcome.rates == {"no_warning": 0.0}
    new = overview(runs["new"])
    assert (new.status, new.programs, new.error) == ("new", 0, "")


@pytest.mark.parametrize(
    ("name", "why"),
    [("foreign", "newer version"), ("torn", "not a run's store"), ("no config", "config.json")],
)
def test_what_cannot_be_read_is_a_line_that_says_so(runs, name, why):
    assert why in overview(runs[name]).error
    (line,) = [x for x in ls(runs["run"].parent).splitlines() if x.startswith(runs[name].name)]
    assert "cannot be read" in line
    assert "\x1b" not in line


def test_events_are_counted_by_program(runs, tmp_path):
    folder = tmp_path / "runs" / "copy"
    shutil.copytree(runs["run"], folder)
    lines = [
        {"kind": "security", "time": 0, "level": level, "event": "e", "detail": "", "source": "",
         "program_id": program, "improver_run": ""}
        for program, level in (("a", 1), ("a", 2), ("b", 1), ("c", 0))
    ]  # fmt: skip
    with (folder / "audit.jsonl").open("a") as log:
        for line in lines:
            log.write(json.dumps(line, sort_keys=True, separators=(",", ":")) + "\n")
    assert overview(folder).security == {2: 1, 1: 1}
    assert "!! 2" in ls(tmp_path / "runs")


def test_limit_and_json(runs):
    document = json.loads(ls(runs["run"].parent, "--json", "--limit", "2"))
    assert len(document["runs"]) == 2
    assert document["left_out"] == len(runs) - 2
    everything = json.loads(ls(runs["run"].parent, "--json"))["runs"]
    assert {run["name"] for run in everything} == {folder.name for folder in runs.values()}
    errors = [run for run in everything if run["error"]]
    assert len(errors) == 3
    assert "more; --limit N" in ls(runs["run"].parent, "--limit", "2")


def test_no_runs(tmp_path):
    assert "no runs" in ls(tmp_path)
    assert json.loads(ls(tmp_path / "gone", "--json"))["runs"] == []
