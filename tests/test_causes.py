"""What a guest says decides nothing: causes are what the host itself did."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import stop
from stop.errors import ConfigError, LMRequestRefused, RunError, SandboxError, StopError
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
    assert "status  error: ValueError" in done.stdout


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


def test_a_server_that_refuses_the_last_request_is_the_cause(improver, tmp_path):
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


@pytest.mark.parametrize("then", ["raise ValueError('mine')", "return 3"])
def test_a_refusal_that_the_improver_got_over_is_not(
    improver, scripted, tmp_path, monkeypatch, then
):
    complete = ScriptedLM.complete

    async def first_only(self, request):
        if self.requests:
            raise LMRequestRefused("the content filter refused the request")
        return await complete(self, request)

    monkeypatch.setattr(ScriptedLM, "complete", first_only)
    goes_on = HEAD + (
        "    language_model.prompt('', 'one')\n"
        "    try:\n        language_model.prompt('', 'two')\n"
        "    except Exception:\n        utility(initial_solution)\n"
        f"    {then}\n"
    )
    result = stop.improve(
        task="knapsack",
        improver=improver(goes_on),
        lm=scripted("no"),
        calls=2,
        runs_dir=tmp_path / "runs",
        **HERE,
    )
    assert result.status in ("error", "invalid")


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


def test_what_a_run_goes_on_with_is_said_once_its_folder_is_known():
    error = StopError("full", hint="free some space", resume="--max-usd N")
    assert error.hint == "free some space"
    error.run = Path("runs/a")
    assert error.hint == "free some space: stop resume runs/a --max-usd N"
    again = error.preceded_by("still ")
    again.run = error.run
    assert (again.message, again.hint) == ("still full", error.hint)
    assert StopError("x", hint="see RUN").hint == "see RUN"


def test_no_hint_names_a_run_that_is_not_there(scripted, tmp_path, monkeypatch):
    """A run that could not begin leaves no folder to resume."""

    async def gone(*_, **__):
        raise SandboxError("the engine is gone", hint="start it again, then go on", resume="")

    monkeypatch.setattr("stop.engine.opening.open_sandbox", gone)
    for begin in (
        lambda: stop.run("knapsack", lm=scripted("x"), runs_dir=tmp_path / "runs"),
        lambda: stop.improve(task="knapsack", lm=scripted("x"), runs_dir=tmp_path / "runs"),
    ):
        with pytest.raises(SandboxError) as caught:
            begin()
        assert caught.value.hint == "start it again, then go on"
    assert not list((tmp_path / "runs").glob("[!.]*"))


@pytest.mark.parametrize(
    "mistake",
    [
        lambda folder: stop.resume(folder, max_dollars=5),
        lambda folder: stop.resume(folder, improver_max_usd=1),
        lambda folder: stop.resume(folder, round_max_bogus=1),
        lambda _: stop.improve(task="knapsack", lm="scripted:x", repetitions=7),
        lambda _: stop.measure_bypass(samples=1, lm="scripted:x", policy="halt"),
        lambda _: stop.run("knapsack", lm="scripted:x", budget={"usd": 2}),
        lambda _: stop.evaluate(GREEDY, task="knapsack", count=0),
    ],
)
def test_a_mistyped_option_is_refused_in_a_sentence(mistake, scripted, tmp_path):
    run = stop.run(
        "knapsack", rounds=0, repetitions=1, calls=1, responses=1, lm=scripted("x"),
        runs_dir=tmp_path / "runs", **HERE,
    )  # fmt: skip
    with pytest.raises(ConfigError):
        mistake(run.folder)


def test_an_improver_may_be_given_as_text(scripted, tmp_path):
    source = HEAD + "    return initial_solution\n"
    result = stop.improve(
        task="knapsack", improver=source, lm=scripted("x"), runs_dir=tmp_path / "runs", **HERE
    )
    assert result.status == "ok"
