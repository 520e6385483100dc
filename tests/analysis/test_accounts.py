"""Who wrote the programs, what they went for, and whether the log of it is whole."""

from __future__ import annotations

import json
import shutil

import pytest

import stop
from stop import analysis
from tests.helpers.places import REPOSITORY

RECORDED = REPOSITORY / "notebooks" / "runs"


def test_models_are_named_with_who_answered_and_whether_anybody_is_billed():
    frame = analysis.models_df(RECORDED / "larger-model")
    assert list(frame.level) == ["task", "meta"]
    assert frame.about.str.startswith("Claude (Anthropic)").all()
    assert not frame.billed.any()
    assert frame.usd_prompt.isna().all()
    (served,) = set(analysis.models_df(RECORDED / "small-model").served_as)
    assert served.startswith("qwen2.5-coder-1.5b.gguf")


@pytest.mark.parametrize("sessions", [[], ["?"], [{"models": {"task": 3, "meta": {"about": []}}}]])
def test_a_provenance_of_another_form_gives_names_only(sessions, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(RECORDED / "transfer", folder)
    (folder / "provenance.json").write_text(json.dumps({"sessions": sessions}), "utf-8")
    frame = analysis.models_df(folder)
    assert list(frame.spec) == ["manual:c", "manual:c"]
    assert frame.about.isna().all()


def test_attempts_say_where_they_were_seen_and_what_came_of_them():
    frame = analysis.attempts_df(RECORDED / "demonstration")
    assert list(frame.level) == sorted(frame.level, reverse=True)
    budget = frame.iloc[0]
    assert budget.seen == "in its text, and seen at run time"
    assert "No effect" in budget.effect
    assert "set to 1000000" in budget.deeds
    only = frame[frame.seen == "in its text only"]
    assert len(only) == 2
    assert (only.deeds == "").all()
    assert len(analysis.attempts_df(RECORDED / "larger-model")) == 0


def test_a_log_that_was_changed_is_not_intact(tmp_path):
    key = RECORDED / "public-key.txt"
    folder = tmp_path / "changed"
    shutil.copytree(RECORDED / "demonstration", folder)
    log = folder / "audit.jsonl"
    log.write_text(log.read_text("utf-8").replace('"budget"', '"nothing"', 1), "utf-8")
    frame = analysis.logs_df([RECORDED / "demonstration", folder], keys=[key])
    assert frame.verdict[0] == "intact"
    assert frame.signed_lines[0] == frame.lines[0]
    assert frame.verdict[1] != "intact"


def test_the_transfer_figure_shows_differences_on_a_scale_of_their_own():
    transfer = stop.Transfer(RECORDED / "transfer")
    figure = analysis.plot_transfer(transfer, split="test")
    _, beside = figure.axes
    low, high = beside.get_xlim()
    assert low < 0 < high < 0.1
    shown = [text.get_text() for text in beside.texts]
    assert shown == [
        f"{g.difference.mean:+.4f}, n = 3" for g in transfer.gains if g.split == "test"
    ]
    assert len(analysis.plot_transfer(transfer, ax=figure.axes[0]).axes) == 2
