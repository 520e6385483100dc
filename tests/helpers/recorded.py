"""What a run on disk holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stop.store import ImproverRunRecord, Store
from stop.store.payments import Payments


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    """The store of a run, to read only."""
    store = Store(folder / "run.db", read_only=True)
    try:
        yield store
    finally:
        store.close()


def outcome(folder: Path) -> tuple:
    """Return everything of a run that must not depend on interruptions."""
    with opened(folder) as store:
        rounds = [(r.round, r.improver_id, r.meta_utility, r.accepted) for r in store.rounds()]
        runs = sorted(
            (r.key, r.result_id, r.status, r.utility_calls) for r in store.improver_runs()
        )
        calls = sorted(map(tuple, store.query("SELECT n, message FROM lm_calls")))
        scores = sorted(
            (e.program_id, e.task, e.split, e.score)
            for r in store.improver_runs()
            if r.result_id
            for e in store.evaluations(r.result_id)
        )
        return rounds, runs, calls, scores


def used(folder: Path) -> int:
    """Return the number of responses that a run has recorded."""
    with opened(folder) as store:
        return store.spending().responses


def lost(folder: Path) -> int:
    """Return the number of responses that may have been paid for and never arrived."""
    with opened(folder) as store:
        return Payments(store).lost().responses


def start_improver_run(store: Store, key: str) -> None:
    """Record that an improver run of this key has begun."""
    identity = store.add_program("x", "improver")
    store.start_improver_run(
        ImproverRunRecord(
            key=key, level="task", round=None, task="t", repetition=0, improver_id=identity,
            initial_id=identity, result_id=None, status="running", detail="", utility_calls=0,
            cpu_seconds=0.0, stdout="", stderr="", started=0.0, finished=None,
        )
    )  # fmt: skip
