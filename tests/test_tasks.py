"""The nine built-in tasks: seeds, strong solutions, and the holes that must stay shut."""

from __future__ import annotations

import copy
import itertools
import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stop.tasks.checks import static_problems
from stop.tasks.task import SPLITS, Instance, InvalidAnswer, Task, list_tasks

SECRET = b"tests"
TASKS = {task.name: task for task in list_tasks()}
SEED_BANDS = {
    "bin_packing": (0.90, 0.97),
    "knapsack": (0.50, 0.65),
    "maxcut": (0.57, 0.62),
    "modified_qap": (0.80, 0.95),
    "parity_noise": (0.40, 0.60),
    "parity_noiseless": (0.40, 0.60),
    "str_grid_dist": (0.38, 0.56),
    "three_sat": (0.60, 0.97),
    "tsp": (0.75, 0.85),
}


def test_the_nine_tasks_are_there() -> None:
    assert sorted(TASKS) == sorted(SEED_BANDS)


# --------------------------------------------------------------------------- running in-process


def decoded(value: Any) -> Any:
    """What the frames do to an answer: NumPy scalars become builtin numbers."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return type(value)(decoded(item) for item in value)
    return value


def entry_point(task: Task) -> Callable[..., Any]:
    scope: dict[str, Any] = {}
    exec(compile(task.seed, "seed.py", "exec"), scope)
    return scope[task.entry_point]


def answer(task: Task, solution: Callable[..., Any], instance: Instance) -> Any:
    game = task.play(instance)
    call = next(game)
    while True:
        try:
            call = game.send(decoded(solution(*copy.deepcopy(call))))
        except StopIteration as done:
            return done.value


def mean_score(name: str, solution: Callable[..., Any], count: int | None = None) -> float:
    task = TASKS[name]
    instances = task.instances("search", SECRET, count=count)
    return float(np.mean([task.score(i, answer(task, solution, i)) for i in instances]))


@pytest.fixture(autouse=True)
def _fixed_chance() -> None:
    random.seed(1)
    np.random.seed(1)


@pytest.mark.parametrize("name", TASKS)
def test_seed_scores_in_its_band(name: str) -> None:
    low, high = SEED_BANDS[name]
    assert low <= mean_score(name, entry_point(TASKS[name])) <= high


@pytest.mark.parametrize("name", TASKS)
def test_task_has_no_static_problems(name: str) -> None:
    assert static_problems(TASKS[name]) == []


@pytest.mark.parametrize("name", TASKS)
def test_the_text_for_the_model_is_short_and_explains_itself(name: str) -> None:
    text = TASKS[name].utility_text
    assert len(text.splitlines()) < 60
    assert text.startswith('"""')
    assert f"`{TASKS[name].entry_point}(" in text


# ------------------------------------------------------------------------------ strong solutions


def eliminate(train_samples: Any, train_parity: Any, test_samples: Any) -> list[int]:
    """Gaussian elimination over GF(2)."""
    rows = np.column_stack([train_samples, train_parity]).astype(int)
    bits, pivots = rows.shape[1] - 1, []
    for column in range(bits):
        found = [r for r in range(len(pivots), len(rows)) if rows[r, column]]
        if not found:
            continue
        at = len(pivots)
        rows[[at, found[0]]] = rows[[found[0], at]]
        for r in range(len(rows)):
            if r != at and rows[r, column]:
                rows[r] ^= rows[at]
        pivots.append(column)
    subset = np.zeros(bits, dtype=int)
    subset[pivots] = rows[: len(pivots), -1]
    return list(test_samples @ subset % 2)


def try_all_subsets(train_samples: Any, train_parity: Any, test_samples: Any) -> Any:
    subsets = np.array(list(itertools.product([0, 1], repeat=train_samples.shape[1])))
    wrong = (train_samples @ subsets.T % 2 != train_parity[:, None]).sum(axis=0)
    return test_samples @ subsets[wrong.argmin()] % 2


def walksat(formula: Any) -> list[bool]:
    n = max(abs(x) for clause in formula for x in clause)
    for _ in range(5):
        values = [random.random() < 0.5 for _ in range(n + 1)]
        for _ in range(600):
            wrong = [c for c in formula if not any(values[abs(x)] == (x > 0) for x in c)]
            if not wrong:
                return values
            literal = random.choice(random.choice(wrong))
            values[abs(literal)] = literal > 0
    return values


def flip_cut(adjacency_matrix: Any) -> Any:
    n, best, best_cut = len(adjacency_matrix), None, -1.0
    for _ in range(8):
        side = np.random.choice([-1, 1], n)
        while (gain := side * (adjacency_matrix @ side)).max() > 0:
            side[gain.argmax()] *= -1
        cut = -float(side @ adjacency_matrix @ side)
        if best is None or cut > best_cut:
            best, best_cut = side, cut
    return best


def grid_search(t: str, dist: int) -> str:
    reached = {("", 0)}  # prefixes kept per (length, last letter, distance)
    kept: dict[tuple[str, int], str] = {}
    own = sum(a != b for a, b in itertools.pairwise(t))
    for letter in t:
        kept = {}
        for prefix, d in reached:
            for new in "AB":
                further = d + (new != letter) + (prefix != "" and prefix[-1] != new)
                kept[new, further] = prefix + new
        reached = {(prefix, d) for (_, d), prefix in kept.items()}
    return next(prefix for prefix, d in reached if d == dist - own)


def swap_descent(F: Any, D: Any, P: Any) -> Any:  # noqa: N803 - the names of the problem
    def cost(perm: Any) -> float:
        return float((F * D[perm][:, perm]).sum() - 0.5 * P[range(len(F)), perm].sum())

    perms = []
    for _ in range(4):
        perm, improved = np.random.permutation(len(F)), True
        while improved:
            improved = False
            for i, j in itertools.combinations(range(len(F)), 2):
                other = perm.copy()
                other[[i, j]] = other[[j, i]]
                if cost(other) < cost(perm) - 1e-9:
                    perm, improved = other, True
        perms.append(perm)
    return min(perms, key=cost)


def knapsack_table(weights: Any, values: Any, capacity: int) -> list[int]:
    best: list[tuple[int, tuple[int, ...]]] = [(0, ())] * (capacity + 1)
    for i, (w, v) in enumerate(zip(weights, values, strict=True)):
        for c in range(capacity, w - 1, -1):
            best[c] = max(best[c], (best[c - w][0] + v, (*best[c - w][1], i)))
    return list(best[capacity][1])


def two_opt(coordinates: Any) -> Any:
    d = np.hypot(*(coordinates[:, None] - coordinates[None, :]).transpose(2, 0, 1))
    tour = np.array(entry_point(TASKS["tsp"])(coordinates))
    while True:
        a, b = tour, np.roll(tour, -1)
        change = d[a][:, a] + d[b][:, b] - d[a, b][:, None] - d[a, b][None, :]
        np.fill_diagonal(change, 0)
        i, j = sorted(int(x) for x in np.unravel_index(change.argmin(), change.shape))
        if change[i, j] > -1e-9:
            return tour
        tour[i + 1 : j + 1] = tour[i + 1 : j + 1][::-1].copy()


@pytest.mark.parametrize(
    ("name", "solution", "low", "count"),
    [
        ("parity_noiseless", eliminate, 1.0, None),
        ("parity_noise", try_all_subsets, 0.97, None),
        ("three_sat", walksat, 0.9, 15),
        ("maxcut", flip_cut, 0.6, 20),
        ("str_grid_dist", grid_search, 1.0, None),
        ("modified_qap", swap_descent, 0.85, 5),
        ("knapsack", knapsack_table, 1.0, 8),
        ("tsp", two_opt, 0.88, None),
    ],
)
def test_strong_solution_scores_near_the_top(
    name: str, solution: Callable[..., Any], low: float, count: int | None
) -> None:
    assert mean_score(name, solution, count) >= low


def test_better_packing_rules_score_higher() -> None:
    def new_bin_always(item: int, bins: Any) -> Any:
        return np.arange(len(bins))

    def worst_fit(item: int, bins: Any) -> list[int]:
        return [int(room) if room < 150 else -1 for room in bins]

    best_fit = entry_point(TASKS["bin_packing"])
    scores = [mean_score("bin_packing", rule) for rule in (new_bin_always, worst_fit, best_fit)]
    assert scores == sorted(scores)
    assert scores[0] < 0.6


# ------------------------------------------------------------------------- the hidden yardsticks


def test_tour_bound_never_exceeds_the_shortest_tour() -> None:
    bound = TASKS["tsp"]._utility.held_karp_bound
    rng = np.random.default_rng(3)
    for _ in range(5):
        cities = rng.random((7, 2))
        d = np.hypot(*(cities[:, None] - cities[None, :]).transpose(2, 0, 1))
        tours = (np.array([0, *rest]) for rest in itertools.permutations(range(1, 7)))
        shortest = min(d[tour, np.roll(tour, -1)].sum() for tour in tours)
        assert 0.95 * shortest <= bound(cities) <= shortest


def test_bin_bound_never_exceeds_the_fewest_bins() -> None:
    bound = TASKS["bin_packing"]._utility.lower_bound

    def fewest(sizes: list[int], rooms: tuple[int, ...] = ()) -> int:
        if not sizes:
            return len(rooms)
        item, rest = sizes[0], sizes[1:]
        options = [
            (*rooms[:i], r - item, *rooms[i + 1 :]) for i, r in enumerate(rooms) if r >= item
        ]
        return min(fewest(rest, option) for option in [*options, (*rooms, 150 - item)])

    rng = np.random.default_rng(4)
    for _ in range(20):
        sizes = rng.integers(20, 101, size=6).tolist()
        assert 0 < bound(sizes, 150) <= fewest(sizes)
    assert bound([100, 100, 60, 60, 60], 150) == 4  # no 60 goes with a 100; the plain sum says 3
    assert bound([80, 80, 80], 150) == 3  # the plain sum says 2


def test_assignment_marks_agree_with_enumeration() -> None:
    utility = TASKS["modified_qap"]._utility
    flow, distance, liking = np.random.default_rng(5).random((3, 5, 5))
    costs = [
        (flow * distance[list(p)][:, list(p)]).sum() - 0.5 * liking[range(5), list(p)].sum()
        for p in itertools.permutations(range(5))
    ]
    assert utility.mean_cost(flow, distance, liking) == pytest.approx(np.mean(costs))
    assert utility.strong_cost(flow, distance, liking) == pytest.approx(min(costs))


def test_a_cheaper_assignment_always_scores_higher() -> None:
    task = TASKS["modified_qap"]
    (instance,) = task.instances("search", SECRET, count=1)
    perms = [np.random.permutation(15).tolist() for _ in range(50)]
    cost = task._utility.cost
    ranked = sorted(perms, key=lambda perm: -cost(instance["inputs"], perm))
    scores = [task.score(instance, perm) for perm in ranked]
    assert all(a < b for a, b in itertools.pairwise(scores))
    assert 0.1 < float(np.mean(scores)) < 0.35  # random ones


def test_string_distances_follow_the_definition() -> None:
    distance = TASKS["str_grid_dist"]._utility.distance
    assert distance("A", "A") == 0
    assert distance("AB", "AA") == 2  # one mismatch, one change in the first
    assert distance("ABAB", "BABA") == 4 + 3 + 3


def test_formulas_are_three_distinct_variables_and_satisfiable() -> None:
    for instance in TASKS["three_sat"].instances("test", SECRET):
        formula = instance["inputs"]["formula"]
        assert all(len({abs(x) for x in clause}) == 3 for clause in formula)
        assert len(formula) % 4 == 0
        assert 0 not in itertools.chain(*formula)


# -------------------------------------------------------------------------------- shut holes


class AlwaysEqual:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class Text(str):
    pass


class Number(int):
    pass


def good_answer(name: str) -> tuple[Task, Instance, Any]:
    task = TASKS[name]
    (instance,) = task.instances("search", SECRET, count=1)
    return task, instance, answer(task, entry_point(task), instance)


RUBBISH: list[Any] = [
    None,
    True,
    1,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "rubbish",
    [],
    {},
    {"inputs": 1},
    [[]],
    10**400,
    np.zeros(()),
    np.zeros((0,)),
    np.array([AlwaysEqual()] * 20, dtype=object),
    [AlwaysEqual()] * 20,
]


@pytest.mark.parametrize("rubbish", RUBBISH, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", [name for name in TASKS if name != "knapsack"])
def test_rubbish_is_invalid(name: str, rubbish: Any) -> None:
    task, instance, _ = good_answer(name)
    with pytest.raises(InvalidAnswer):
        task.score(instance, rubbish)


@pytest.mark.parametrize("name", [n for n in TASKS if n not in ("str_grid_dist", "knapsack")])
def test_wrong_shapes_and_values_are_invalid(name: str) -> None:
    task, instance, output = good_answer(name)
    flat = list(output)
    spoiled: list[Any] = [
        np.array(flat)[:, None],  # (n, 1) broadcasts against (n,)
        np.array(flat)[None, :],
        np.array(flat, dtype=object),
        [[item] for item in flat],
        [float("nan")] * len(flat),
        [float("inf")] * len(flat),
        np.full(len(flat), np.nan),
        [str(item) for item in flat],
        [Number(item) for item in flat],
        [2] * len(flat),
        flat[:3],
    ]
    for item in spoiled:
        if name == "bin_packing" and isinstance(item, list) and item[:2] == [2, 2]:
            continue  # all items in one bin: overfull, tested below
        with pytest.raises(InvalidAnswer):
            task.score(instance, item)


@pytest.mark.parametrize("name", ["parity_noise", "parity_noiseless", "maxcut"])
def test_one_answer_too_many_is_invalid(name: str) -> None:
    task, instance, output = good_answer(name)
    with pytest.raises(InvalidAnswer):
        task.score(instance, [*output, 0])


@pytest.mark.parametrize("name", ["modified_qap", "tsp"])
def test_a_permutation_is_each_index_once(name: str) -> None:
    task, instance, output = good_answer(name)
    tour = list(output)
    for spoiled in ([*tour[:-1], tour[0]], tour[:-1], [*tour, 0], [-1, *tour[1:]], [0] * len(tour)):
        with pytest.raises(InvalidAnswer):
            task.score(instance, spoiled)
    with pytest.raises(InvalidAnswer):
        task.score(instance, [float(i) for i in tour])
    assert task.score(instance, np.array(tour)) == task.score(instance, tuple(tour))


def test_knapsack_refuses_what_is_no_packing() -> None:
    task, instance, output = good_answer("knapsack")
    everything = list(range(len(instance["inputs"]["weights"])))
    for spoiled in (
        everything,  # overweight
        [0, 0],
        [-1],
        [len(everything)],
        [True],
        [0.0],
        ["0"],
        {0: 1},
        None,
        np.array([[0]]),
        [Number(0)],
    ):
        with pytest.raises(InvalidAnswer):
            task.score(instance, spoiled)
    assert task.score(instance, []) == 0.0
    assert task.score(instance, np.array(output)) == task.score(instance, output)


def test_string_subclasses_are_invalid() -> None:
    task, instance, output = good_answer("str_grid_dist")
    for spoiled in (Text(output), output + "A", output[:-1], output.lower(), list(output)):
        with pytest.raises(InvalidAnswer):
            task.score(instance, spoiled)


def test_sat_assignment_judges_the_variables_that_occur() -> None:
    task = TASKS["three_sat"]
    instance = {"inputs": {"formula": [[1, -2, 4]]}}
    assert task.score(instance, [None, 1, 0, "unused", 0]) == 1.0
    assert task.score(instance, np.array([False, False, True, False, False])) == 0.0
    assert task.score(instance, (0, 0, 0, 0, 1, 1, 1)) == 1.0  # longer does no harm
    for spoiled in ([0, 1, 0, 0], [0, 2, 0, 0, 0], [0, -1, 1, 1, -1], [0, None, 0, 0, 0]):
        with pytest.raises(InvalidAnswer):
            task.score(instance, spoiled)


def test_cut_sides_may_be_0_1_or_minus_1_1_but_not_mixed() -> None:
    task, instance, output = good_answer("maxcut")
    signs = [2 * side - 1 for side in output]
    assert task.score(instance, signs) == task.score(instance, np.array(output, dtype=bool))
    with pytest.raises(InvalidAnswer):
        task.score(instance, [-1, 0, *signs[2:]])


def test_changing_the_arguments_does_not_change_the_judge() -> None:
    """A guest holds copies only; here: what it did to its copy reaches no score."""
    task = TASKS["three_sat"]

    def empties_the_formula(formula: list[Any]) -> list[int]:
        n = max(abs(x) for clause in formula for x in clause)
        formula.clear()
        return [0] * (n + 1)

    assert mean_score("three_sat", empties_the_formula) < 0.2
    assert all(i["inputs"]["formula"] for i in task.instances("search", SECRET))


@pytest.mark.parametrize("name", TASKS)
def test_the_same_answer_scores_the_same_whatever_the_time(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, instance, output = good_answer(name)
    before = task.score(instance, output)
    monkeypatch.setattr("time.time", lambda: 1e12)
    monkeypatch.setattr("time.perf_counter", lambda: 1e12)
    assert task.score(instance, output) == before
    assert not any("import time" in file.read_text() for file in task.folder.glob("*.py"))


@pytest.mark.parametrize(
    "bad", [[], [float("nan")], [float("inf")], ["1"], [[1.0]], None, [1, 2], [10**400], "x"]
)
def test_bad_priorities_are_invalid(bad: Any) -> None:
    task = TASKS["bin_packing"]
    (instance,) = task.instances("search", SECRET, count=1)
    game = task.play(instance)
    next(game)
    with pytest.raises(InvalidAnswer):
        game.send(bad)


def test_the_packer_never_sees_the_future() -> None:
    task = TASKS["bin_packing"]
    (instance,) = task.instances("search", SECRET, count=1)
    game = task.play(instance)
    item, bins = next(game)
    assert (item, bins.tolist()) == (instance["sizes"][0], [150])
    second, bins = game.send([0.0])
    assert second == instance["sizes"][1]
    assert len(bins) <= 2
    assert bins[-1] == 150


def test_overfull_bins_are_invalid() -> None:
    task, instance, output = good_answer("bin_packing")
    for spoiled in ([0] * len(output), output[:-1], [str(b) for b in output]):
        with pytest.raises(InvalidAnswer):
            task.score(instance, spoiled)


# ------------------------------------------------------------------------------- properties


def fingerprint(instances: list[Instance]) -> str:
    return json.dumps(instances, default=lambda value: np.asarray(value).tolist())


@pytest.mark.parametrize("name", TASKS)
def test_instances_depend_on_secret_split_and_repetition_only(name: str) -> None:
    task = TASKS[name]
    variants = [(split, SECRET, 0) for split in SPLITS]
    variants += [("search", b"another", 0), ("search", SECRET, 1)]
    made = [fingerprint(task.instances(*variant, count=2)) for variant in variants]
    assert len(set(made)) == len(made)
    assert fingerprint(task.instances("search", SECRET, 0, count=2)) == made[0]
    (first,) = task.instances("search", SECRET, count=1)
    assert fingerprint([first])[1:-1] in made[0]  # asking for fewer gives the same ones


META = {name: task.instances("meta", SECRET, count=1)[0] for name, task in TASKS.items()}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("AB01x", max_size=30),
    lambda inner: (
        st.lists(inner, max_size=25)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4)
    ),
    max_leaves=40,
)
arrays = hnp.arrays(
    st.sampled_from([np.bool_, np.int64, np.float64, np.uint8]), hnp.array_shapes(max_side=25)
)
near_misses = st.integers(1, 120).flatmap(
    lambda n: (
        st.permutations(range(n))
        | st.lists(st.integers(-1, 1), min_size=n, max_size=n)
        | st.lists(st.booleans(), min_size=n, max_size=n)
    )
)


@pytest.mark.parametrize("name", TASKS)
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(output=anything | arrays | near_misses)
def test_no_output_leaves_the_range_or_crashes_the_host(name: str, output: Any) -> None:
    task = TASKS[name]
    low, high = task.score_range
    instance = META[name]
    try:
        value = task.score(instance, output)
    except InvalidAnswer as reason:
        assert 0 < len(str(reason)) <= 500
    else:
        assert type(value) is float
        assert low <= value <= high
