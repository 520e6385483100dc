"""Programs whose text, words or signals aim at the host: each gets a verdict and harms nothing."""

from __future__ import annotations

import json

import pytest

import stop
from stop.audit.rules import MAX_FINDINGS, findings
from stop.errors import ConfigError, ProgramError
from stop.sandbox.frames import FrameError, unpack
from tests.helpers.programs import GREEDY, fenced

pytestmark = pytest.mark.bubblewrap
HERE = {"sandbox": "bubblewrap"}
DEEP = "def algorithm(*a): return []\ndef g(x): exec(" + "+".join(["1"] * 1500) + ")"
GLUED = "f(**{" + "+".join(["'a'"] * 1500) + ": 0})\ndef algorithm(*a): return []"


@pytest.mark.parametrize("source", [DEEP, GLUED], ids=["exec", "glued"])
def test_text_too_deep_to_look_at_is_scored_all_the_same(source):
    assert stop.evaluate(source, task="knapsack", count=2, **HERE).status in ("ok", "error")


def test_findings_are_bounded_and_their_evidence_is_the_line():
    assert len(findings("exec(x)\n" * 500)) == MAX_FINDINGS
    (finding,) = findings("x = 1\n  \nexec('y')  # why")
    assert (finding.line, finding.evidence) == (3, "exec('y')  # why")


def test_a_huge_array_without_elements_is_no_answer():
    with pytest.raises(FrameError, match="without elements"):
        unpack({"a": ["|i1", [5_000_000, 0], 0, 0]}, b"")
    assert unpack({"a": ["|i1", [0, 3], 0, 0]}, b"").shape == (0, 3)


@pytest.fixture
def improve(tmp_path, scripted):
    def run(body, **options):
        path = tmp_path / "improver.py"
        path.write_text(
            "import os, threading\n"
            f"def improve_algorithm(s, utility, language_model):\n    {body}\n    return s\n"
        )
        return stop.improve(
            task="knapsack",
            improver=str(path),
            lm=scripted(fenced(GREEDY)),
            calls=2,
            responses=2,
            runs_dir=tmp_path / "runs",
            **(HERE | options),
        )

    return run


@pytest.mark.parametrize(
    "body",
    [
        "raise ValueError('\\ud800')",
        "utility(\"def algorithm(*a): raise ValueError('\\\\ud800')\")",
        "utility('x = ' + '[0,' * 400_000)",
    ],
    ids=["own exception", "a solution's exception", "a large program"],
)
def test_text_that_is_no_unicode_or_too_much_is_recorded(improve, body):
    result = improve(body)
    assert json.dumps(result.to_dict())
    assert stop.resume(result.run).score == result.score


@pytest.mark.docker
def test_a_real_time_signal_ends_the_guest_only(improve):
    result = improve("os.kill(os.getpid(), 40)", sandbox="docker")
    assert "signal" in result.detail
    assert "did not survive" not in result.detail


def test_a_call_that_nobody_waits_for_is_paid_and_recorded(improve):
    body = (
        "threading.Thread(target=language_model.prompt, args=('e', 'm'), daemon=True).start(); "
        "import time; time.sleep(1)"
    )
    assert improve(body).lm["calls"] == 1


def test_a_program_s_own_words_are_no_tampering():
    source = "def algorithm(*a):\n    raise type('forged', (Exception,), {})('frame of doom')"
    result = stop.evaluate(source, task="knapsack", count=2, **HERE)
    assert (result.status, result.events) == ("error", ())


def test_mistakes_of_users_are_not_swallowed(tmp_path, scripted):
    with pytest.raises(ConfigError, match="did you mean 'max_usd'"):
        stop.improve(task="knapsack", lm=scripted("x"), max_usdd=0)
    with pytest.raises(ConfigError, match="named twice"):
        stop.run(tasks=["knapsack", "knapsack"], lm=scripted("x"))
    with pytest.raises(ConfigError, match="at least 0"):
        stop.run(tasks=["knapsack"], lm=scripted("x"), max_usd=float("nan"))
    with pytest.raises(ConfigError, match="docker"):
        stop.evaluate(GREEDY, task="knapsack", image="x", **HERE)
    (tmp_path / "bad.py").write_text("def improve_algorithm(:")
    with pytest.raises(ProgramError, match="line 1"):
        stop.improve(task="knapsack", improver=str(tmp_path / "bad.py"), lm=scripted("x"))
