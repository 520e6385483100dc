"""What a run recorded, read from a copy of its store: nothing in its folder is touched."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stop._util.snapshot import copy_store
from stop.audit import log as audit_log
from stop.engine.evaluator import evaluation_key
from stop.engine.improver_run import Application
from stop.errors import BudgetExceeded, RunError, StopError
from stop.lm.base import LMRequest
from stop.lm.recorded import Record, read_records
from stop.store import ImproverRunRecord, Store
from stop.store.recorded import evaluation_records
from stop.tasks.task import Task

UNFINISHED = ("running", "budget")
"""Statuses of improver runs that did not come to an end of their own."""

Event = tuple[str, int, str, str, str, str]
"""(improver run, level, source, program id, kind, detail) of a security event."""


class EndOfRecording(StopError):
    """The run did not come further than this."""


@dataclass(frozen=True, slots=True)
class Miss:
    """A request that is not on the tape, with the recorded one that is most like it, if any."""

    improver_run: str
    request: LMRequest
    asked_before: int
    nearest: LMRequest | None


@contextmanager
def open_recording(folder: Path) -> Iterator[Recording]:
    """A run as it was, read from a copy that is there within the block.

    Raises:
        RunError: there is no run, a process is at work on it, or its secret is gone.
    """
    with (
        TemporaryDirectory(prefix="stop-recording-") as place,
        Store(copy_store(folder, Path(place)), read_only=True) as store,
    ):
        yield Recording(folder, store)


class Recording:
    """A run as it was, see `open_recording`.

    Attributes:
        runs: its improver runs by key.
        evaluations: its evaluations by what was scored.
        done: whether the run came to its end.
        misses: what was asked again and is not on the tape.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder
        self.store = store
        try:
            self.secret = (folder / "secret").read_bytes()
        except OSError as error:
            raise RunError(
                f"{folder} has no secret any more: its instances cannot be made again"
            ) from error
        self.done = store.meta("status") == "done"
        self.runs = {record.key: record for record in store.improver_runs()}
        self.evaluations = evaluation_records(store)
        self.records = read_records(folder)
        self.misses: list[Miss] = []
        self._places = {(r.request_key, r.request.n, r.request.seed): r for r in self.records}
        self._budget_rounds = {r.round for r in store.rounds() if r.status == "budget"}

    def finished(self, key: str) -> ImproverRunRecord | None:
        """An improver run that came to its end."""
        record = self.runs.get(key)
        return None if record is None or record.status in UNFINISHED else record

    def check(self, what: Application, round_: int | None) -> None:
        """Whether this improver run is to be executed again, in this round.

        Raises:
            BudgetExceeded: the round had used up its budget when it came to this.
            EndOfRecording: the run ended before this was done.
        """
        if self.finished(what.key) is not None:
            return
        if round_ in self._budget_rounds:
            level = f"round {round_}"
            raise BudgetExceeded(f"{level} ended here by its budget", resource="", level=level)
        if not self.done:
            raise EndOfRecording(f"the recording ends in {what.key}")

    def find(self, request: LMRequest) -> Record | None:
        """The recorded response in the same place: the sampling seed names it."""
        return self._places.get((request.key, request.n, request.seed))

    def miss(self, what: Application, request: LMRequest) -> None:
        """Note that a request is not on the tape."""
        scope = [r for r in self.records if r.scope == what.scope]
        same = [r for r in scope if r.request_key == request.key and r.request.n == request.n]
        own = [r.request for r in scope if r.improver_run == what.key] or [r.request for r in scope]
        nearest = max(own[:_MOST_COMPARED], key=lambda r: _likeness(r, request), default=None)
        self.misses.append(Miss(what.key, request, len(same), nearest))

    def executed(self) -> set[str]:
        """Programs with an improver run or an evaluation that came to its end."""
        finished = {r.improver_id for r in self.runs.values() if r.status not in UNFINISHED}
        return finished | {place[0] for place in self.evaluations}

    def changed_tasks(self, tasks: Sequence[Task]) -> list[str]:
        """Tasks whose files are not what the recorded scores came from."""
        digests = {task.name: task.digest for task in tasks}
        changed = set()
        for (program, name, split, repetition), record in self.evaluations.items():
            place: Any = {"split": split, "repetition": repetition, "isolation": record.isolation}
            if name in digests:
                key = evaluation_key(self.secret, program, digests[name], **place)
                if not hmac.compare_digest(key, record.key):
                    changed.add(name)
        return sorted(changed)


_MOST_COMPARED = 50


def _likeness(one: LMRequest, other: LMRequest) -> tuple[bool, int]:
    """Same expertise, then how far the messages agree."""
    return one.system == other.system, common_start(one.message, other.message)


def common_start(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    low, high = 0, min(len(one), len(other))
    while low < high:  # by halves: slices are compared at the speed of memory
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def security_events(folder: Path) -> list[Event]:
    """The bodies of a run's security events, in the order of its log."""
    path = folder / "audit.jsonl"
    lines = audit_log.read(path, "security") if path.exists() else ()
    return [
        (e["improver_run"], e["level"], e["source"], e["program_id"], e["event"], e["detail"])
        for e in lines
    ]
