"""A run that stops at a limit, of whatever kind, goes on to where it would have come without."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import stop
from stop.cli import cli
from stop.errors import BudgetExceeded, ConfigError
from stop.programs import Program
from stop.runs.spending import read_budget
from stop.sandbox import GuestLimits, open_sandbox
from stop.sandbox.owner import owner_mark
from stop.store.payments import Payments
from stop.testing.openai_server import Fault
from tests.helpers.programs import GREEDY, fenced
from tests.helpers.servers import BillingServer

IMPROVER = """from helpers import extract_code

MARK = 0

def improve_algorithm(initial_solution, utility, language_model):
    utility(initial_solution)
    message = f"Improve {initial_solution} for {utility.str}"
    answers = language_model.prompt(f"You are expert {MARK}.", message, n_responses=2)
    best = max(extract_code(answers), key=utility)
    return best.replace("MARK" + " = 0", f"MARK = {MARK + 1}")
"""
"""In each round an improver that asks in words of its own comes of it."""
pytestmark = pytest.mark.bubblewrap


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """start(limit=...) -> a small run of two rounds."""
    folder = tmp_path_factory.mktemp("limits")
    for name, reply in (("task", GREEDY), ("meta", IMPROVER)):
        (folder / name).write_text(json.dumps(fenced(reply)) + "\n")

    def run(**options):
        options = {"rounds": 2} | options
        return stop.run(
            tasks=["knapsack", "bin_packing"],
            repetitions=1,
            calls=1,
            responses=2,
            utility_calls=3,
            max_response_tokens=500,
            accept="always",
            final_repetitions=0,
            improver=Program(IMPROVER),
            lm=f"scripted:{folder / 'task'}",
            meta_lm=f"scripted:{folder / 'meta'}",
            sandbox="bubblewrap",
            random_seed=1,
            runs_dir=folder,
            **options,
        )

    run.folder = folder
    return run


@pytest.fixture(autouse=True)
def _same_instances(start, _own_folders, monkeypatch):
    """All runs of this module draw theirs from one secret."""
    monkeypatch.setenv("STOP_STATE_DIR", str(start.folder / "state"))


@pytest.fixture(scope="module")
def whole(start):
    """The same run without limits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOP_STATE_DIR", str(start.folder / "state"))
        run = start()
    assert run.to_dict()["status"] == "done"
    return run


def came_to(run):
    """What came of a run, without times."""
    store = run.store()
    try:
        nodes = [n.to_dict() for n in run.lineage.nodes()]
        runs = {r.key: (r.status, r.result_id, r.utility_calls) for r in store.improver_runs()}
        return sorted(nodes, key=str), runs, [replace(r, finished=0.0) for r in store.rounds()]
    finally:
        store.close()


def spent(run, number=None):
    store = run.store()
    try:
        return Payments(store).spent(number)
    finally:
        store.close()


def budget_of(run):
    store = run.store()
    try:
        return read_budget(store, run.config)
    finally:
        store.close()


@pytest.mark.parametrize(
    "resource",
    ["lm_calls", "responses", "tokens", "prompt_tokens", "completion_tokens", "utility_calls"],
)
def test_at_each_limit_it_stops_within_it_and_goes_on_to_the_same_lineage(start, whole, resource):
    total = getattr(spent(whole), resource)
    limit = total - 1 if "tokens" in resource else total // 2  # reservations are the worst case
    stopped = start(**{f"max_{resource}": limit})
    assert isinstance(stopped.error, BudgetExceeded)
    assert (stopped.error.exit_code, stopped.error.resource) == (3, resource)
    assert f"stop resume {stopped.folder} --max-{resource.replace('_', '-')}" in stopped.error.hint
    assert stopped.to_dict()["status"] == "budget"
    assert 0 < getattr(spent(stopped), resource) <= limit
    assert stopped.to_dict()["best"] is not None or limit < total // 2 + 1
    done = stop.resume(stopped.folder, **{f"max_{resource}": 10 * total + 100_000})
    assert done.error is None
    assert came_to(done) == came_to(whole)
    assert spent(done) == spent(whole)  # nothing twice, nothing forgotten


def test_at_the_limit_of_time_as_well(start, whole):
    stopped = start(max_seconds=0.3)
    assert (stopped.error.exit_code, stopped.error.resource) == (3, "seconds")
    assert budget_of(stopped)["run"]["spent"]["seconds"] >= 0.3
    with pytest.raises(BudgetExceeded):  # earlier sessions count
        raise stop.resume(stopped.folder).error
    done = stop.resume(stopped.folder, max_seconds=1000)
    assert came_to(done) == came_to(whole)


def test_at_the_limit_of_money_as_well(start, whole, monkeypatch):
    from dataclasses import replace

    from stop.lm.scripted import ScriptedLM

    real, worst = ScriptedLM.complete, ScriptedLM.worst_case

    async def complete(self, request):
        response = await real(self, request)
        return replace(response, usage=replace(response.usage, usd=0.1))

    monkeypatch.setattr(ScriptedLM, "complete", complete)
    monkeypatch.setattr(
        ScriptedLM, "worst_case", lambda self, request: replace(worst(self, request), usd=0.25)
    )
    stopped = start(max_usd=0.3)
    assert stopped.error.resource == "usd"
    assert spent(stopped).usd == pytest.approx(0.1)
    done = stop.resume(stopped.folder, max_usd=9)
    assert came_to(done) == came_to(whole)
    assert spent(done).usd == pytest.approx(0.1 * spent(whole).lm_calls)


def test_a_round_past_its_budget_has_no_result_and_the_run_goes_on(start, whole):
    """Round 0 needs two calls, round 1 one and then two for its candidate."""
    assert [spent(whole, n).lm_calls for n in (0, 1)] == [2, 3]
    run = start(round_max_lm_calls=2)
    assert run.error is None
    document = run.to_dict()
    # Round 2 makes the same candidate, and finds the response that round 1 has paid for.
    assert [r["status"] for r in document["rounds"]] == ["budget", "ok"]
    assert [r["accepted"] for r in document["rounds"]] == [False, True]
    assert document["rounds"][0]["improver_id"] == document["rounds"][1]["improver_id"]
    assert "round 1's budget of lm_calls" in document["rounds"][0]["detail"]
    assert document["status"] == "done"
    assert [spent(run, n).lm_calls for n in (0, 1, 2)] == [2, 2, 2]
    store = run.store()
    assert store.improver_run("round/1").status == "ok"
    store.close()
    again = stop.resume(run.folder, round_max_lm_calls=50)
    assert again.to_dict() == document  # what has ended stays as it is


def test_a_round_past_its_time_has_no_result(start):
    run = start(rounds=1, round_max_seconds=30)
    assert run.error is None
    assert budget_of(run)["rounds"][1]["spent"]["seconds"] > 0
    assert budget_of(run)["rounds"][1]["limits"] == {"seconds": 30}


def test_without_a_score_of_round_0_the_run_ends_and_goes_on_with_more(start, whole):
    stopped = start(round_max_lm_calls=1)
    assert stopped.error.exit_code == 3
    assert "no score yet" in stopped.error.message
    assert "--round-max-lm-calls" in stopped.error.hint
    assert stopped.to_dict()["seed"] is None
    still = stop.resume(stopped.folder)
    assert still.error.exit_code == 3
    done = stop.resume(stopped.folder, round_max_lm_calls=3)
    assert came_to(done) == came_to(whole)
    assert spent(done) == spent(whole)


def test_an_improver_past_its_tokens_is_refused_and_nothing_else_ends(start):
    run = start(rounds=1, improver_max_tokens=100)
    assert isinstance(run.error, stop.StopError)  # the seed improver asks once, and is refused
    assert "budget of tokens" in run.error.message
    assert run.error.exit_code == 1
    assert spent(run).lm_calls == 0


def test_a_limit_of_money_without_a_price_is_a_mistake(tmp_path):
    options = {"lm": "openai:nobody-knows", "base_url": "http://127.0.0.1:9/v1", "max_usd": 1}
    with pytest.raises(ConfigError, match="no price"):
        stop.run(tasks=["knapsack"], **options, runs_dir=tmp_path / "runs")
    assert not list((tmp_path / "runs").iterdir())  # what never began is no run


# --- the command line


@pytest.mark.parametrize("fewer", [{"honours_n": False}, {"faults": [Fault("fewer", count=99)]}])
@pytest.mark.parametrize("usd", ["0.01", "0.04"])
def test_a_server_that_gives_fewer_choices_bills_no_more_than_max_usd(
    tmp_path, monkeypatch, fewer, usd
):
    import genai_prices

    calc_price = genai_prices.calc_price  # on the loopback, too, it costs what it costs elsewhere
    monkeypatch.setattr(
        genai_prices, "calc_price",
        lambda usage, *, model_ref, **_: calc_price(usage, model_ref=model_ref),
    )  # fmt: skip
    prices = calc_price(genai_prices.Usage(input_tokens=1), model_ref="gpt-4o").model.prices
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with BillingServer(
        [fenced(GREEDY)], prices=(float(prices.input_mtok), float(prices.output_mtok)), **fewer
    ) as server:
        words = ["improve", "--task", "knapsack", "--lm", "openai:gpt-4o", "--max-usd", usd]
        words += ["--base-url", server.base_url, "--runs-dir", str(tmp_path / "runs"), "--json"]
        words += ["--responses", "6", "--max-response-tokens", "300", "--sandbox", "bubblewrap"]
        done = CliRunner().invoke(cli, words)
        assert isinstance(done.exception, BudgetExceeded) == (usd == "0.01"), done.output
        assert (server.billed > 0) == (usd == "0.04")
        assert server.billed <= float(usd)


@pytest.fixture
def command(capsys):
    """command("costs", ...) -> the document that it prints."""

    def call(*arguments):
        cli.main([*arguments, "--json"], standalone_mode=False)
        return json.loads(capsys.readouterr().out)

    return call


def test_costs_show_spent_of_limit_for_the_run_and_each_round(start, command, capsys):
    run = start(max_tokens=10**6, round_max_usd=2.5)
    budget = command("costs", str(run.folder))["budget"]
    assert budget["run"]["limits"] == {"tokens": 10**6}
    assert budget["run"]["spent"]["utility_calls"] == spent(run).utility_calls > 0
    assert [each["round"] for each in budget["rounds"]] == [0, 1, 2]
    for name in ("lm_calls", "tokens", "utility_calls"):
        total = budget["run"]["spent"][name]
        assert total == sum(each["spent"][name] for each in budget["rounds"])
    assert budget["rounds"][0]["limits"] == {"usd": 2.5}
    cli.main(["costs", str(run.folder)], standalone_mode=False)
    shown = capsys.readouterr().out
    assert f"{spent(run).tokens} of 1e+06" in shown
    assert "0 of 2.5" in shown


def test_a_plan_keeps_to_the_limits_and_shows_them(command):
    arguments = ("run", "--preset", "paper", "--lm", "openai:gpt-4o-mini", "--dry-run")
    free = command(*arguments)["at_most"]
    limits = {"run": {"tokens": 50_000, "utility_calls": 9}, "round": {"lm_calls": 3}}
    bound = command(
        *arguments, "--max-tokens", "50000", "--max-utility-calls", "9", "--round-max-lm-calls",
        "3", "--improver-max-usd", "0.0001",
    )  # fmt: skip
    kept = {"final": {"tokens": 12_500, "utility_calls": 2}}
    assert bound["limits"] == limits | {"improver_run": {"usd": 0.0001}} | kept
    most = bound["at_most"]
    assert most["tokens"] == 50_000
    assert most["completion_tokens"] <= 50_000
    assert most["utility_calls"] == 9
    assert most["lm_calls"] == 3 * 7 + 2 * 20 * 4  # the rounds, and the comparison at the end
    assert 0 < most["usd"] < free["usd"]
    assert free["tokens"] == free["prompt_tokens"] + free["completion_tokens"]


def test_progress_names_the_share_of_the_tightest_limit(start, capsys):
    from stop.cli.display import RunProgress

    with RunProgress() as progress:
        start(rounds=0, max_responses=16, max_tokens=10**9, progress=progress)
    assert "25% of the run's responses" in capsys.readouterr().err


@pytest.mark.bubblewrap
async def test_a_sandbox_whose_start_is_given_up_at_any_moment_is_gone():
    """As limits do, more than once: it must neither be waited for in vain nor stay behind."""
    sandbox = await open_sandbox("bubblewrap")
    for step in range(30):
        start = asyncio.create_task(sandbox.start(GuestLimits()))
        await asyncio.sleep(step * 0.001)
        for _ in range(1 + step % 3):
            start.cancel()
            await asyncio.sleep(0)
        done, _ = await asyncio.wait({start}, timeout=60)
        assert done, f"hangs when given up after {step} milliseconds"
        await asyncio.gather(start, return_exceptions=True)
    await sandbox.aclose()
    assert not _sandboxes_of_mine()


def _sandboxes_of_mine():
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            found += [path] if owner_mark().encode() in path.read_bytes() else []
    return found
