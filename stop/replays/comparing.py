"""Then and now: what two stores and two logs say of the same run."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, TypeVar

from stop._util.sheet import plural
from stop.engine.session import Session
from stop.events import Level
from stop.lm.base import LMRequest
from stop.replays.differences import Difference
from stop.replays.recording import Event, Miss, Recording, common_start, security_events
from stop.store import ImproverRunRecord
from stop.store.comparisons import STAGES, comparisons
from stop.store.recorded import EvaluationRecord, evaluation_records
from stop.store.samples import Samples
from stop.tasks.task import Task

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

_ADDRESS = re.compile(r"0x[0-9a-f]{5,}")
_NEAR = 0.8
"""Of a time limit: from this share on, another run of the same program may pass it."""
_MOST_TOLD = 3
_LINE = 100
_ROUND = ("improver_id", "parent_id", "meta_utility", "selection_difference", "accepted", "status")
_COMPARISON = ("new_id", "old_id", "repetitions", "difference", "p", "decision")
_SAMPLE = ("program_id", "status", "level", "paper_rule", "cut_off")


def compare(
    recording: Recording, session: Session, ended: str
) -> tuple[list[Difference], dict[str, int]]:
    """(differences, numbers of things compared)."""
    comparison = _Comparison(recording, session)
    found = list(comparison.differences())
    if ended and recording.done and not found:
        found.append(Difference("missing", f"the repetition ended early: {ended}"))
    return sorted(found, key=lambda each: each.follows), comparison.counts


class _Comparison:
    """Compares a recording with the session that repeated it.

    Attributes:
        counts: how many of each thing were there then and now.
    """

    def __init__(self, recording: Recording, session: Session) -> None:
        self._recording = recording
        self._session = session
        self._now = session.store
        self.counts: dict[str, int] = {}

    def differences(self) -> Iterator[Difference]:
        """Everything that is not as it was."""
        yield from self._improver_runs()
        yield from self._evaluations()
        yield from self._events()
        yield from self._rounds()
        yield from self._comparisons()
        yield from self._responses()
        yield from self._samples()

    def _pairs(
        self, what: str, then: Mapping[K, R], now: Mapping[K, R]
    ) -> Iterator[tuple[K, R, R | None]]:
        """Everything that was there then, with what is there now; counts those that are."""
        self.counts[what] = len(then.keys() & now.keys())
        for key, record in then.items():
            yield key, record, now.get(key)

    # --- improver runs

    def _improver_runs(self) -> Iterator[Difference]:
        misses: dict[str, list[Miss]] = defaultdict(list)
        for miss in self._recording.misses:
            misses[miss.improver_run].append(miss)
        runs = self._now.improver_runs()
        ended = {(r.key, r.improver_id, r.initial_id): r for r in runs if r.status != "running"}
        others = {key: improver for key, improver, _ in ended}
        then = {
            (r.key, r.improver_id, r.initial_id): r
            for r in self._recording.runs.values()
            if self._recording.finished(r.key)
        }
        for (key, improver, _), record, now in self._pairs("improver_runs", then, ended):
            if now is not None:
                yield from self._one(record, now, misses[key])
                continue
            text = "it did not come about"
            if key in others:
                text = f"it was of {improver[:10]}, is of {others[key][:10]}"
            yield Difference("missing", text, improver, key, follows=True)

    def _one(
        self, then: ImproverRunRecord, now: ImproverRunRecord, misses: list[Miss]
    ) -> Iterator[Difference]:
        """What an improver did in the same place, from causes to consequences."""
        about: Any = {"improver_id": then.improver_id, "improver_run": then.key}
        key = then.key
        calls = _calls(self._recording.store.utility_calls(key), self._now.utility_calls(key))
        about["follows"] = calls is not None and calls[0] == "utility"
        for miss in misses[:_MOST_TOLD]:
            yield Difference("request", _request(miss), **about)
        if calls is not None:
            yield Difference(*calls, **about)
        if (then.status, then.result_id) != (now.status, now.result_id):
            text = f"{_outcome(then)} became {_outcome(now)}"
            if now.status != then.status and now.detail:
                text += f": {now.detail[:_LINE]}"
            yield Difference("result", text, **about)

    # --- scores, rounds, samples

    def _evaluations(self) -> Iterator[Difference]:
        tasks = {task.name: task for task in self._session.all_tasks}
        then, now = self._recording.evaluations, evaluation_records(self._now)
        for place, record, other in self._pairs("evaluations", then, now):
            program, task, split, repetition = place
            where = f"{task}, {split}, repetition {repetition}"
            if other is None:
                text = f"{where}: it was scored and is not any more"
                yield Difference("missing", text, program_id=program, follows=True)
            elif text := _scores(record, other, tasks[task]):
                yield Difference("score", f"{where}: {text}", program_id=program)

    def _rounds(self) -> Iterator[Difference]:
        then, now = (
            {record.round: record for record in store.rounds()}
            for store in (self._recording.store, self._now)
        )
        alone = True  # the first round that differs may do so by itself
        for number, record, other in self._pairs("rounds", then, now):
            if other is None:
                yield Difference("round", f"round {number} did not come about", follows=True)
            elif changes := _changes(record, other, _ROUND):
                text = f"round {number}: {'; '.join(changes)}"
                yield Difference("round", text, follows=not alone)
                alone = False

    def _comparisons(self) -> Iterator[Difference]:
        """What was compared on fresh cells; it follows from improver runs and rounds."""
        then, now = (
            {(c.stage, c.number): c for stage in STAGES for c in comparisons(store, stage).values()}
            for store in (self._recording.store, self._now)
        )
        for place, record, other in self._pairs("comparisons", then, now):
            where = "{} {}".format(*place)
            if other is None:
                text = f"{where} did not come about"
                yield Difference("comparison", text, follows=True)
            elif changes := _changes(record, other, _COMPARISON):
                text = f"{where}: {'; '.join(changes)}"
                yield Difference("comparison", text, follows=True)

    def _samples(self) -> Iterator[Difference]:
        then, now = (
            {(sample.cell, sample.number): sample for sample in Samples(store).all()}
            for store in (self._recording.store, self._now)
        )
        if not then:
            return
        for (cell, number), sample, other in self._pairs("samples", then, now):
            where = f"sample {number} of {cell}"
            if other is None:
                yield Difference("sample", f"{where} did not come about", follows=True)
            elif changes := _changes(sample, other, _SAMPLE):
                text = f"{where}: {changes[0]}"
                yield Difference("sample", text, program_id=sample.program_id or "")

    # --- the log

    def _events(self) -> Iterator[Difference]:
        """In an improver run, or of a program's evaluations, in the order in which each source
        told.

        What a text shows is logged once per program, in whichever place came first.
        """
        recording = self._recording
        then = _grouped(security_events(recording.folder))
        now = _grouped(security_events(self._session.folder))
        executed = recording.executed()
        self.counts["events"] = sum(map(len, then.values()))
        for group in sorted(then.keys() | now.keys()):
            one, other = then.get(group, []), now.get(group, [])
            key, program, source = group
            if key and recording.finished(key) is None:
                continue  # it was cut off, or is not the run's
            if program not in executed and not recording.done:
                continue  # its text was looked at, then the run ended
            if one == other or (not key and set(one) == set(other)):
                continue
            gone, new = Counter(one) - Counter(other), Counter(other) - Counter(one)
            changes = [*(f"no more {_event(e)}" for e in gone), *(f"now {_event(e)}" for e in new)]
            text = "; ".join(changes[:_MOST_TOLD]) or "in another order"
            about = {"program_id": program}
            if key and recording.runs[key].improver_id == program:
                about = {"improver_id": program, "improver_run": key}
            both = program in executed and self._executed_now(program, key)
            yield Difference("events", f"told by {source}: {text}", **about, follows=not both)

    def _executed_now(self, program: str, key: str) -> bool:
        if key:
            run = self._now.improver_run(key)
            return run is not None and run.improver_id == program
        return self._now.was_given(program) or bool(self._now.evaluations(program))

    # --- responses

    def _responses(self) -> Iterator[Difference]:
        """Recorded responses that nobody asked for again, by the improver run that paid."""
        recording = self._recording
        rows = self._now.query("SELECT scope, request_key, n, occurrence FROM lm_calls")
        used = set(map(tuple, rows))
        unused: dict[str, list[LMRequest]] = defaultdict(list)
        self.counts["responses"] = 0
        for record in recording.records:
            if record.key in used:
                self.counts["responses"] += record.request.n
            else:
                unused[record.improver_run].append(record.request)
        for key, requests in unused.items():
            run = recording.finished(key)
            if run is None and not (recording.done and key not in recording.runs):
                continue  # it was cut off: what it would have asked next is not known
            improver = run.improver_id if run else ""
            now = self._now.improver_run(key)
            reached = run is None or (now is not None and now.improver_id == improver)
            first = _shown(requests[0].message)
            text = f"did not ask {plural(len(requests), 'recorded request')} any more: {first}"
            yield Difference("unused", text, improver, key, follows=not reached)


# --- in words


def _outcome(record: ImproverRunRecord) -> str:
    return f"{record.status} {record.result_id[:10]}" if record.result_id else record.status


def _calls(then: list[Any], now: list[Any]) -> tuple[Any, str] | None:
    """(kind, text) of the first utility call that differs; the order of equal ones is free."""
    if Counter(then) == Counter(now):
        return None
    for number, (one, other) in enumerate(zip(then, now, strict=False), 1):
        if one == other:
            continue
        if one[0] == other[0]:
            text = f"call {number}: {one[1]:.6g} ({one[2]}) became {other[1]:.6g} ({other[2]})"
            return "utility", f"its utility gave other scores; {text}"
        names = ((each[0] or "no program")[:10] for each in (one, other))
        return "calls", "had other programs scored; call {}: {}, now {}".format(number, *names)
    return "calls", f"had {len(then)} programs scored, now {len(now)}"


def _request(miss: Miss) -> str:
    """What an improver asked, against what it is on record to have asked."""
    request, near = miss.request, miss.nearest
    head = "asked something else"
    if miss.asked_before:
        return f"asked the same once more than the {plural(miss.asked_before, 'time')} on the tape"
    if near is None:
        return f"asked where nothing is recorded: {_shown(request.message)}"
    if request.system != near.system:
        return f"{head}; expertise {_first_difference(near.system, request.system)}"
    if request.message != near.message:
        return f"{head}; message {_first_difference(near.message, request.message)}"
    settings = _changes(near, request, ("n", "temperature", "max_tokens"))
    # The same prompt with the same settings was answered in another place, or is gone.
    return f"{head}; {', '.join(settings) or 'these responses are not on the tape any more'}"


def _first_difference(then: str, now: str) -> str:
    at = common_start(then, now)
    number = then.count("\n", 0, at) + 1
    start = then.rfind("\n", 0, at) + 1
    was, is_ = (text[start:].partition("\n")[0] for text in (then, now))
    # A long line is shown from a little before the place where it differs.
    skip = max(0, at - start - _LINE // 2)
    return f"line {number} was {_shown(was[skip:])}, is {_shown(is_[skip:])}"


def _shown(text: str) -> str:
    line = text.strip("\n").partition("\n")[0]
    return repr(line[:_LINE] + ("…" if len(line) > _LINE else ""))


def _scores(then: EvaluationRecord, now: EvaluationRecord, task: Task) -> str:
    """What differs, or ""."""
    pairs = list(zip(then.instances, now.instances, strict=False))
    other = [i for i, (a, b) in enumerate(pairs) if a[:2] != b[:2]]
    if len(then.instances) != len(now.instances):
        return f"{len(then.instances)} instances became {len(now.instances)}"
    if not other:
        if (then.score, then.status) == (now.score, now.status):
            return ""
        was, is_ = (f"{each.score:.6g} ({each.status})" for each in (then, now))
        return f"{was} became {is_}, although each instance has the same score"
    was, is_ = (f"{s:.6g} ({status}, {cpu:.3f} CPU seconds)" for s, status, cpu in pairs[other[0]])
    text = f"{then.score:.6g} became {now.score:.6g}; instance {other[0]} was {was}, is {is_}"
    if len(other) > 1:
        text += f"; {len(other)} of {len(pairs)} instances differ"
    limit = task.limits.cpu_seconds
    seen = [each for i in other for each in pairs[i]]
    if any(status == "timeout" or cpu > _NEAR * limit for _, status, cpu in seen):
        text += f" (near the limit of {limit:g} CPU seconds)"
    return text


def _grouped(events: list[Event]) -> dict[tuple[str, str, str], list[tuple[int, str, str]]]:
    groups: dict[tuple[str, str, str], list[tuple[int, str, str]]] = defaultdict(list)
    for key, level, source, program, kind, detail in events:
        once = level <= Level.INTENT
        body = (level, kind, _ADDRESS.sub("0x…", detail))
        groups["" if once else key, program, source].append(body)
    return {group: sorted(bodies) if not group[0] else bodies for group, bodies in groups.items()}


def _event(body: tuple[int, str, str]) -> str:
    level, kind, detail = body
    return f"{kind} (level {level}): {detail[:_LINE]}"


def _changes(then: object, now: object, names: tuple[str, ...]) -> list[str]:
    """The fields of these that are not as they were, in words."""
    return [
        f"{name.removesuffix('_id').replace('_', '-')} was {_plain(a)}, is {_plain(b)}"
        for name in names
        if (a := getattr(then, name)) != (b := getattr(now, name))
    ]


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value[:10] if isinstance(value, str) else str(value)
