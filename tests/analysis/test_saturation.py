"""Where the gain stops being distinguishable from noise: on made-up scores, and on a real run."""

from __future__ import annotations

import numpy as np
import pytest

from stop import analysis
from stop._util.statistics import Cell
from stop.analysis.saturation import Candidate, saturation_of


def candidates(means, spread=0.01, repetitions=6, seed=0, tasks=("a", "b")):
    """Improvers with these means; accepted when better than the best before."""
    chance = np.random.default_rng(seed)
    common = {(t, r): chance.normal(0, 0.1) for t in tasks for r in range(repetitions)}
    made, best = [], -1.0
    for number, mean in enumerate(means):
        cells = tuple(
            Cell(t, r, mean + noise + chance.normal(0, spread)) for (t, r), noise in common.items()
        )
        score = float(np.mean([cell.score for cell in cells]))
        made.append(Candidate(number, f"{number:064x}", score > best, cells))
        best = max(best, score)
    return made


def test_after_the_last_real_gain_a_run_is_saturated():
    found = saturation_of(candidates([0.3, 0.5, 0.7, 0.7, 0.701, 0.699]))
    assert found.round == 2
    assert found.is_real
    assert "after round 2" in str(found)
    by_round = {gain.round: gain for gain in found.gains}
    assert by_round[1].over_seed.p_holm < 0.001
    assert by_round[1].over_seed.difference.mean == pytest.approx(0.2, abs=0.02)
    assert by_round[2].over_best.difference.mean == pytest.approx(0.2, abs=0.02)
    assert by_round[5].over_best.p_holm > 0.05
    assert by_round[0].over_seed is None


def test_steps_too_small_to_be_told_apart_can_make_a_gain_that_is_not():
    """Each step is within the noise, the whole way is not: the last step is not saturated yet."""
    found = saturation_of(candidates([0.50, 0.51, 0.52, 0.53, 0.54, 0.55], spread=0.015))
    assert found.is_real
    assert 0 < found.round <= 5


def test_a_run_that_gains_to_the_end_is_not_saturated():
    found = saturation_of(candidates([0.2, 0.4, 0.6]))
    assert found.round == found.last_round == 2
    assert "not saturated" in str(found)


def test_nothing_gained():
    found = saturation_of(candidates([0.5, 0.4, 0.3]))
    assert (found.round, found.best_round, found.is_real) == (0, 0, False)
    assert str(found) == "no gain over the seed improver is distinguishable from noise"


def test_nothing_scored():
    assert saturation_of([]).round is None
    assert str(saturation_of([])) == "no improver has a score yet"
    assert str(saturation_of(candidates([0.5]))) == "no candidate has been scored yet"


def test_one_pair_is_no_evidence():
    found = saturation_of(candidates([0.2, 0.9], repetitions=1, tasks=("a",)))
    assert found.round == 0


@pytest.mark.slow
def test_chance_winners_are_rarely_taken_for_gains():
    """Ten candidates as good as the seed: the best of them looks better in nearly every run."""
    wrong = looks_better = 0
    for seed in range(300):
        found = saturation_of(candidates([0.5] * 11, spread=0.05, seed=seed))
        wrong += found.is_real
        looks_better += found.best_round > 0
    assert looks_better > 250
    assert wrong / 300 <= 0.06


@pytest.mark.slow
def test_of_a_real_run(run):
    found = analysis.saturation(run)
    assert (found.round, found.best_round, found.last_round) == (2, 2, 4)
    assert found.over == "repetitions"


def test_gains_agree_with_the_rounds_own_differences(run):
    """What the rounds recorded when they ended, from the scores in the store."""
    rounds = analysis.rounds_df(run).set_index("round")
    gains = analysis.gains_df(run).set_index("round")
    for number in (1, 2, 3, 4):
        assert gains.over_best[number] == pytest.approx(rounds.difference[number])
        assert gains.over_best_low[number] == pytest.approx(rounds.difference_low[number])
    assert gains.accepted.tolist() == [True, False, True, False, False]
