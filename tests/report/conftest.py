"""Runs with scripted models, each made once, and their reports."""

from __future__ import annotations

import json
import os

import pytest

import stop
from tests.helpers.machine import browser_path
from tests.report import scripts


def pytest_collection_modifyitems(items):
    """Without a browser its tests are skipped by name, unless one is demanded."""
    if browser_path() or os.environ.get("STOP_TEST_REQUIRE_BROWSER") == "1":
        return
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason="no Chromium here: scripts/ensure-browser.sh"))


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder, with a state folder of its own that stays for the whole session."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOP_STATE_DIR", str(folder / "state"))
        yield folder


@pytest.fixture(autouse=True)
def _same_state(made, _own_folders, monkeypatch):
    """Logs verify with the key that signed them."""
    monkeypatch.setenv("STOP_STATE_DIR", str(made / "state"))


def _script(folder, name, replies):
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(reply) + "\n" for reply in replies), "utf-8")
    return f"scripted:{path}"


@pytest.fixture(scope="session")
def run(made):
    """Four rounds, two of them accepted; one candidate looks for secrets, one for the switch."""
    (made / "one.py").write_text(scripts.ONE)
    return stop.run(
        tasks=["knapsack"],
        lm=_script(made, "task", scripts.TASK),
        meta_lm=_script(made, "meta", scripts.META),
        improver=str(made / "one.py"),
        rounds=4, repetitions=5, calls=2, responses=3, utility_calls=7,
        sandbox="bubblewrap", runs_dir=made / "runs", random_seed=4,
        concurrency=1, max_tokens=2_000_000, accept="better", final_repetitions=6,
    )  # fmt: skip


@pytest.fixture(scope="session")
def nasty(made):
    """One improvement whose programs, words and exceptions try to be more than text."""
    replies = [f"{text}\n\n```python\n{scripts.nasty_solution(text)}```" for text in scripts.NASTY]
    good = scripts.GREEDY.replace("chosen = []", f"chosen = []  # {scripts.NASTY[0]}")
    improved = stop.improve(
        task="knapsack",
        lm=_script(made, "nasty", [*replies, scripts.fenced(good)]),
        responses=len(replies) + 1, sandbox="bubblewrap", runs_dir=made / "runs", random_seed=1,
    )  # fmt: skip
    return stop.open_run(improved.run)


@pytest.fixture(scope="session")
def pages(made, run, nasty):
    """Reports by name: paths of HTML files."""
    return {
        "run": run.report(made / "run.html"),
        "nasty": nasty.report(made / "nasty.html"),
    }
