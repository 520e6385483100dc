"""The sequential test: what it promises, by simulation; and what it must say exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stop._util.sequential import least_pairs, looks, verdict
from stop._util.statistics import wilson_interval


def decide(differences, alpha, most):
    """The decision of a whole test, and how many repetitions it took."""
    before, batches, steps = 0, [], looks(most)
    for step in steps:
        batches.append(differences[before:step])
        before = step
        found = verdict(batches, alpha, len(steps))
        if found.decision != "go on":
            return found, step
    raise AssertionError("the last look decides")


def draw(kind, chance, size):
    """Differences that are symmetric around 0."""
    if kind == "normal":
        return chance.normal(0, 1, size)
    if kind == "mostly ties":
        return np.where(chance.random(size) < 0.6, 0.0, chance.normal(0, 1, size))
    if kind == "heavy tails":
        return chance.standard_cauchy(size)
    return chance.choice([-0.25, 0.0, 0.25], size)  # shares of few instances


@pytest.mark.parametrize("kind", ["normal", "mostly ties", "heavy tails", "few values"])
@pytest.mark.parametrize(("alpha", "most"), [(0.05, 20), (0.05 / 3, 12)])
def test_false_acceptance_stays_below_alpha(kind, alpha, most):
    chance = np.random.default_rng(3)
    runs = 600
    found = [decide(draw(kind, chance, most), alpha, most) for _ in range(runs)]
    wrong = sum(each.decision == "confirmed" for each, _ in found)
    low, _ = wilson_interval(wrong, runs)
    assert low <= alpha
    assert np.mean([number for _, number in found]) < 0.6 * most  # it gives up early


@pytest.mark.parametrize(("effect", "least"), [(0.8, 0.6), (1.2, 0.9)])
def test_power(effect, least):
    """At the level of one of three rounds, with differences of standard deviation 1."""
    chance = np.random.default_rng(4)
    found = [decide(chance.normal(effect, 1, 20), 0.05 / 3, 20) for _ in range(300)]
    assert np.mean([each.decision == "confirmed" for each, _ in found]) > least
    assert np.mean([number for _, number in found]) < 17


def test_the_p_value_of_one_look_is_that_of_all_sign_flips():
    found = verdict([[0.3, 0.2, 0.1]], 0.2, 1)
    assert found == ("confirmed", 1 / 8)
    assert verdict([[0.3, 0.2, -0.1]], 0.2, 1).p == 2 / 8
    assert verdict([[0.0] * 5], 0.05, 1) == ("not confirmed", 1.0)


def test_the_level_is_spent_with_the_pairs_seen():
    """Half of the pairs, all positive, are not yet enough for half of the level."""
    assert verdict([[1.0] * 5], 0.05, 2).decision == "go on"
    assert verdict([[1.0] * 6], 0.05, 2).decision == "confirmed"
    assert verdict([[1.0] * 5, [1.0] * 5], 0.05, 2).decision == "confirmed"


@given(st.integers(1, 1000))
def test_looks_are_in_order_and_end_with_the_last(most):
    found = looks(most)
    assert list(found) == sorted(set(found))
    assert found[-1] == most
    assert 1 <= len(found) <= 4


@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.floats(0.001, 0.2), st.integers(1, 4)
)
def test_p_values_are_probabilities_and_scale_does_not_matter(values, alpha, number):
    batch = [values]
    found = verdict(batch, alpha, number)
    assert 0 < found.p <= 1
    assert verdict([[4 * value for value in values]], alpha, number) == found


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 6, 0.001])
def test_fewer_pairs_than_the_least_confirm_nothing(alpha):
    least = least_pairs(alpha)
    assert verdict([[1.0] * least], alpha, 1).decision == "confirmed"
    assert verdict([[1.0] * (least - 1)], alpha, 1).decision == "not confirmed"
