"""Gains of runs: fresh cells decide, a part of each limit is kept for the end, nothing is claimed
without evidence."""

from __future__ import annotations

import pytest

import stop
from stop import analysis
from stop.engine import cells
from stop.errors import BudgetExceeded, ConfigError
from stop.experiments.rounds.config import RoundsConfig
from stop.store.comparisons import comparisons
from tests.helpers.programs import GREEDY, fenced

pytestmark = pytest.mark.bubblewrap

HEAD = "from helpers import extract_code\n\n\n"
LAZY = f'''{HEAD}def improve_algorithm(initial_solution, utility, language_model):
    """Rewrites improvers, and leaves solutions alone."""
    if "improve_algorithm" not in initial_solution:
        return initial_solution
    return extract_code(language_model.prompt("", initial_solution, 1)[0])
'''
ASKS = f'''{HEAD}def improve_algorithm(initial_solution, utility, language_model):
    """Asks once, whatever it is given."""
    code = extract_code(language_model.prompt("", initial_solution, 1)[0])
    return code if code and utility(code) > utility(initial_solution) else initial_solution
'''
IDLE = LAZY.replace("leaves solutions alone", "never touches a solution")
WRONG = "def algorithm(weights, values, capacity):\n    return []\n"


@pytest.fixture
def play(scripted, tmp_path):
    """play(candidates, **options) -> a run that begins with LAZY; its model packs greedily."""

    def run(*candidates, task=GREEDY, **options):
        defaults = {
            "tasks": ["knapsack"], "rounds": len(candidates), "repetitions": 1, "calls": 1,
            "responses": 1, "utility_calls": 3, "improver": stop.Program(LAZY.strip()),
            "lm": scripted(fenced(task)), "meta_lm": scripted(*map(fenced, candidates)),
            "confirm_repetitions": 6, "final_repetitions": 3, "sandbox": "bubblewrap",
            "runs_dir": tmp_path / "runs", "random_seed": 1,
        }  # fmt: skip
        return stop.run(**defaults | options)

    return run


def test_a_gain_is_confirmed_and_compared_at_the_end(play):
    run = play(ASKS)
    assert run.error is None
    result = run.to_dict()
    (round_,) = result["rounds"]
    confirmation, gain = round_["confirmation"], result["best"]["gain"]
    assert round_["accepted"]
    assert (confirmation["decision"], confirmation["alpha"]) == ("confirmed", 0.05)
    assert 0 < confirmation["p"] <= 0.05
    assert round_["difference"] == confirmation["difference"] > 0.1
    assert round_["selection"] == {"meta_utility": None, "candidates": 0}  # LAZY scores nothing
    assert gain["tasks"] == ["knapsack"]
    assert (gain["repetitions"], gain["holdout"]) == (3, None)
    low, high = gain["interval"]
    assert 0 < low <= gain["difference"] <= high <= 1
    assert result["best"]["gain_reason"] == ""
    with run.store() as store:
        places = {cells.place(r.repetition)[:2] for r in store.improver_runs("task")}
    assert places == {("selection", 0), ("confirmation", 1), ("final", 0)}
    again = stop.replay(run.folder)
    assert again.same, again.differences
    assert again.compared["comparisons"] == 2


def test_a_candidate_that_does_the_same_is_not_accepted(play):
    run = play(IDLE, ASKS)
    first, second = run.to_dict()["rounds"]
    assert not first["accepted"]
    assert first["confirmation"]["decision"] == "not confirmed"
    assert first["confirmation"]["p"] == 1
    assert first["confirmation"]["repetitions"] < 6  # it gave up early
    assert second["accepted"]
    assert first["confirmation"]["alpha"] + second["confirmation"]["alpha"] <= 0.05


def test_without_a_better_improver_nothing_is_claimed(play):
    best = play(IDLE).to_dict()["best"]
    assert (best["round"], best["gain"]) == (0, None)
    assert "no round brought a better improver" in best["gain_reason"]


def test_a_round_without_a_test_leaves_its_level_to_the_next(play):
    _, second = play(LAZY, ASKS).to_dict()["rounds"]  # the first returns itself
    assert second["confirmation"]["alpha"] == 0.05


def test_a_test_that_the_round_s_budget_ends_has_used_its_level(play):
    run = play(ASKS, ASKS.replace("Asks once", "Asks"), round_max_lm_calls=4)
    first, second = run.to_dict()["rounds"]
    assert (first["status"], first["accepted"]) == ("budget", False)
    assert first["confirmation"] == {
        "difference": None, "interval": None, "p": 1.0, "repetitions": 0, "alpha": 0.025,
        "decision": "not decided",
    }  # fmt: skip
    assert second["confirmation"]["alpha"] == 0.025
    assert analysis.saturation(run).round is None


def test_a_transfer_meets_other_instances_than_the_run_with_its_seed(play, scripted, tmp_path):
    run = play(ASKS)
    moved = stop.transfer(
        run, tasks="knapsack", lm=scripted(fenced(GREEDY)), repetitions=1, calls=1, responses=1,
        sandbox="bubblewrap", random_seed=1, runs_dir=tmp_path / "moved",
    )  # fmt: skip
    secrets = {(folder / "secret").read_bytes() for folder in (run.folder, moved.folder)}
    assert len(secrets) == 2
    assert (play(IDLE).folder / "secret").read_bytes() in secrets


def test_tasks_that_are_held_out_are_compared_apart(play):
    run = play(ASKS, holdout=["bin_packing"])
    gain = run.to_dict()["best"]["gain"]
    assert gain["holdout"]["tasks"] == ["bin_packing"]
    assert gain["holdout"]["difference"] == 0  # GREEDY is no program for it
    assert gain["difference"] > 0.1
    with run.store() as store:
        tasks = {r.task for r in store.improver_runs("task") if r.repetition < cells.BLOCK}
    assert tasks == {"knapsack"}


def test_rounds_never_spend_what_is_kept_for_the_end(play):
    """The budget ends the rounds; the comparison at the end has its part all the same."""
    run = play(ASKS, IDLE, IDLE, ASKS, alpha=0.2, max_lm_calls=12)
    assert isinstance(run.error, BudgetExceeded)
    assert "3 lm calls are kept for the final comparison" in run.error.hint
    result = run.to_dict()
    assert result["status"] == "budget"
    assert result["best"]["gain"]["repetitions"] == 3
    assert result["lm"]["calls"] <= 12
    went_on = stop.resume(run.folder, max_lm_calls=200)
    assert went_on.error is None
    with went_on.store() as store:
        assert list(comparisons(store, "final")) == [0]  # the same two: they are compared once


def test_where_the_budget_has_no_room_no_gain_is_claimed(play):
    run = play(ASKS, accept="always", max_lm_calls=2)
    assert run.error is None
    best = run.to_dict()["best"]
    assert (best["round"], best["gain"]) == (1, None)
    assert "0 of 3 repetitions: the run's budget of lm_calls is used up" in best["gain_reason"]
    more = stop.resume(run.folder, max_lm_calls=50).to_dict()["best"]
    assert more["gain"]["repetitions"] == 3


def test_one_repetition_is_no_evidence(play):
    best = play(ASKS, accept="better", final_repetitions=1).to_dict()["best"]
    assert best["gain"] is None
    assert "1 repetition(s) are too few to tell" in best["gain_reason"]


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({"max_lm_calls": 1000}, {"lm_calls": 3 * 2 * 4}),  # all that it can take
        ({"max_lm_calls": 10, "max_usd": 2.0}, {"lm_calls": 2, "usd": 0.5}),
        ({"max_seconds": 100.0}, {"seconds": 25.0}),
        ({}, {}),
    ],
)
def test_the_reserve(limits, kept):
    budget = stop.Budget(**{name.removeprefix("max_"): limit for name, limit in limits.items()})
    config = RoundsConfig(tasks=("knapsack",), lm="x", final_repetitions=3, budget=budget)
    assert config.reserve.limits == kept
    assert config.changed(final_repetitions=0).reserve.limits == {}


def test_a_test_that_cannot_succeed_is_refused():
    with pytest.raises(ConfigError, match="at least 7 are needed"):
        RoundsConfig.checked(tasks=("knapsack",), lm="x", confirm_repetitions=3)
    RoundsConfig.checked(tasks=("knapsack",), lm="x", confirm_repetitions=3, accept="better")
    with pytest.raises(ConfigError, match="holdout: knapsack is one of the tasks"):
        RoundsConfig.checked(tasks=("knapsack",), lm="x", holdout=("knapsack",))


FLAGS = LAZY.replace(
    "        return initial_solution\n",
    "        import random\n\n"
    "        if random.random() < 0.4:  # the host seeds it by the place of the improver run\n"
    "            utility(initial_solution, use_sandbox=False)\n"
    "        return initial_solution\n",
)


def test_an_improver_that_falls_into_quarantine_is_not_beaten(play):
    """Its cells count 0 from then on: that is no gain of the one that is compared with it."""
    run = play(IDLE, policy="quarantine", improver=stop.Program(FLAGS.strip()))
    with run.store() as store:
        tried = {r.repetition: r.status for r in store.improver_runs("task")}
    assert tried[0] == "ok"
    assert "quarantined" in tried.values()
    (round_,) = run.to_dict()["rounds"]
    assert (round_["accepted"], round_["confirmation"]["difference"]) == (False, None)
    assert round_["confirmation"]["decision"] == "not confirmed"
    best = run.to_dict()["best"]
    assert best is None or best["gain"] is None
