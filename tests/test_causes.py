"""What a guest says decides nothing: causes are what the host itself did."""

from __future__ import annotations

import subprocess
import sys

import pytest

import stop
from stop.errors import LMRequestRefused, RunError, StopError
from stop.lm.scripted import ScriptedLM
from stop.testing.openai_faults import Fault
from stop.testing.openai_server import OpenAIServer
from tests.helpers.programs import GREEDY, fenced

pytestmark = pytest.mark.bubblewrap
HERE = {"sandbox": "bubblewrap"}
HEAD = "def improve_algorithm(initial_solution, utility, language_model):\n"
ASKS = HEAD + "    return language_model.prompt('', 'improve it')[0]\n"
WORDS = ["LanguageModelError", "BudgetExceeded", "out of memory", "stop resume RUN"]


@pytest.fixture
def improver(tmp_path):
    def write(text):
        file = tmp_path / "improver.py"
        file.write_text(text)
        return file

    return write


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")


@pytest.mark.parametrize("words", WORDS)
def test_the_words_of_an_exception_are_only_words(improver, scripted, tmp_path, words):
    result = stop.improve(
        task="knapsack",
        improver=improver(HEAD + f"    raise ValueError({words!r})\n"),
        lm=scripted("x"),
        runs_dir=tmp_path / "runs",
        **HERE,
    )
    assert result.status == "error"
    assert words in result.detail
    with stop.open_run(result.run).store() as store:
        (run,) = store.improver_runs("task")
    assert (run.status, run.cause) == ("error", "")


def test_the_command_ends_well_whatever_an_improver_raises(improver, scripted, tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "stop", "improve", "--task", "knapsack"),
            *("--improver", improver(HEAD + "    raise ValueError('LanguageModelError')\n")),
            *("--lm", scripted("x"), "--sandbox", "bubblewrap", "--runs-dir", tmp_path / "runs"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "status   error" in done.stdout


@pytest.mark.parametrize("words", WORDS)
def test_a_run_whose_improver_fails_gets_the_same_advice_whatever_it_says(
    improver, scripted, tmp_path, words
):
    run = stop.run(
        tasks="knapsack",
        rounds=1,
        repetitions=1,
        improver=improver(HEAD + f"    raise ValueError({words!r})\n"),
        lm=scripted("x"),
        runs_dir=tmp_path / "runs",
        **HERE,
    )
    assert isinstance(run.error, RunError)
    assert run.error.hint == "try it alone: stop improve --task T --improver FILE"


def test_a_server_that_refuses_every_request_is_the_cause(improver, tmp_path):
    refusal = Fault.status(400, "too long", error_code="context_length_exceeded", count=99)
    with (
        OpenAIServer([fenced(GREEDY)], faults=[refusal]) as server,
        pytest.raises(LMRequestRefused) as caught,
    ):
        stop.improve(
            task="knapsack",
            improver=improver(ASKS),
            lm="openai:m",
            base_url=server.base_url,
            runs_dir=tmp_path / "runs",
            **HERE,
        )
    assert caught.value.exit_code == 5
    assert "--max-response-tokens" in caught.value.hint


def test_a_server_that_has_answered_before_is_not(improver, scripted, tmp_path, monkeypatch):
    complete = ScriptedLM.complete

    async def first_only(self, request):
        if self.requests:
            raise LMRequestRefused("the content filter refused the request")
        return await complete(self, request)

    monkeypatch.setattr(ScriptedLM, "complete", first_only)
    result = stop.improve(
        task="knapsack",
        improver=improver(ASKS.replace("return", "language_model.prompt('', 'one')\n    return")),
        lm=scripted("no"),
        calls=2,
        runs_dir=tmp_path / "runs",
        **HERE,
    )
    assert result.status == "error"
    assert "content filter" in result.detail


def test_a_budget_for_responses_that_has_no_room_is_a_cause(improver, scripted, tmp_path):
    run = stop.run(
        tasks="knapsack",
        rounds=1,
        repetitions=1,
        improver=improver(ASKS),
        improver_max_tokens=10,
        lm=scripted("x"),
        runs_dir=tmp_path / "runs",
        **HERE,
    )
    assert run.error is not None
    assert "--improver-max-tokens" in run.error.hint


@pytest.mark.parametrize("folder", [None, "runs/a"])
def test_what_a_run_goes_on_with_names_its_folder_once_that_is_known(folder):
    error = StopError("full", hint="free some space", resume="--max-usd N")
    error.run = folder
    assert error.hint == f"free some space: stop resume {folder or 'RUN'} --max-usd N"
    assert StopError("x", hint="see RUN").hint == "see RUN"
