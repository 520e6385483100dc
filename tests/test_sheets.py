"""Results as tables in a notebook: nothing that a model or a guest wrote becomes markup."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import stop
from stop._util.sheet import Code, Table, to_html
from stop.errors import RunError
from stop.events import Level, SecurityEvent
from stop.experiments.bypass.kind import BypassRates
from stop.experiments.improve.kind import Improved, ProgramAndScore
from stop.replays import Difference, Replay
from stop.tasks.evaluation import Evaluation, InstanceResult

RUNS = Path(__file__).parent.parent / "notebooks/runs"
HOSTILE = "<script>alert(1)</script>&\"'\x1b[31m\u202e\ud800\n| x"
LM = {"calls": 1, "responses": 1, "prompt_tokens": 1, "completion_tokens": 1, "usd": None}


def check(html):
    assert "<table>" in html
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    for character in "\x1b\u202e\ud800":
        assert character not in html
    html.encode("utf-8")


def test_every_kind_of_block_is_escaped():
    blocks = [HOSTILE, Code(HOSTILE), Table([HOSTILE], [[HOSTILE]], HOSTILE), {HOSTILE: HOSTILE}]
    html = to_html(blocks)
    check(html)
    assert html.count("&lt;script&gt;") == 7
    assert html.count("<tr>") == 3


def test_evaluation():
    event = SecurityEvent(HOSTILE, Level.ATTEMPT, HOSTILE)
    instances = (InstanceResult(0.0, "error", 0.1, HOSTILE),)
    check(
        Evaluation(
            "a" * 64, HOSTILE, "test", 0.0, "error", HOSTILE, "docker/fork", instances, (event,)
        )._repr_html_()
    )


def test_improved():
    before = ProgramAndScore("a" * 64, "x = 1\n", 0.0)
    check(Improved(HOSTILE, "b" * 64, 0.5, "error", HOSTILE, before, LM, 1, (), RUNS)._repr_html_())


def test_replay():
    differences = (
        Difference("result", HOSTILE, improver_id="c" * 64, improver_run=HOSTILE),
        Difference("score", HOSTILE, program_id=HOSTILE),
        Difference("events", HOSTILE, follows=True),
    )
    replay = Replay(RUNS, differences, (HOSTILE,), {HOSTILE: 3}, HOSTILE)
    check(replay._repr_html_())
    assert "3 differences" in replay._repr_html_()


@pytest.fixture
def copied(tmp_path):
    def copy(name):
        shutil.copytree(RUNS / name, tmp_path / name)
        return tmp_path / name

    return copy


@pytest.mark.parametrize(
    ("name", "words"),
    [("small-model", "meta-utility"), ("bypass", "security"), ("transfer", "security")],
)
def test_a_run_of_each_kind(copied, name, words):
    html = stop.open_run(copied(name))._repr_html_()
    assert html.startswith("<table>")
    assert words in html
    assert "done" in html


def test_measurements(copied):
    assert "0 nothing" in BypassRates(copied("demonstration"))._repr_html_()
    assert "seed solution" in stop.Transfer(copied("transfer"))._repr_html_()


def test_a_configuration_that_a_stranger_wrote(copied):
    folder = copied("demonstration")
    config = folder / "config.json"
    text = config.read_text("utf-8")
    config.write_text(text.replace("scripted:demonstration.jsonl", "<script>alert(1)</script>"))
    check(BypassRates(folder)._repr_html_())


def test_a_run_that_cannot_be_read_says_so(tmp_path):
    assert "no run in" in stop.Run(tmp_path / "<script>")._repr_html_()
    assert "<script>" not in stop.Run(tmp_path / "<script>")._repr_html_()
    with pytest.raises(RunError):
        stop.Run(tmp_path).to_dict()
