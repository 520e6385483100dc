"""The nesting: no deadlock at the smallest capacity, the same instances for all, nothing twice."""

from __future__ import annotations

import json

import pytest

import stop
from stop.store import Store
from tests.helpers.places import REPOSITORY
from tests.helpers.programs import GREEDY, UNCONFIRMED, fenced

pytestmark = pytest.mark.bubblewrap
SEED_IMPROVER = (REPOSITORY / "stop/improvers/seed.py").read_text()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run at concurrency 1 over two tasks, whose meta level tries three improvers."""
    folder = tmp_path_factory.mktemp("meta")
    others = [SEED_IMPROVER + f"# {i}\n" for i in range(3)]
    for name, replies in (("task", [GREEDY]), ("meta", others)):
        lines = [json.dumps(fenced(reply)) + "\n" for reply in replies]
        (folder / name).write_text("".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOP_STATE_DIR", str(folder / "state"))
        run = _run(folder)
    assert run.error is None
    return run


def _run(folder):
    return stop.run(
        tasks=["knapsack", "bin_packing"],
        rounds=1,
        repetitions=2,
        calls=1,
        responses=2,
        utility_calls=3,
        lm=f"scripted:{folder / 'task'}",
        concurrency=1,
        runs_dir=folder,
        random_seed=1,
        meta_lm=f"scripted:{folder / 'meta'}",
        sandbox="bubblewrap",
        **UNCONFIRMED,
    )


def test_outer_guests_never_starve_inner_ones(run):
    assert run.to_dict()["status"] == "done"


def test_every_improver_meets_the_same_instances_once(run):
    store = Store(run.folder / "run.db", read_only=True)
    runs = [r for r in store.improver_runs() if r.level == "task"]
    improvers = {r.improver_id for r in runs}
    places = {(r.task, r.repetition) for r in runs}
    assert len(places) == 4
    assert len(runs) == len(improvers) * len(places)
    # The seeds of the tasks were evaluated once for each place, whoever asked.
    seeds = [e for e in store.evaluations(runs[0].initial_id) if e.split == "search"]
    assert len(seeds) == 2
    store.close()


def test_the_meta_level_tried_what_the_lineage_shows(run):
    store = Store(run.folder / "run.db", read_only=True)
    calls = store.utility_calls("round/1")
    assert len(calls) == 3
    assert all(0 <= score <= 1 for _, score, _ in calls)
    store.close()


def test_no_secret_is_stored_or_shown(run):
    """Neither the run's secret nor an expected answer lies in the store or the log."""
    secret = (run.folder / "secret").read_bytes()
    for name in ("run.db", "audit.jsonl", "config.json"):
        data = (run.folder / name).read_bytes()
        assert secret not in data
        assert secret.hex().encode() not in data
    assert oct((run.folder / "secret").stat().st_mode & 0o777) == "0o600"
    assert json.loads((run.folder / "config.json").read_text())["random_seed"] == 1
