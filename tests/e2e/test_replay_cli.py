"""`stop replay` and `--lm tape:RUN` as a user meets them."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.helpers.command_line import RUN, document, stop
from tests.helpers.programs import GREEDY, fenced

pytestmark = pytest.mark.bubblewrap


def test_a_run_then_its_replay_then_a_run_on_its_tape(scripted, tmp_path):
    first = document(stop(*RUN, "--lm", scripted(fenced(GREEDY)), "--json"))
    replay = document(stop("replay", "last", "--keep", str(tmp_path / "again"), "--json"))
    assert set(replay) == {
        "run", "same", "ended", "causes", "compared", "improvers", "differences", "kept",
    }  # fmt: skip
    assert (replay["same"], replay["differences"], replay["causes"]) == (True, [], [])
    assert replay["compared"]["improver_runs"] == 2
    kept = document(stop("lineage", replay["kept"], "--json"))["nodes"]
    assert kept == document(stop("lineage", first["run"], "--json"))["nodes"]

    taped = document(stop(*RUN, "--lm", "tape:last", "--json"))
    assert taped["rounds"] == first["rounds"]
    assert taped["lm"] == first["lm"] | {"usd": 0.0}
    unknown = stop(*RUN, "--max-response-tokens", "77", "--lm", f"tape:{first['run']}", check=5)
    assert "has no answer to the prompt that begins with" in unknown.stderr
    assert "the same tasks" in unknown.stderr


def test_differences_have_an_exit_code_and_words(scripted, tmp_path):
    improver = tmp_path / "clock.py"
    improver.write_text(
        "import time\n"
        "def improve_algorithm(initial_solution, utility, language_model):\n"
        "    text = language_model.prompt('', f'it is {time.perf_counter_ns()}')[0]\n"
        "    return text[text.index('def '):text.rindex('`' * 3)]\n"
    )
    lm = scripted(fenced(GREEDY))
    arguments = ("--task", "knapsack", "--sandbox", "bubblewrap", "--lm", lm)
    run = document(stop("improve", *arguments, "--improver", str(improver), "--json"))["run"]
    told = stop("replay", "last", check=1)
    assert "is not deterministic" in told.stdout
    (row,) = (line for line in told.stdout.splitlines() if "asked something else" in line)
    assert "improve/knapsack  asked something else; message line 1 was 'it is 1000" in row
    assert "differs from the run in 3 things" in told.stderr
    again = stop("replay", run, "--json", check=1)
    assert [d["kind"] for d in document(again)["differences"]] == ["request", "result", "unused"]

    copy = tmp_path / "copy"
    shutil.copytree(Path(run), copy)
    with sqlite3.connect(copy / "run.db") as database:
        database.execute("UPDATE meta SET value = '2.7.18' WHERE key = 'version.python'")
    database.close()
    assert stop("replay", str(copy), check=1).stdout.startswith("likely cause: python was 2.7.18")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("replay",), 2, "RUN"),
        (("replay", "nothing"), 1, "no run"),
        (("improve", "--task", "knapsack", "--lm", "tape:nothing"), 1, "no run"),
        (("improve", "--task", "knapsack", "--lm", "tape:"), 2, "tape:RUN"),
    ],
)
def test_bad_input_gets_one_clear_message(arguments, code, words):
    done = stop(*arguments, check=code)
    assert words in done.stderr
    assert len(done.stderr.splitlines()) < 12
