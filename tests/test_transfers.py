"""A transfer measurement: three programs for each task, paired gains, limits, resume and replay."""

from __future__ import annotations

import math

import pytest

import stop
from stop._util.statistics import Cell, holm, paired_difference, stratified_mean
from stop.engine.meta_utility import cell_key
from stop.errors import BudgetExceeded, ConfigError, ProgramError, RunError, TaskError
from stop.experiments.transfer.config import TransferConfig
from stop.improvers import load_improver
from stop.programs import program_id
from stop.store.recorded import evaluation_records
from stop.tasks.task import load_task
from tests.helpers.command_line import document
from tests.helpers.command_line import stop as command
from tests.helpers.programs import GREEDY, fenced

HEAD = "def improve_algorithm(initial_solution, utility, language_model):\n"
KNOWS = HEAD + (  # what a model says is nothing to it: it knows one task
    "    language_model.prompt('expert', 'Improve:\\n' + initial_solution, 2)\n"
    f"    return {GREEDY!r} if 'capacity' in initial_solution else initial_solution\n"
)
FAILS = HEAD + "    raise ValueError('no idea')\n"
HERE = {
    "repetitions": 3, "calls": 1, "responses": 2, "sandbox": "bubblewrap", "concurrency": 2,
}  # fmt: skip
pytestmark = pytest.mark.bubblewrap


def by_place(rows):
    return {(row.task, row.split, row.program): row for row in rows}


@pytest.fixture
def run(scripted, tmp_path):
    """A run on knapsack whose best improver is KNOWS."""
    result = stop.run(
        tasks=["knapsack"], rounds=1, repetitions=1, calls=1, responses=2, accept="always",
        final_repetitions=0, sandbox="bubblewrap", lm=scripted(fenced(KNOWS)),
        runs_dir=tmp_path / "runs",
    )  # fmt: skip
    assert result.best.source.strip() == KNOWS.strip()
    return result


@pytest.mark.slow
def test_the_table_of_the_paper(run, scripted, tmp_path):
    result = stop.transfer(
        run, tasks=["knapsack", "maxcut"], lm=scripted("no"), runs_dir=tmp_path / "runs", **HERE
    )
    assert result.error is None
    rows = by_place(result.rows)
    assert len(rows) == len(result.rows) == 2 * 2 * 3
    for split in ("meta", "test"):
        seed, before, after = (
            rows["knapsack", split, who]
            for who in ("seed solution", "seed improver", "improved improver")
        )
        assert seed.mean == before.mean < after.mean - 0.2
        for row in (seed, after):
            assert row.low < row.mean < row.high
            assert (row.n, row.failed, row.over) == (3, 0, "repetitions")
        assert rows["maxcut", split, "seed improver"].mean > 0.4  # it has the seed to fall back on
    # The two splits are other instances.
    assert rows["knapsack", "meta", "seed solution"].mean != pytest.approx(
        rows["knapsack", "test", "seed solution"].mean, abs=1e-9
    )
    gains = {(gain.task, gain.split): gain for gain in result.gains}
    assert len(gains) == 4
    better, nothing = gains["knapsack", "test"], gains["maxcut", "test"]
    assert better.difference.low > 0 and better.p < 0.05 and better.n == 3
    assert (nothing.difference.mean, nothing.p_holm) == (0.0, 1.0)
    assert [better.p_holm, nothing.p_holm] == holm([better.p, nothing.p])
    assert better.p_holm == pytest.approx(2 * better.p)
    report = result.to_dict()
    assert report["improver"]["trained_on"] == ["knapsack"]
    assert report["improver"]["origin"] == (
        f"{run.best.id[:10]}, the best of {run.folder.name} (round 1)"
    )
    assert [task["trained_on"] for task in report["tasks"]] == [True, False]
    assert stop.open_run(result.folder).config.kind == "transfer"


def test_rows_are_what_the_store_says(run, scripted, tmp_path):
    """Means and differences, computed once more from single evaluations."""
    result = stop.transfer(
        run, tasks="knapsack", lm=scripted("no"), runs_dir=tmp_path / "runs", **HERE
    )
    store = stop.open_run(result.folder).store()
    records = evaluation_records(store)
    cells = {}
    for who, source in (("old", load_improver("seed").source), ("new", run.best.source)):
        for repetition in range(3):
            key = cell_key("knapsack", repetition, program_id(source))
            made = store.improver_run(key).result_id
            record = records[made, "knapsack", "test", repetition]
            scores = [score for score, _, _ in record.instances]
            assert len(scores) == load_task("knapsack").counts.test
            assert record.score == pytest.approx(math.fsum(scores) / len(scores))
            cells.setdefault(who, []).append(
                Cell("knapsack", repetition, record.score, tuple(scores))
            )
    store.close()
    rows = by_place(result.rows)
    mean = stratified_mean(cells["new"])
    row = rows["knapsack", "test", "improved improver"]
    assert (row.mean, row.low, row.high) == (mean.mean, mean.low, mean.high)
    (gain,) = (gain for gain in result.gains if gain.split == "test")
    assert gain.difference == paired_difference(cells["new"], cells["old"])


def test_both_improvers_meet_the_same_responses(scripted, tmp_path):
    """An improver that asks what the seed improver asks costs nothing more, and gains nothing."""
    same = load_improver("seed").source + "# the same in all it does\n"
    result = stop.transfer(
        stop.Program(same), tasks=["knapsack"], runs_dir=tmp_path,
        lm=scripted(fenced(GREEDY), "no", fenced(GREEDY + "# other\n"), "no", "no"), **HERE,
    )  # fmt: skip
    report = result.to_dict()
    assert (report["lm"]["calls"], report["lm"]["responses"]) == (3, 6)
    assert [gain.difference.mean for gain in result.gains] == [0.0, 0.0]
    assert report["improver"]["trained_on"] is None
    assert report["tasks"] == [{"task": "knapsack", "trained_on": None}]


def test_an_improver_that_fails_has_the_lowest_score(scripted, tmp_path):
    result = stop.transfer(
        stop.Program(FAILS), tasks=["knapsack"], lm=scripted("no"), runs_dir=tmp_path,
        **HERE | {"repetitions": 2},
    )  # fmt: skip
    row = by_place(result.rows)["knapsack", "test", "improved improver"]
    assert (row.mean, row.n, row.failed) == (0.0, 2, 2)
    assert "no idea" in row.detail
    (gain,) = (gain for gain in result.gains if gain.split == "test")
    assert gain.difference.high < 0


def test_one_repetition_has_no_interval_and_no_p_value(scripted, tmp_path):
    result = stop.transfer(
        stop.Program(KNOWS), tasks=["knapsack"], lm=scripted("no"), runs_dir=tmp_path,
        **HERE | {"repetitions": 1},
    )  # fmt: skip
    assert {(row.interval, row.n) for row in result.rows} == {(None, 1)}
    assert {(gain.difference.interval, gain.p) for gain in result.gains} == {(None, None)}


@pytest.mark.slow
def test_a_limit_leaves_whole_tasks_and_resume_does_the_rest(run, scripted, tmp_path):
    whole = stop.transfer(
        run,
        tasks="knapsack,maxcut",
        lm=scripted("no"),
        runs_dir=tmp_path / "runs",
        random_seed=5,
        **HERE,
    )
    part = stop.transfer(
        run, tasks="knapsack,maxcut", lm=scripted("no"), runs_dir=tmp_path / "runs", random_seed=5,
        max_lm_calls=7, **HERE,
    )  # fmt: skip
    assert isinstance(part.error, BudgetExceeded)
    assert part.to_dict()["status"] == "budget"
    there = by_place(part.rows)
    assert there["knapsack", "test", "improved improver"].n == 3
    assert there.keys() < by_place(whole.rows).keys()
    knapsack = [gain for gain in part.gains if gain.task == "knapsack"]
    assert [gain.p_holm for gain in knapsack] == pytest.approx([2 * gain.p for gain in knapsack])
    rest = stop.resume(part.folder, max_lm_calls=50)
    assert isinstance(rest, stop.Transfer) and rest.error is None
    assert rest.rows == whole.rows
    assert rest.gains == whole.gains
    assert rest.to_dict()["lm"] == whole.to_dict()["lm"]


def test_it_can_be_replayed(run, scripted, tmp_path):
    result = stop.transfer(
        run, tasks=["knapsack"], lm=scripted(fenced(GREEDY), "no"), runs_dir=tmp_path / "runs",
        **HERE,
    )  # fmt: skip
    again = stop.replay(result.folder, keep=tmp_path / "again")
    assert again.same, again.differences
    assert again.compared["improver_runs"] == 6
    assert stop.Transfer(tmp_path / "again").rows == result.rows


@pytest.mark.parametrize(
    ("improver", "options", "error"),
    [
        ("seed", {}, ConfigError),
        (stop.Program("x = 1\n"), {}, ProgramError),
        (stop.Program(KNOWS), {"tasks": "no_such_task"}, TaskError),
        (stop.Program(KNOWS), {"tasks": ""}, ConfigError),
        (stop.Program(KNOWS), {"tasks": "knapsack,knapsack"}, ConfigError),
        (stop.Program(KNOWS), {"round_max_usd": 1}, ConfigError),
        ("no_such_file.py", {}, ProgramError),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_starts(improver, options, error, tmp_path):
    given = {"tasks": "knapsack", "lm": "scripted:none.jsonl", "runs_dir": tmp_path} | options
    with pytest.raises(error):
        stop.transfer(improver, **given)
    assert not list(tmp_path.glob("*/run.db"))


def test_a_run_of_another_kind_is_no_transfer(run):
    with pytest.raises(RunError, match="kind"):
        stop.Transfer(run.folder).to_dict()
    with pytest.raises(ConfigError, match="transfer"):
        TransferConfig.checked(tasks=("knapsack",), lm="scripted:x", improver="x")


# --- the command


@pytest.mark.slow
def test_the_command_and_what_reads_it_then(run, scripted):
    asked = ("transfer", str(run.folder), "--tasks", "knapsack,maxcut", "--sandbox", "bubblewrap",
             "--repetitions", "2", "--calls", "1", "--responses", "2")  # fmt: skip
    lm = ("--lm", scripted("no"))
    planned = document(command(*asked, "--dry-run", "--json"))
    assert planned["at_most"]["improver_runs"] == 8
    assert planned["at_most"]["lm_calls"] == 8
    result = document(command(*asked, *lm, "--json"))
    assert set(result) == {
        "run", "status", "model", "repetitions", "improver", "seed_improver", "tasks", "rows",
        "gains", "lm",
    }  # fmt: skip
    assert set(result["rows"][0]) == {
        "task", "program", "split", "mean", "interval", "over", "n", "failed", "detail",
    }  # fmt: skip
    assert set(result["gains"][0]) == {
        "task", "split", "difference", "interval", "over", "n", "method", "p", "p_holm",
        "p_sign_flip",
    }  # fmt: skip
    assert document(command("resume", result["run"], "--json")) == result
    command("audit", "verify", result["run"])
    assert document(command("costs", result["run"], "--json"))["total"] == result["lm"]
    shown = command("show", result["run"], result["improver"]["program_id"][:12], "--json")
    assert document(shown)["source"].strip() == KNOWS.strip()
    # "last" is still the run of rounds.
    again = command("transfer", "last", *asked[2:], *lm)
    assert "knapsack (trained on)" in again.stdout
    assert "maxcut (trained on)" not in again.stdout
    assert "trained   on: knapsack" in again.stdout
    assert ["status", "done"] in [line.split() for line in again.stdout.splitlines()]


def test_a_limit_has_an_exit_code_and_a_way_on(scripted, tmp_path):
    improver = tmp_path / "mine.py"
    improver.write_text(KNOWS)
    stopped = command(
        "transfer", "--improver", str(improver), "--tasks", "knapsack", "--sandbox", "bubblewrap",
        "--calls", "1", "--responses", "2", "--lm", scripted("no"), "--max-lm-calls", "3",
        "--json", check=3,
    )  # fmt: skip
    result = document(stopped)
    assert (result["status"], result["improver"]["origin"]) == ("budget", "mine.py")
    assert f"stop resume {result['run']}" in stopped.stderr
    done = command("resume", result["run"], "--max-lm-calls", "50")
    assert "on: not known" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "--tasks"),
        (("--tasks", "knapsack"), 2, "--improver FILE"),
        (("nothing", "--tasks", "knapsack"), 1, "no run 'nothing'"),
        (("--improver", "seed", "--tasks", "knapsack", "--lm", "scripted:x"), 2, "compared with"),
    ],
)
def test_bad_input_gets_one_clear_message(arguments, code, words):
    done = command("transfer", *arguments, check=code)
    assert words in done.stderr
    assert len(done.stderr.splitlines()) < 12


def test_hostile_words_do_not_reach_the_terminal(scripted, tmp_path):
    name = tmp_path / "evil\x1b[31m.py"
    name.write_text(HEAD + "    raise ValueError('\\x1b]0;owned\\x07')\n")
    done = command(
        "transfer", "--improver", str(name), "--tasks", "knapsack", "--sandbox", "bubblewrap",
        "--repetitions", "1", "--calls", "1", "--responses", "1", "--lm", scripted("no"),
    )  # fmt: skip
    assert "\x1b]" not in done.stdout + done.stderr
    assert "\x1b[31m" not in done.stdout + done.stderr
    assert "1 of 1 runs without a" in done.stdout
    assert "evil" in done.stdout
