"""Since when nothing was confirmed in a run."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import pytest

from stop import analysis

pytestmark = pytest.mark.bubblewrap


def changed(run, place, *statements):
    folder = place / "changed"
    shutil.copytree(run.folder, folder)
    with closing(sqlite3.connect(folder / "run.db")) as db, db:
        for statement in statements:
            db.execute(statement)
    return analysis.saturation(folder)


def test_of_a_real_run(run):
    found = analysis.saturation(run)
    assert (found.round, found.best_round, found.last_round) == (2, 2, 4)
    assert found.is_real
    assert found.tests[2].decision == "confirmed"
    assert str(found).startswith("after round 2 no gain was confirmed any more")
    rounds = analysis.rounds_df(run).set_index("round")
    for number, test in found.tests.items():
        assert rounds.difference[number] == test.difference
        assert rounds.p[number] == test.p <= 1
    assert sum(test.alpha for test in found.tests.values()) <= 0.2 + 1e-12


def test_what_was_never_tested_is_not_known(run, tmp_path):
    found = changed(run, tmp_path, "DELETE FROM comparisons", "UPDATE rounds SET confirmed = 0")
    assert (found.round, found.is_real) == (None, False)
    assert "not known" in str(found)


def test_no_confirmation_is_no_gain(run, tmp_path):
    found = changed(run, tmp_path, "UPDATE rounds SET confirmed = 0, accepted = round = 0")
    assert (found.round, found.best_round) == (0, 0)
    assert str(found).startswith("no gain was confirmed")


def test_a_run_whose_last_round_was_confirmed_is_not_saturated(run, tmp_path):
    found = changed(run, tmp_path, "DELETE FROM rounds WHERE round > 2")
    assert "not saturated" in str(found)


@pytest.mark.parametrize(("left", "words"), [("1", "no round has"), ("0", "no improver has")])
def test_a_run_that_has_just_begun(run, tmp_path, left, words):
    found = changed(
        run, tmp_path, f"DELETE FROM rounds WHERE round >= {left}", "DELETE FROM comparisons"
    )
    assert str(found).startswith(words)
