"""A model server that goes away in the middle of a run: it costs time, and nothing else."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import stop
from stop.cli import cli
from stop.errors import LMUnavailable
from stop.store.payments import Payments
from stop.testing.openai_server import Fault, OpenAIServer
from tests.helpers.programs import GREEDY, UNCONFIRMED, fenced
from tests.helpers.servers import ServerProcess

pytestmark = pytest.mark.bubblewrap


@pytest.fixture
def server(tmp_path):
    made = ServerProcess(tmp_path)
    made.start()
    yield made
    made.kill()


def run(url, tmp_path, **options):
    """A small run of one round."""
    options = {"rounds": 1, "concurrency": 1} | options
    return stop.run(
        tasks=["knapsack"], repetitions=2, calls=1, responses=2, lm="openai:m", base_url=url,
        sandbox="bubblewrap", random_seed=1, runs_dir=tmp_path / "runs", **UNCONFIRMED, **options,
    )  # fmt: skip


def costs(folder):
    result = CliRunner().invoke(cli, ["costs", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_server_that_is_killed_and_comes_back_costs_time_only(server, tmp_path, pauses):
    shown = []

    def progress(event):
        shown.append((event.kind, event.text))
        match [kind for kind, _ in shown if kind in ("lm_call_finished", "lm_waiting")]:
            case ["lm_call_finished"]:
                server.kill()
            case ["lm_call_finished", "lm_waiting", "lm_waiting"] if event.kind == "lm_waiting":
                server.start()

    result = run(server.url, tmp_path, progress=progress)
    assert result.error is None
    document = costs(result.folder)
    assert document["total"]["responses"] == server.served > 2
    assert document["budget"]["lost"]["calls"] == 0
    kinds = [kind for kind, _ in shown]
    assert "lm_waiting" in kinds
    assert kinds.index("lm_waiting") < kinds.index("lm_answers")
    text = next(text for kind, text in shown if kind == "lm_waiting")
    assert "does not answer" in text
    assert "stop resume" in text
    (fault,) = document["faults"]
    assert fault["reason"] == "connection"
    assert 3 <= fault["count"] <= 6
    assert fault["ended"] == document["requests_failed"] == 0
    assert document["seconds_lost"] == pytest.approx(sum(pauses), abs=0.01)
    table = CliRunner().invoke(cli, ["costs", str(result.folder)]).stdout
    assert any(
        line.split()[:2] == ["connection", str(fault["count"])] for line in table.splitlines()
    )
    assert "0 requests failed for good" in table


def test_a_server_that_stays_away_ends_the_run_and_resume_goes_on(server, tmp_path, pauses):
    def progress(event):
        if event.kind == "lm_call_finished":
            server.kill()

    result = run(server.url, tmp_path, progress=progress, lm_patience=4)
    assert isinstance(result.error, LMUnavailable)
    assert result.error.exit_code == 5
    assert "has not answered for" in result.error.message
    before = costs(result.folder)
    assert before["total"]["responses"] == 2
    assert before["requests_failed"] == 1
    assert before["budget"]["lost"]["calls"] == 0
    pauses.clear()
    still = stop.resume(result.folder, lm_patience=1)
    assert isinstance(still.error, LMUnavailable)
    assert sum(pauses) <= 1
    server.start()
    again = stop.resume(result.folder)
    assert again.error is None
    after = costs(result.folder)
    assert after["total"]["responses"] == server.served
    assert after["requests_failed"] == 2
    assert after["budget"]["lost"]["calls"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["max_seconds", "round_max_seconds"])
def test_a_time_limit_does_not_hide_a_dead_server(server, tmp_path, limit):
    def progress(event):
        if event.kind == "lm_call_finished":
            server.kill()

    result = run(server.url, tmp_path, progress=progress, **{limit: 9})
    assert isinstance(result.error, LMUnavailable)
    assert result.error.exit_code == 5
    assert "openai:m has not answered for" in result.error.message
    assert f"stop resume {result.folder} --{limit.replace('_', '-')} N" in result.error.hint
    assert result.to_dict()["status"] == "failed"
    server.start()
    assert stop.resume(result.folder, **{limit: 600}).error is None


def test_a_revoked_key_ends_the_run_at_once_and_a_new_one_goes_on(tmp_path, monkeypatch, pauses):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-old-old-old-old")
    with OpenAIServer([fenced(GREEDY)], key="sk-old-old-old-old") as server:

        def progress(event):
            if event.kind == "lm_call_finished":
                server.key = "sk-new-new-new-new"

        result = run(server.base_url, tmp_path, progress=progress)
        assert not pauses
        assert len(server.received) == 2
        assert isinstance(result.error, LMUnavailable)
        assert "took before" in result.error.message
        assert f"stop resume {result.folder}" in result.error.hint
        assert costs(result.folder)["faults"][0]["reason"] == "401"
        monkeypatch.setenv("OPENAI_API_KEY", "sk-new-new-new-new")
        assert stop.resume(result.folder).error is None
    assert "sk-" not in (result.folder / "run.db").read_bytes().decode("latin-1")


def test_every_fault_in_one_run_is_counted(tmp_path, pauses):
    faults = [
        Fault.status(429, retry_after="0"),
        Fault("reset"),
        Fault("malformed"),
        Fault.status(529, "overloaded"),
        Fault("fewer", choices=1),
    ]
    with OpenAIServer([fenced(GREEDY)], faults=faults) as server:
        result = run(server.base_url, tmp_path, rounds=0)
        assert result.error is None
        choices = 2 * 2  # responses of two improver runs
    document = costs(result.folder)
    counted = {each["reason"]: each["count"] for each in document["faults"]}
    assert counted == {"429": 1, "connection": 1, "malformed": 1, "529": 1, "fewer choices": 1}
    assert document["total"]["responses"] == choices
    store = result.store()
    assert Payments(store).lost().lm_calls == 0
    store.close()
