"""Runs to analyse, made once for all tests of this folder: scripted models, the real sandbox."""

from __future__ import annotations

import json

import pytest

import stop
from stop.programs import Program
from tests.helpers.programs import GREEDY, fenced

HERE = {"sandbox": "bubblewrap", "concurrency": 1}
RUN = HERE | {
    "tasks": ["knapsack", "bin_packing"], "repetitions": 2, "calls": 1, "responses": 1,
    "utility_calls": 3, "random_seed": 1,
    "confirm_repetitions": 5, "final_repetitions": 3, "alpha": 0.2,
}  # fmt: skip
TEMPLATE = """def improve_algorithm(initial_solution, utility, language_model):
    from helpers import extract_code
    is_improver = "improve_algorithm" in initial_solution
    answers = language_model.prompt("expert", "Improve:\\n" + initial_solution, 1)
    found = [code for code in extract_code(answers) if code]
    if is_improver:
        return found[0] if found else initial_solution
{rest}"""
LAZY = TEMPLATE.format(rest="    return initial_solution\n")
SAME = TEMPLATE.format(rest="    # still lazy\n    return initial_solution\n")
ASKS = TEMPLATE.format(rest="    return max([initial_solution, *found], key=utility)\n")
CACHED = TEMPLATE.format(
    rest="    known = {}\n    for code in [initial_solution, *found]:\n"
    "        if code not in known:\n            known[code] = utility(code)\n"
    "    return max(known, key=known.get)\n"
)
FLAGGED = TEMPLATE.format(
    rest="    best = max([initial_solution, *found], key=lambda p: utility(p, use_sandbox=False))\n"
    "    return best\n"
)
CANDIDATES = (SAME, ASKS, CACHED, FLAGGED)


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder for runs, with a secret of this machine's own."""
    folder = tmp_path_factory.mktemp("analysis")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOP_STATE_DIR", str(folder / "state"))
        yield folder


def replies(folder, name, *texts):
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(fenced(text)) + "\n" for text in texts), "utf-8")
    return f"scripted:{path}"


@pytest.fixture(scope="session")
def run(place):
    """Five improvers: a lazy one, one as lazy, one that asks (the gain), one that caches, one that
    wants no sandbox. The model has one answer to every task, which suits knapsack only."""
    done = stop.run(
        improver=Program(LAZY),
        rounds=4,
        lm=replies(place, "task", GREEDY),
        meta_lm=replies(place, "meta", *CANDIDATES),
        runs_dir=place / "runs",
        **RUN,
    )
    assert done.error is None
    return done


@pytest.fixture(scope="session")
def other_run(place, run):
    """One round, on the same instances."""
    done = stop.run(
        improver=Program(LAZY),
        rounds=1,
        lm=replies(place, "task2", GREEDY),
        meta_lm=replies(place, "meta2", CACHED),
        runs_dir=place / "runs",
        **RUN,
    )
    assert done.error is None
    return done


@pytest.fixture(scope="session")
def improved(place, run):
    """One task, one improver run."""
    return stop.open_run(
        stop.improve(
            task="knapsack", lm=replies(place, "one", GREEDY), calls=1, responses=1,
            runs_dir=place / "runs", **HERE,
        ).run
    )  # fmt: skip


@pytest.fixture(scope="session")
def bypass(place, run):
    """Four samples without, four with the warning; two want no sandbox."""
    from stop.improvers import load_improver

    flagged = load_improver("flagged").source
    switched = flagged.replace(
        "utility(program, use_sandbox=True))\n", "utility(program, use_sandbox=False))\n"
    )
    assert switched != flagged
    return stop.measure_bypass(
        lm=replies(place, "bypass", flagged, switched, flagged, switched),
        samples=4, responses=1, runs_dir=place / "runs", **HERE,
    )  # fmt: skip
