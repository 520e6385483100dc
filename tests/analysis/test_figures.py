"""Figures: they are drawn without a window system, show what is there, and survive any text."""

from __future__ import annotations

import re
import shutil
import sqlite3

import pytest

from stop import analysis
from stop.analysis.figures.style import plain
from stop.errors import StopError
from tests.helpers.places import REPOSITORY

pytestmark = pytest.mark.bubblewrap
OF_RUNS = [
    "plot_best_so_far", "plot_cost", "plot_diversity", "plot_lineage", "plot_rounds",
    "plot_splits", "plot_strategies",
]  # fmt: skip


def texts(figure):
    figure.draw_without_rendering()
    found = []
    for axes in figure.axes:
        parts = [axes.title, axes._left_title, *axes.texts, *axes.get_xticklabels(),
                 *axes.get_yticklabels(), axes.xaxis.label, axes.yaxis.label]  # fmt: skip
        parts += axes.get_legend().get_texts() if axes.get_legend() else []
        found += [part.get_text() for part in parts]
    return " | ".join(text for text in found if text)


@pytest.mark.parametrize("name", OF_RUNS)
def test_each_is_a_picture_with_named_axes(name, run, tmp_path):
    figure = getattr(analysis, name)(run)
    figure.savefig(tmp_path / "figure.png")
    figure.savefig(tmp_path / "figure.svg")
    assert figure._repr_png_().startswith(b"\x89PNG")
    axes = figure.axes[0]
    assert axes.get_title(loc="left")
    assert axes.get_xlabel()


@pytest.mark.parametrize("name", OF_RUNS)
def test_each_draws_on_axes_that_are_given(name, run):
    figure = analysis.plot_rounds(run)
    axes = figure.add_subplot(2, 2, 4)
    assert getattr(analysis, name)(run, ax=axes) is figure


@pytest.mark.parametrize("name", OF_RUNS)
def test_a_run_without_anything_says_so(name, run, tmp_path):
    from stop.runs.folder import create_run
    from stop.store import Store

    folder = create_run(run.config, tmp_path)
    Store(folder / "run.db").close()
    shown = texts(getattr(analysis, name)(folder))
    assert re.search(r"\b(no|nothing)\b.* (yet|programs)", shown)


@pytest.mark.parametrize("name", [n for n in OF_RUNS if n != "plot_lineage"])
def test_several_runs_are_named(name, run, other_run):
    shown = texts(getattr(analysis, name)([run, other_run]))
    if name != "plot_strategies":
        assert run.folder.name in shown
        assert other_run.folder.name in shown


def test_rounds_tell_accepted_from_not_and_mark_saturation(run):
    shown = texts(analysis.plot_rounds(run))
    for words in ("accepted", "not accepted", "seed improver", "nothing confirmed after round 2"):
        assert words in shown


def test_a_round_without_a_score_is_shown(run, tmp_path):
    folder = tmp_path / "failed"
    shutil.copytree(run.folder, folder)
    with sqlite3.connect(folder / "run.db") as db:
        db.execute("UPDATE rounds SET meta_utility = NULL, status = 'timeout' WHERE round = 4")
    db.close()
    shown = texts(analysis.plot_rounds(folder))
    assert "timeout" in shown
    assert "no score" in shown


def test_cost_ends_at_what_the_run_spent(run):
    lm = run.to_dict()["lm"]
    (line,) = [each for each in analysis.plot_cost(run).axes[0].lines if len(each.get_xdata())]
    assert line.get_xdata()[-1] == lm["prompt_tokens"] + lm["completion_tokens"]
    assert list(line.get_ydata()) == sorted(line.get_ydata())
    accepted = [r for r in run.to_dict()["rounds"] if r["accepted"]]
    assert line.get_ydata()[-1] == accepted[-1]["meta_utility"]


def test_money_needs_prices(run, tmp_path):
    assert "nothing was spent" in texts(analysis.plot_cost(run, by="usd"))
    folder = tmp_path / "unpriced"
    shutil.copytree(run.folder, folder)
    with sqlite3.connect(folder / "run.db") as db:
        db.execute("UPDATE lm_calls SET usd = NULL WHERE id = 1")
    db.close()
    with pytest.raises(StopError, match="no price"):
        analysis.plot_cost(folder, by="usd")
    with pytest.raises(StopError, match="not known"):
        analysis.plot_cost(run, by="hours")


def test_the_lineage_shows_ids_rounds_and_levels(run):
    rounds = analysis.rounds_df(run)
    by_score = texts(analysis.plot_lineage(run))
    for identity in rounds.improver_id:
        assert identity[:6] in by_score
    assert "seed" in by_score
    assert "Lineage of 5 improvers" in by_score
    by_level = texts(analysis.plot_lineage(run, colour="security"))
    assert "2 attempt" in by_level
    assert "no event" in by_level


def test_of_a_large_lineage_the_telling_part_is_shown(run):
    rounds = analysis.rounds_df(run)
    shown = texts(analysis.plot_lineage(run, limit=3))
    assert "Lineage of 3 of 5 improvers" in shown
    assert run.best.id[:6] in shown
    assert rounds.improver_id[0][:6] in shown


def test_solutions_have_a_lineage_too(run, improved):
    assert "solutions" in texts(analysis.plot_lineage(run, kind="solution"))
    assert "Lineage of 2 solutions" in texts(analysis.plot_lineage(improved))


def test_strategies_and_diversity(run):
    assert "caching" in texts(analysis.plot_strategies(run))
    assert "solutions of knapsack" in texts(analysis.plot_diversity(run))


def test_bypass_rates(bypass, run):
    shown = texts(analysis.plot_bypass(bypass))
    assert "no warning" in shown
    assert "4 of 4" in shown or "2 of 4" in shown
    with pytest.raises(StopError, match="not a bypass"):
        analysis.plot_bypass(run)


def test_the_transfer_table():
    rows = [
        {"task": task, "program": program, "mean": 0.5, "low": 0.4, "high": 0.6, "n": 5}
        for task in ("knapsack", "maxcut")
        for program in ("seed solution", "seed improver", "improved improver")
    ]
    shown = texts(analysis.plot_transfer(rows))
    for words in ("knapsack", "maxcut", "seed solution", "improved improver"):
        assert words in shown
    one = [rows[0] | {"low": None, "high": None, "split": "test"}]
    assert "nothing" in texts(analysis.plot_transfer(one))
    assert "knapsack" in texts(analysis.plot_transfer(one, split="test"))


@pytest.mark.parametrize("text", ["$x^2", "\x1b[31m", "a\nb", "\u202egpj", "é" * 99, "%s{}\\"])
def test_text_means_nothing_to_the_figure(text):
    shown = plain(text)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= 41
    figure = analysis.plot_transfer(
        [{"task": text, "program": "seed solution", "mean": 0, "low": 0, "high": 0, "n": 1}]
    )
    figure.draw_without_rendering()


def test_a_recorded_transfer_is_found_by_its_folder():
    figure = analysis.plot_transfer(str(REPOSITORY / "notebooks/runs/transfer"))
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
