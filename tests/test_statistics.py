"""Means, intervals and paired differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stop.statistics import Cell, paired_difference, stratified_mean, wilson_interval


def test_one_task_agrees_with_student_t():
    scores = [0.2, 0.5, 0.4, 0.9]
    estimate = stratified_mean([Cell("a", r, s) for r, s in enumerate(scores)])
    low, high = stats.t.interval(0.95, 3, np.mean(scores), stats.sem(scores))
    assert estimate.interval == pytest.approx((low, high))
    assert estimate.over == "repetitions"


def test_tasks_weigh_the_same_whatever_their_repetitions():
    cells = [Cell("a", 0, 0.0), Cell("a", 1, 0.0), Cell("a", 2, 0.0), Cell("b", 0, 1.0)]
    assert stratified_mean(cells).mean == 0.5


def test_one_repetition_falls_back_on_instances_and_says_so():
    estimate = stratified_mean([Cell("a", 0, 0.5, (0.4, 0.6))])
    assert estimate.over == "instances"
    assert estimate.interval is not None


def test_one_value_has_no_interval():
    assert stratified_mean([Cell("a", 0, 0.5, (0.5,))]).interval is None


def test_coverage_of_the_interval():
    """Of 400 intervals about 95 % hold the truth."""
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(400):
        cells = [
            Cell(t, r, rng.normal(m, s))
            for t, m, s in (("a", 0.3, 0.2), ("b", 0.7, 0.05))
            for r in range(5)
        ]
        low, high = stratified_mean(cells).interval
        hits += low <= 0.5 <= high
    assert 0.91 <= hits / 400 <= 0.985


def test_paired_difference_removes_what_is_common():
    """Instances differ wildly, the gain does not: only pairing sees it."""
    old = [Cell("a", r, s) for r, s in enumerate((0.1, 0.5, 0.9, 0.3))]
    new = [Cell("a", c.repetition, c.score + 0.05) for c in old]
    difference = paired_difference(new, old)
    assert difference.mean == pytest.approx(0.05)
    assert difference.low > 0
    low, high = stratified_mean(new).interval
    assert low < stratified_mean(old).mean < high


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy(trials):
    successes, n = trials
    low, high = wilson_interval(successes, n)
    reference = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=1e-9)
    assert 0 <= low <= successes / n <= high <= 1


@pytest.mark.parametrize(
    ("successes", "low", "high"), [(42, 0.31, 0.57), (46, 0.35, 0.61), (12, 0.07, 0.21)]
)
def test_wilson_gives_the_intervals_of_the_paper(successes, low, high):
    ends = wilson_interval(successes, 10_000)
    assert [round(100 * end, 2) for end in ends] == [low, high]


def test_wilson_of_nothing_knows_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)
