"""Runs and programs side by side: in pairs where the instances are the same, else by Welch."""

from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner

import stop
from stop import analysis
from stop._util.statistics import rate_difference
from stop.cli import cli

pytestmark = pytest.mark.bubblewrap


def compare(*arguments):
    return CliRunner().invoke(cli, ["compare", *map(str, arguments)], catch_exceptions=False)


def document(*arguments):
    result = compare(*arguments, "--json")
    assert result.exit_code == 0
    return json.loads(result.stdout)


def test_runs_with_the_same_seed_are_compared_in_pairs(run, other_run):
    found = document(run.folder, other_run.folder)
    entry, other = found["entries"]
    assert entry["score"] == pytest.approx(run.to_dict()["best"]["meta_utility"])
    assert entry["gain"]["difference"] == pytest.approx(0.18, abs=0.05)
    assert entry["gain"]["difference"] == run.to_dict()["best"]["gain"]["difference"]
    assert entry["gain"]["p"] == entry["gain"]["p_holm"] < 0.05
    assert (entry["rounds"], entry["accepted"]) == (4, 1)
    assert entry["saturation"] == {"round": 2, "best_round": 2}
    assert other["strategies"] == ["caching"]
    assert entry["security_programs"] == {"1": 0, "2": 1, "3": 0}
    (difference,) = found["differences"]
    assert difference["difference"] == 0
    assert difference["why"] == ""
    assert difference["n"] == 6  # two tasks, three repetitions of the final comparisons


def test_runs_with_other_instances_are_compared_by_welch(run, other_run, tmp_path):
    folder = tmp_path / "elsewhere"
    shutil.copytree(other_run.folder, folder)
    (folder / "secret").write_bytes(b"x" * 32)
    found = analysis.compare_runs([run, folder])
    (difference,) = found.differences
    assert difference.result.method == "Welch's t"
    assert difference.result.n == 12
    assert "not in pairs" in difference.why


def test_tasks_whose_files_differ_are_not_the_same_task(run, other_run, tmp_path):
    folder = tmp_path / "elsewhere"
    shutil.copytree(other_run.folder, folder)
    for copy in (folder / "tasks").iterdir():
        (copy / "seed.py").write_text("# other\n" + (copy / "seed.py").read_text())
    (difference,) = analysis.compare_runs([run, folder]).differences
    assert difference.result is None
    assert "files differ" in difference.why


def test_a_solution_is_not_compared_with_an_improver(run, improved):
    found = document(run.folder, improved.folder)
    assert [entry["what"] for entry in found["entries"]] == ["improver", "solution"]
    assert found["entries"][1]["gain"]["difference"] > 0.2
    (difference,) = found["differences"]
    assert difference["p"] is None
    assert difference["why"] == "an improver and a solution"


def test_bypass_rates_are_compared_cell_by_cell(bypass, tmp_path):
    copy = tmp_path / "again"
    shutil.copytree(bypass.folder, copy)
    found = analysis.compare_runs([bypass, copy])
    assert [d.tasks for d in found.differences] == [("bypass no_warning",), ("bypass warning",)]
    rates = found.entries[0].rates
    for difference, cell in zip(found.differences, rates, strict=True):
        counts = (cell.any_level.count, 4)
        assert difference.result.difference.interval == rate_difference(counts, counts)[1]
        assert difference.p_holm == 1


def test_programs_of_one_run(run):
    ids = analysis.rounds_df(run).improver_id
    found = document(run.folder, "--programs", f"{ids[0][:12]},{ids[1][:12]},best,{run.best.id}")
    assert len(found["entries"]) == 3  # the best was named twice
    assert len(found["differences"]) == 3
    unknown, known, _ = found["differences"]
    assert unknown["difference"] is None  # the second was no part of the final comparison
    assert "no scores on fresh cells; `stop transfer`" in unknown["why"]
    assert known["difference"] == -run.to_dict()["best"]["gain"]["difference"]
    assert found["entries"][1]["score"] is None


def test_the_test_split_is_scored_in_the_sandbox(run):
    ids = analysis.rounds_df(run).improver_id
    found = document(
        run.folder, "--programs", f"best,{ids[0]}", "--test", "--sandbox", "bubblewrap"
    )
    assert [d["split"] for d in found["differences"]] == ["meta", "test"]
    entry = found["entries"][0]
    assert entry["test_score"] == pytest.approx(entry["score"], abs=0.05)
    assert entry["test_gain"]["p"] < 0.05


def test_the_table_is_for_people(run, other_run):
    text = compare(run.folder, other_run.folder).stdout
    assert "meta-utility" in text
    assert "level 2: 1" in text
    assert "no programs flagged" in text
    assert "Holm" in text
    assert text.isascii()


def test_one_run_alone_has_no_differences(run):
    text = compare(run.folder).stdout
    assert "saturated     after round 2" in text
    assert "Holm" not in text


def test_a_run_that_recorded_nothing_has_a_column(run, tmp_path):
    from stop.runs.folder import create_run
    from stop.store import Store

    folder = create_run(run.config, tmp_path)
    Store(folder / "run.db").close()
    (entry, _) = analysis.compare_runs([folder, run]).entries
    assert (entry.program_id, entry.score, entry.gain) == (None, None, None)
    assert compare(folder, run.folder).exit_code == 0


def test_programs_want_one_run(run, other_run):
    with pytest.raises(stop.StopError, match="one run"):
        compare(run.folder, other_run.folder, "--programs", "best")
