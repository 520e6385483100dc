"""kill -9 at random moments: nothing is paid twice, and the lineage is that of a calm run."""

from __future__ import annotations

import os
import random
import signal
import time
from subprocess import DEVNULL

import pytest

from tests.helpers.command_line import begin, document, stop
from tests.helpers.machine import BACKENDS
from tests.helpers.recorded import lost, outcome, used
from tests.helpers.servers import CountingServer
from tests.helpers.waiting import wait_until

KILLS = 6


@pytest.fixture
def server():
    made = CountingServer()
    yield made
    made.close()


def _wait_for(server, responses, process):
    enough = lambda: server.served >= responses or process.poll() is not None  # noqa: E731
    wait_until(enough, "the run gets on")


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_killed_at_random_moments_ends_as_if_left_in_peace(
    server, backend, tmp_path, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    peaceful = tmp_path / "peaceful"
    result = document(stop(*server.words(backend), "--runs-dir", str(peaceful), "--json"))
    assert result["status"] == "done"
    (calm,) = peaceful.iterdir()
    assert server.served == used(calm)
    wanted = outcome(calm)

    server.served = 0
    stormy = tmp_path / "stormy"
    dice = random.Random(backend)
    command = [*server.words(backend), "--runs-dir", str(stormy)]
    for _ in range(KILLS):
        # Moments are counted in responses, so that they are as early or late on a busy machine.
        enough = server.served + dice.randrange(used(calm) // KILLS)
        process = begin(*command, start_new_session=True, stdout=DEVNULL, stderr=DEVNULL)
        _wait_for(server, enough, process)
        time.sleep(dice.random() * 0.5)
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if any(stormy.glob("*/run.db")):
            command = ["resume", str(next(stormy.iterdir()))]
    (folder,) = [path.parent for path in stormy.glob("*/run.db")]
    result = document(stop("resume", str(folder), "--json"))
    assert result["status"] == "done"
    assert outcome(folder) == wanted
    again = server.served - used(folder)
    assert 0 <= again <= lost(folder), "a response that had been served was paid for again"
    assert lost(folder) <= 6 * KILLS  # two requests at once, of three responses each
    assert "intact" in stop("audit", "verify", str(folder)).stdout
