"""kill -9 at random moments: nothing is paid twice, and the lineage is that of a calm run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.e2e.counting import CountingServer, outcome, used, words
from tests.e2e.test_cli import document, stop

KILLS = 6


@pytest.fixture
def server():
    made = CountingServer()
    yield made
    made.close()


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
    ],
)
def test_a_run_killed_at_random_moments_ends_as_if_left_in_peace(
    server, backend, tmp_path, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    peaceful = tmp_path / "peaceful"
    result = document(stop(*words(server, backend), "--runs-dir", str(peaceful), "--json"))
    assert result["status"] == "done"
    (calm,) = peaceful.iterdir()
    assert server.served == used(calm)
    wanted = outcome(calm)

    server.served = 0
    stormy = tmp_path / "stormy"
    dice = random.Random(backend)
    command = [*words(server, backend), "--runs-dir", str(stormy)]
    hit_a_request = 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-m", "stop", *command],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            process.wait(1.2 + dice.random() * 2.5)
            break
        except subprocess.TimeoutExpired:
            hit_a_request += time.monotonic() - server.last_request < 0.3
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if any(stormy.glob("*/run.db")):
            command = ["resume", str(next(stormy.iterdir()))]
    (folder,) = [path.parent for path in stormy.glob("*/run.db")]
    result = document(stop("resume", str(folder), "--json"))
    assert result["status"] == "done"
    assert outcome(folder) == wanted
    lost = server.served - used(folder)
    assert 0 <= lost <= 6 * hit_a_request, "a response that had been served was paid for again"
    assert "intact" in stop("audit", "verify", str(folder)).stdout
