"""Means, intervals and paired differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stop._util.statistics import (
    EXACT_PAIRS,
    UNKNOWN,
    Cell,
    common_cells,
    compare_paired,
    compare_unpaired,
    holm,
    paired_difference,
    rate_difference,
    rate_p_value,
    sign_flip_test,
    stratified_mean,
    wilson_interval,
)


def test_one_task_agrees_with_student_t():
    scores = [0.2, 0.5, 0.4, 0.9]
    estimate = stratified_mean([Cell("a", r, s) for r, s in enumerate(scores)])
    low, high = stats.t.interval(0.95, 3, np.mean(scores), stats.sem(scores))
    assert estimate.interval == pytest.approx((low, high))
    assert estimate.over == "repetitions"


def test_tasks_weigh_the_same_whatever_their_repetitions():
    cells = [Cell("a", 0, 0.0), Cell("a", 1, 0.0), Cell("a", 2, 0.0), Cell("b", 0, 1.0)]
    assert stratified_mean(cells).mean == 0.5


def test_instances_are_a_sample_of_a_fixed_program_only():
    cell = Cell("a", 0, 0.5, (0.4, 0.6))
    estimate = stratified_mean([cell], instances=True)
    assert estimate.over == "instances"
    assert estimate.interval is not None
    assert stratified_mean([cell]).interval is None
    assert compare_paired([cell], [cell]).p is None


def test_equal_values_have_the_interval_that_their_number_allows():
    low, high = stratified_mean(cells("a", [1.0] * 20)).interval
    assert (low, high) == (pytest.approx(0.025 ** (1 / 20)), 1.0)
    tens = cells("a", [10.0] * 20)
    assert stratified_mean(tens, within=UNKNOWN).interval is None
    assert stratified_mean([*tens[1:], Cell("a", 0, 12.0)], within=UNKNOWN).high > 10


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.integers(1, 3))
def test_intervals_stay_inside_the_range_of_scores(scores, tasks):
    found = [Cell(str(t), r, s) for t in range(tasks) for r, s in enumerate(scores)]
    low, high = stratified_mean(found).interval
    assert 0 <= low <= high <= 1
    zero = [Cell(c.task, c.repetition, 1.0) for c in found]
    low, high = compare_paired(found, zero).difference.interval
    assert -1 <= low <= high <= 1


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


# --- tests of differences


def cells(task, scores):
    return [Cell(task, r, float(s)) for r, s in enumerate(scores)]


NEW, OLD = [0.61, 0.72, 0.58, 0.90, 0.66], [0.55, 0.70, 0.41, 0.71, 0.60]


def test_the_paired_test_agrees_with_scipy():
    found = compare_paired(cells("a", NEW), cells("a", OLD))
    expected = stats.ttest_rel(NEW, OLD)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.difference.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert (found.method, found.n) == ("paired t", 5)


def test_the_unpaired_test_agrees_with_welch():
    found = compare_unpaired(cells("a", NEW), cells("a", OLD[:4]))
    expected = stats.ttest_ind(NEW, OLD[:4], equal_var=False)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.difference.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert (found.method, found.n) == ("Welch's t", 9)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=20), st.integers(1, 3))
def test_interval_and_p_value_say_the_same(differences, tasks):
    new = [c for t in range(tasks) for c in cells(str(t), differences)]
    zero = [Cell(c.task, c.repetition, 0.0) for c in new]
    found = compare_paired(new, zero, within=(-9, 9))
    assert 0 <= found.p <= 1
    if found.method == "paired t" and abs(found.p - 0.05) > 1e-6:
        low, high = found.difference.interval
        assert (found.p < 0.05) == (low > 0 or high < 0)


def test_differences_without_any_spread_make_nobody_certain():
    found = compare_paired(cells("a", [0.5, 0.5]), cells("a", [0.25, 0.25]))
    assert (found.p, found.method) == (0.5, "sign flips")


def test_one_pair_has_no_p_value_of_t():
    found = compare_paired([Cell("a", 0, 0.5, (0.5,))], [Cell("a", 0, 0.2, (0.2,))])
    assert (found.p, found.p_sign_flip) == (None, None)


def test_common_cells_are_those_that_both_have():
    new, old = cells("a", [1, 2, 3]) + cells("b", [4]), cells("a", [5, 6]) + cells("c", [7])
    after, before = common_cells(new, old)
    assert [(c.task, c.repetition, c.score) for c in after] == [("a", 0, 1), ("a", 1, 2)]
    assert [c.score for c in before] == [5, 6]


@given(st.lists(st.floats(-1, 1).filter(lambda x: abs(x) > 1e-3), min_size=2, max_size=9))
def test_all_sign_flips_agree_with_scipy(differences):
    expected = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        n_resamples=10_000,
        alternative="two-sided",
    )
    two_sided = np.mean(abs(expected.null_distribution) >= abs(np.mean(differences)) - 1e-12)
    assert sign_flip_test([differences]) == pytest.approx(two_sided)


def test_random_sign_flips_come_near_all_of_them(monkeypatch):
    differences = [0.3, -0.1, 0.2, 0.25, -0.05, 0.1, 0.02, 0.15, -0.2, 0.12, 0.3, -0.02]
    assert len(differences) <= EXACT_PAIRS
    exact = sign_flip_test([differences])
    monkeypatch.setattr("stop._util.statistics.EXACT_PAIRS", 3)
    assert sign_flip_test([differences]) == pytest.approx(exact, abs=0.01)
    assert sign_flip_test([[1.0] * 40]) == pytest.approx(1e-4)  # never 0


def test_no_differences_have_no_p_value():
    assert sign_flip_test([]) is None


@pytest.mark.slow
@pytest.mark.parametrize("test", ["p", "p_sign_flip"])
def test_without_a_difference_five_of_a_hundred_are_significant(test):
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(600):
        common = rng.normal(0.5, 0.3, size=(2, 8))
        new, old = (common + rng.normal(0, 0.1, size=(2, 8)) for _ in range(2))
        sides = [[c for t in (0, 1) for c in cells(str(t), side[t])] for side in (new, old)]
        hits += getattr(compare_paired(*sides), test) < 0.05
    assert 0.03 <= hits / 600 <= 0.075


# --- many tests


def test_holm_s_own_steps():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.01, None, 0.04]) == [0.02, None, 0.04]
    assert holm([0.01], family=6) == pytest.approx([0.06])
    assert holm([]) == []


def by_definition(p_values):
    """The largest of what the step-down procedure compares with alpha, hypothesis by hypothesis."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    steps = [min(1, (len(order) - i) * p_values[k]) for i, k in enumerate(order)]
    return {k: max(steps[: i + 1]) for i, k in enumerate(order)}


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_order_and_lies_between_raw_and_bonferroni(p_values):
    adjusted = holm(p_values)
    for i, (raw, corrected) in enumerate(zip(p_values, adjusted, strict=True)):
        assert raw <= corrected <= min(1, raw * len(p_values))
        assert corrected == pytest.approx(by_definition(p_values)[i])


# --- rates


@pytest.mark.parametrize(
    ("new", "old", "low", "high"),  # R. G. Newcombe 1998, table II, method 10
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
    ],
)
def test_newcombe_s_own_examples(new, old, low, high):
    change, ends = rate_difference(new, old)
    assert change == pytest.approx(new[0] / new[1] - old[0] / old[1])
    assert ends == pytest.approx((low, high), abs=5e-5)


def test_coverage_of_the_difference_of_rates():
    rng = np.random.default_rng(5)
    hits = 0
    for a, b in zip(rng.binomial(40, 0.1, 1000), rng.binomial(60, 0.25, 1000), strict=True):
        low, high = rate_difference((int(a), 40), (int(b), 60))[1]
        hits += low <= -0.15 <= high
    assert 0.93 <= hits / 1000 <= 0.98


def test_rates_without_trials_say_nothing():
    assert rate_difference((0, 0), (3, 9)) == (0.0, (-1.0, 1.0))
    assert rate_p_value((0, 0), (3, 9)) is None
    assert rate_p_value((3, 9), (3, 9)) == pytest.approx(1.0)
