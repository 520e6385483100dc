"""provenance.json: what a run's folder says about how to do it again."""

from __future__ import annotations

import json
import shutil

import pytest

import stop
from stop.errors import BudgetExceeded, ConfigError, RunError, StopError
from stop.runs.provenance import read_provenance, recorded_prices
from stop.tasks.task import load_task
from tests.helpers.programs import GREEDY, UNCONFIRMED, fenced

pytestmark = pytest.mark.bubblewrap


@pytest.fixture
def task(tmp_path):
    folder = tmp_path / "task"
    shutil.copytree(load_task("knapsack").folder, folder)
    return folder


@pytest.fixture
def start(tmp_path, scripted):
    def start(**options):
        defaults = {
            "tasks": ["knapsack"], "rounds": 0, "repetitions": 1, "calls": 1, "responses": 1,
            "lm": scripted(fenced(GREEDY)), "sandbox": "bubblewrap", "runs_dir": tmp_path / "runs",
            **UNCONFIRMED,
        }  # fmt: skip
        return stop.run(**defaults | options)

    return start


def test_a_run_that_is_done_tells_everything(start):
    run = start(random_seed=7)
    document = read_provenance(run.folder)
    assert document["status"] == "done"
    assert bytes.fromhex(document["secret"]) == (run.folder / "secret").read_bytes()
    task = load_task("knapsack")
    assert document["tasks"] == [
        {"name": "knapsack", "from": "knapsack", "digest": task.digest, "copied": True}
    ]
    (session,) = document["sessions"]
    assert session["sandbox"] == "bubblewrap/fork"
    assert session["image"].startswith("sha256:")
    assert session["began"] <= session["ended"]
    assert session["packages"]["openai"]
    assert session["models"]["task"]["replies"] == 1
    assert len(session["models"]["meta"]["sha256"]) == 64


def test_the_secret_is_told_only_when_nothing_is_left_to_hide(start):
    run = start(max_responses=0)
    assert isinstance(run.error, BudgetExceeded)
    document = read_provenance(run.folder)
    assert (document["status"], document["secret"]) == ("budget", None)
    stop.resume(run.folder, max_responses=10)
    document = read_provenance(run.folder)
    assert (document["status"], len(document["sessions"])) == ("done", 2)
    assert document["secret"] is not None


def test_a_resumed_run_keeps_the_tasks_that_it_began_with(start, task, capsys):
    run = start(tasks=[str(task)], max_responses=0)
    (task / "utility.py").write_text("this is no Python")
    heard = []
    stop.resume(run.folder, max_responses=10, progress=lambda e: heard.append(e.text))
    assert stop.open_run(run.folder).to_dict()["status"] == "done"
    assert any("as they were: knapsack" in text for text in heard)


def test_two_tasks_of_one_name_are_told_apart_before_anything_is_made(start, task, tmp_path):
    with pytest.raises(ConfigError, match="same name"):
        start(tasks=["knapsack", str(task)])
    assert not list((tmp_path / "runs").glob("*"))


def test_a_run_folder_is_there_as_a_whole_or_not_at_all(start, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stop.runs.folder.shutil.copytree", full)
    with pytest.raises(RunError, match="No space left"):
        start()
    assert not list((tmp_path / "runs").iterdir())


@pytest.mark.parametrize("text", ["{", "[]", '{"sessions": 1}', "\xff"])
def test_a_damaged_file_is_named(start, text):
    run = start(max_responses=0)
    (run.folder / "provenance.json").write_text(text)
    with pytest.raises(RunError, match=r"provenance\.json"):
        stop.resume(run.folder, max_responses=1)
        run = stop.resume(run.folder, max_responses=1)
        raise run.error


@pytest.mark.parametrize("what", ["secret", "task"])
@pytest.mark.parametrize("how", ["changed", "gone"])
def test_what_scores_depend_on_must_be_what_it_was(start, task, what, how):
    """Else old scores and new ones would be mixed."""
    run = start(tasks=[str(task)], max_responses=0)
    path = run.folder / ("secret" if what == "secret" else "tasks/0-knapsack/utility.py")
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"#")
    with pytest.raises(StopError):
        end = stop.resume(run.folder, max_responses=10)
        raise end.error


def test_a_store_that_is_gone_is_not_begun_anew(start):
    """What was paid for would be paid for again."""
    run = start()
    for path in run.folder.glob("run.db*"):
        path.unlink()
    with pytest.raises(RunError, match="earlier work"):
        stop.resume(run.folder)


def test_a_password_in_an_address_is_refused(start, tmp_path):
    with pytest.raises(ConfigError, match="would be stored"):
        start(lm="openai:m", base_url="http://bob:hunter2@127.0.0.1:9/v1")


def test_prices_are_those_of_the_beginning(start):
    run = start()
    path = run.folder / "provenance.json"
    assert recorded_prices(run.folder, "task") is None
    document = json.loads(path.read_text())
    document["sessions"][0]["models"]["task"]["prices"] = {"prompt": 0.5, "completion": 1.5}
    path.write_text(json.dumps(document))
    assert recorded_prices(run.folder, "task") == (0.5, 1.5)
    assert recorded_prices(run.folder, "meta") is None


def test_a_server_says_what_it_is_and_no_key_comes_along(start, monkeypatch):
    from stop.testing.openai_server import OpenAIServer

    key = "sk-" + "k" * 40
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with OpenAIServer([fenced(GREEDY)]) as server:
        run = start(lm="openai:gpt-4o-mini", base_url=server.base_url)
    text = (run.folder / "provenance.json").read_text()
    assert key not in text
    model = json.loads(text)["sessions"][0]["models"]["task"]
    assert model["base_url"] == server.base_url
    assert model["served_as"]
