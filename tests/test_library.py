"""The library: the same from plain code, from threads, and inside a running loop (notebooks)."""

from __future__ import annotations

import asyncio

import pytest

import stop
from stop.errors import ConfigError, TaskError
from tests.helpers.programs import GREEDY, UNCONFIRMED, fenced

pytestmark = pytest.mark.bubblewrap
HERE = {"sandbox": "bubblewrap"}


def test_evaluate_from_plain_code():
    result = stop.evaluate(GREEDY, task="knapsack", split="search", random_seed=3, **HERE)
    assert result.status == "ok"
    low, high = result.interval
    assert low <= result.score <= high


async def test_evaluate_inside_a_running_loop():
    """As a notebook cell does: a synchronous call while a loop runs in this thread."""
    assert asyncio.get_running_loop().is_running()
    assert stop.evaluate(GREEDY, task="knapsack", count=2, **HERE).status == "ok"


def test_run_and_improve_with_what_came_of_it(tmp_path, scripted):
    seen = []
    run = stop.run(
        tasks=["knapsack"],
        rounds=1,
        repetitions=2,
        calls=1,
        responses=2,
        utility_calls=3,
        lm=scripted(fenced(GREEDY)),
        runs_dir=tmp_path,
        random_seed=1,
        progress=seen.append,
        **UNCONFIRMED,
        **HERE,
    )
    assert run.error is None
    assert "improve_algorithm" in run.best.source
    assert {"round_started", "lm_call_finished", "round_finished"} <= {e.kind for e in seen}
    assert run.to_dict()["seed"]["interval"] is not None
    better = stop.improve(
        task="knapsack", improver=run, lm=scripted(fenced(GREEDY)), runs_dir=tmp_path, **HERE
    )
    assert better.score > better.before.score
    assert stop.open_run(run.folder).to_dict() == run.to_dict()


def test_same_seed_same_instances_and_no_seed_new_ones():
    def scores(seed):
        result = stop.evaluate(GREEDY, task="knapsack", count=5, random_seed=seed, **HERE)
        return [i.score for i in result.instances]

    assert scores(1) == scores(1) != scores(2)
    assert scores(None) != scores(None)


def test_another_machine_s_secret_gives_other_instances(monkeypatch, tmp_path):
    """Nobody can compute the instances of `--seed 1` from the number alone."""

    def scores():
        result = stop.evaluate(GREEDY, task="knapsack", count=5, random_seed=1, **HERE)
        return [i.score for i in result.instances]

    first = scores()
    monkeypatch.setenv("STOP_STATE_DIR", str(tmp_path / "elsewhere"))
    assert scores() != first


def test_h66_instances_cannot_be_computed_from_the_seed(monkeypatch):
    """Who knows the whole derivation and the seed still lacks this machine's secret."""
    import hmac

    from stop._util.state import run_secret
    from stop.tasks.task import load_task

    task = load_task("parity_noiseless")
    real = task.instances("test", run_secret(3), count=3)
    guesses = [b"", b"\0" * 32, b"3", b"run 3", hmac.digest(b"", b"run 3", "sha256")]
    for guess in guesses:
        for made, true in zip(task.instances("test", guess, count=3), real, strict=True):
            assert not all(
                (made["inputs"][name] == value).all() for name, value in true["inputs"].items()
            )


def test_mistakes():
    with pytest.raises(TaskError, match="knapsack"):
        stop.evaluate(GREEDY, task="knapsac", **HERE)
    with pytest.raises(ConfigError, match="sandbox"):
        stop.evaluate(GREEDY, task="knapsack", sandbox="none")
    with pytest.raises(ConfigError):
        stop.run(tasks=["knapsack"], lm="scripted:x", accept="sometimes")
    with pytest.raises(ConfigError, match="preset"):
        stop.run(preset="huge")
