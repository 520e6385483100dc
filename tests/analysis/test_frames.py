"""Data frames: the same columns and types whatever the run, rows as the store has them."""

from __future__ import annotations

import re
import shutil

import pandas as pd
import pytest

import stop
from stop import analysis
from stop.errors import RunError, StopError
from stop.store.tables import TABLES

pytestmark = pytest.mark.bubblewrap
FRAMES = [name for name in analysis.__all__ if name.endswith("_df")]
OF_TABLES = [name for name in FRAMES if name.removesuffix("_df") in TABLES]


@pytest.fixture(scope="module")
def empty(run, place):
    """A run that recorded nothing yet."""
    from stop.runs.folder import create_run
    from stop.store import Store

    folder = create_run(run.config, place / "empty")
    Store(folder / "run.db").close()
    return folder


def test_every_table_has_a_frame():
    assert set(OF_TABLES) == {f"{name}_df" for name in TABLES}


@pytest.mark.parametrize("name", FRAMES)
def test_columns_and_types_are_the_same_of_no_one_and_several_runs(name, run, other_run, empty):
    function = getattr(analysis, name)
    frames = [function(runs) for runs in ([], empty, run, [run, other_run.folder, str(empty)])]
    for frame in frames:
        assert frame.columns[0] == "run"
        assert frame.dtypes.to_dict() == frames[0].dtypes.to_dict()
    of_the_run_itself = name in ("logs_df", "models_df")
    assert len(frames[0]) == 0
    assert bool(len(frames[1])) == of_the_run_itself
    if name != "samples_df":
        only_one_has_some = name in ("security_events_df", "attempts_df")
        assert len(frames[3]) > len(frames[2]) > 0 or only_one_has_some


@pytest.mark.parametrize("name", OF_TABLES)
def test_types_are_the_documented_ones(name, run):
    kinds = {str: "string", int: "Int64", float: "float64", bool: "bool"}
    frame = getattr(analysis, name)(run)
    for column, kind in TABLES[name.removesuffix("_df")].columns.items():
        is_time = column in ("created", "started", "finished", "at", "time")
        expected = "datetime64[ns, UTC]" if is_time else kinds[kind]
        assert str(frame[column].dtype) == expected, column


@pytest.mark.parametrize("name", FRAMES)
def test_the_docstring_names_every_column(name):
    function = getattr(analysis, name)
    columns = re.findall(r"\w+", function.__doc__.partition("Columns: ")[2])
    assert set(function([]).columns) - {"run"} <= set(columns)


def test_programs_and_rounds_are_those_of_the_run(run):
    programs, rounds = analysis.programs_df(run), analysis.rounds_df(run)
    assert set(programs.run) == {run.folder.name}
    assert set(rounds.improver_id) <= set(programs.program_id)
    assert rounds["round"].tolist() == [0, 1, 2, 3, 4]
    (confirmed,) = rounds["round"][rounds.p <= rounds.alpha]
    assert confirmed == run.to_dict()["best"]["round"]
    row = programs[programs.program_id == run.best.id].iloc[0]
    assert row.source == run.best.source
    assert row.parent_id == rounds.improver_id[0]


def test_evaluations_are_the_means_of_their_instances(run):
    evaluations, instances = analysis.evaluations_df(run), analysis.instances_df(run)
    means = instances.groupby("evaluation").score.mean()
    scored = evaluations.set_index("evaluation").score.loc[means.index]
    assert means.to_numpy() == pytest.approx(scored.to_numpy())
    without = evaluations[~evaluations.evaluation.isin(means.index)]
    assert set(without.status) <= {"syntax"}  # such a text is not run


def test_costs_add_up(run):
    calls, lm = analysis.lm_calls_df(run), run.to_dict()["lm"]
    assert calls.prompt_tokens.sum() == lm["prompt_tokens"]
    assert calls.responses.sum() == lm["responses"]
    assert (calls.finished >= calls.started).all()
    age = pd.Timestamp.now("UTC") - calls.finished.max()
    assert pd.Timedelta(0) < age < pd.Timedelta("1D")


def test_security_events_name_the_program_that_wanted_no_sandbox(run):
    events, rounds = analysis.security_events_df(run), analysis.rounds_df(run)
    assert set(events.program_id) == {rounds.improver_id[4]}
    assert events.level.max() == 2


def test_samples_are_those_of_the_measurement(bypass):
    samples = analysis.samples_df(bypass)
    assert len(samples) == 8
    assert samples.reached.max() == 1


def test_runs_of_the_same_name_are_told_apart(run, tmp_path):
    shutil.copytree(run.folder, tmp_path / run.folder.name)
    frame = analysis.rounds_df([run, tmp_path / run.folder.name])
    assert frame.run.nunique() == 2
    assert len(analysis.rounds_df([run, str(run.folder)])) == 5  # named twice


def test_no_run_is_an_error_that_says_so(tmp_path):
    with pytest.raises(RunError, match="no run"):
        analysis.programs_df(tmp_path)


def test_without_the_extra_the_error_says_how_to_get_it(run, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(StopError) as caught:
        analysis.programs_df(run)
    assert "stop-optimizer[analysis]" in caught.value.hint


def test_nothing_of_the_extra_is_needed_to_import():
    import subprocess
    import sys

    code = (
        "import sys; import stop.analysis, stop.cli.compare; "
        "sys.exit(bool({'pandas', 'matplotlib', 'networkx'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_splits_are_the_means_behind_the_meta_utility(run):
    frame = analysis.splits_df(run)
    best = frame[(frame.role == "best improver") & (frame.task == "") & (frame.split == "meta")]
    assert best["mean"].item() == pytest.approx(run.to_dict()["best"]["meta_utility"])
    assert best.low.item() == pytest.approx(run.to_dict()["best"]["interval"][0])
    assert set(frame.split) == {"search", "meta"}  # nothing scored the test split


def test_the_held_out_split_is_scored_on_demand_and_nothing_is_recorded(run):
    before = analysis.evaluations_df(run)
    frame = analysis.splits_df(run, evaluate=True, sandbox="bubblewrap")
    test = frame[(frame.split == "test") & (frame.task == "")].set_index("role")["mean"]
    assert test["best improver"] > test["seed improver"] + 0.1
    assert len(analysis.evaluations_df(run)) == len(before)
    again = analysis.splits_df(run, [run.best.id[:12]], evaluate=True, sandbox="bubblewrap")
    both = again[(again.split == "test") & (again.task == "")]["mean"].item()
    assert both == test["best improver"]  # the run's own instances, each time the same


def test_programs_in_quarantine_are_not_executed_again(run, tmp_path, monkeypatch):
    folder = tmp_path / "barred"
    shutil.copytree(run.folder, folder)
    config = run.config.changed(policy="quarantine", policy_level=1)
    (folder / "config.json").write_text(config.model_dump_json(), "utf-8")
    copy = stop.open_run(folder)
    scores = analysis.Scores(copy)
    solutions = {program for program, *_ in scores._records}
    monkeypatch.setattr("stop.analysis.scores.in_quarantine", lambda *_: solutions)
    scores.evaluate_test([run.best.id], sandbox="bubblewrap")
    assert scores.cells(run.best.id, "test") == ()
