"""Then and now: what two stores and two logs say of the same run."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from stop.engine.session import Session
from stop.events import Level
from stop.lm.base import LMRequest
from stop.replays.differences import Difference
from stop.replays.recording import Event, Miss, Recording, common_start, security_events
from stop.store import ImproverRunRecord
from stop.store.recorded import EvaluationRecord, evaluation_records
from stop.store.samples import Samples
from stop.tasks.task import Task

_ADDRESS = re.compile(r"0x[0-9a-f]{5,}")
_NEAR = 0.8
"""Of a time limit: from this share on, another run of the same program may pass it."""
_MOST_TOLD = 3
_LINE = 100


def compare(
    recording: Recording, session: Session, ended: str
) -> tuple[list[Difference], dict[str, int]]:
    """(differences, numbers of things compared)."""
    counts: dict[str, int] = {}
    found = [
        *_improver_runs(recording, session, counts),
        *_evaluations(recording, session, counts),
        *_events(recording, session, counts),
        *_rounds(recording, session, counts),
        *_responses(recording, session, counts),
        *_samples(recording, session, counts),
    ]
    if ended and recording.done and not found:
        found.append(Difference("missing", f"the repetition ended early: {ended}"))
    return sorted(found, key=lambda each: each.follows), counts


# --- improver runs


def _improver_runs(
    recording: Recording, session: Session, counts: dict[str, int]
) -> Iterable[Difference]:
    misses: dict[str, list[Miss]] = defaultdict(list)
    for miss in recording.misses:
        misses[miss.improver_run].append(miss)
    counts["improver_runs"] = 0
    for then in recording.runs.values():
        if recording.finished(then.key) is None:
            continue
        now = session.store.improver_run(then.key)
        about = {"improver_id": then.improver_id, "improver_run": then.key}
        if now is None or now.status == "running":
            yield Difference("missing", "it did not come about", **about, follows=True)
        elif (then.improver_id, then.initial_id) != (now.improver_id, now.initial_id):
            text = f"it was of {then.improver_id[:10]}, is of {now.improver_id[:10]}"
            yield Difference("missing", text, **about, follows=True)
        else:
            counts["improver_runs"] += 1
            yield from _one(recording, session, then, now, misses[then.key])


def _one(
    recording: Recording,
    session: Session,
    then: ImproverRunRecord,
    now: ImproverRunRecord,
    misses: list[Miss],
) -> Iterable[Difference]:
    """What an improver did in the same place, from causes to consequences."""
    about = {"improver_id": then.improver_id, "improver_run": then.key}
    calls = _calls(recording.store.utility_calls(then.key), session.store.utility_calls(then.key))
    met_others = calls is not None and calls[0] == "utility"
    for miss in misses[:_MOST_TOLD]:
        yield Difference("request", _request(miss), **about, follows=met_others)
    if calls is not None:
        kind, text = calls
        yield Difference(kind, text, **about, follows=met_others)
    if (then.status, then.result_id) != (now.status, now.result_id):
        text = f"{_outcome(then)} became {_outcome(now)}"
        if now.status != then.status and now.detail:
            text += f": {now.detail[:_LINE]}"
        yield Difference("result", text, **about, follows=met_others)


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
        return f"asked the same once more than the {miss.asked_before} time(s) on the tape"
    if near is None:
        return f"asked where nothing is recorded: {_shown(request.message)}"
    if request.system != near.system:
        return f"{head}; expertise {_first_difference(near.system, request.system)}"
    if request.message != near.message:
        return f"{head}; message {_first_difference(near.message, request.message)}"
    settings = [
        f"{name} was {getattr(near, name)}, is {getattr(request, name)}"
        for name in ("n", "temperature", "max_tokens")
        if getattr(near, name) != getattr(request, name)
    ]
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


# --- scores


def _evaluations(
    recording: Recording, session: Session, counts: dict[str, int]
) -> Iterable[Difference]:
    now = evaluation_records(session.store)
    tasks = {task.name: task for task in session.tasks}
    counts["evaluations"] = 0
    for place, record in recording.evaluations().items():
        program, task, split, repetition = place
        where = f"{task}, {split}, repetition {repetition}"
        other = now.get(place)
        if other is None:
            text = f"{where}: it was scored and is not any more"
            yield Difference("missing", text, program_id=program, follows=True)
            continue
        counts["evaluations"] += 1
        text = _scores(record, other, tasks[task])
        if text:
            yield Difference("score", f"{where}: {text}", program_id=program)


def _scores(then: EvaluationRecord, now: EvaluationRecord, task: Task) -> str:
    """What differs, or ""."""
    pairs = list(zip(then.instances, now.instances, strict=False))
    other = [i for i, (a, b) in enumerate(pairs) if a[:2] != b[:2]]
    if len(then.instances) != len(now.instances):
        return f"{len(then.instances)} instances became {len(now.instances)}"
    if not other:
        if (then.score, then.status) == (now.score, now.status):
            return ""
        return f"{then.score:.6g} ({then.status}) became {now.score:.6g} ({now.status}), " \
               "although each instance has the same score"  # fmt: skip
    a, b = pairs[other[0]]
    text = f"{then.score:.6g} became {now.score:.6g}; instance {other[0]} was {_instance(a)}, " \
           f"is {_instance(b)}"  # fmt: skip
    if len(other) > 1:
        text += f"; {len(other)} of {len(pairs)} instances differ"
    limit = task.limits.cpu_seconds
    if any("timeout" in (a[1], b[1]) or max(a[2], b[2]) > _NEAR * limit for a, b in
           (pairs[i] for i in other)):  # fmt: skip
        text += f" (near the limit of {limit:g} CPU seconds)"
    return text


def _instance(one: tuple[float, str, float]) -> str:
    return f"{one[0]:.6g} ({one[1]}, {one[2]:.3f} CPU seconds)"


# --- the log


def _events(recording: Recording, session: Session, counts: dict[str, int]) -> Iterable[Difference]:
    """In an improver run, or of a program's evaluations, in the order in which each source told.

    What a text shows is logged once per program, in whichever place came first.
    """
    then = _grouped(security_events(recording.folder))
    now = _grouped(security_events(session.folder))
    executed = recording.executed()
    counts["events"] = sum(map(len, then.values()))
    for group in sorted(then.keys() | now.keys()):
        one, other = then.get(group, []), now.get(group, [])
        key, program, source = group
        record = recording.runs.get(key)
        if key and (record is None or recording.finished(key) is None):
            continue  # it was cut off, or is not the run's
        if program not in executed and not recording.done:
            continue  # its text was looked at, then the run ended
        if one == other or (not key and sorted(set(one)) == sorted(set(other))):
            continue
        gone, new = Counter(one) - Counter(other), Counter(other) - Counter(one)
        changes = [*(f"no more {_event(e)}" for e in gone), *(f"now {_event(e)}" for e in new)]
        text = "; ".join(changes[:_MOST_TOLD]) or "in another order"
        if record is not None and record.improver_id == program:
            about = {"improver_id": program, "improver_run": key}
        else:
            about = {"program_id": program}
        both = program in executed and _executed_now(session, program, key)
        yield Difference("events", f"told by {source}: {text}", **about, follows=not both)


def _executed_now(session: Session, program: str, key: str) -> bool:
    if key:
        run = session.store.improver_run(key)
        return run is not None and run.improver_id == program
    return session.store.was_given(program) or bool(session.store.evaluations(program))


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


# --- rounds, responses, samples


def _rounds(recording: Recording, session: Session, counts: dict[str, int]) -> Iterable[Difference]:
    now = {record.round: record for record in session.store.rounds()}
    records = recording.store.rounds()
    counts["rounds"] = 0
    alone = True  # the first round that differs may do so by itself
    for then in records:
        other = now.get(then.round)
        if other is None:
            yield Difference("round", f"round {then.round} did not come about", follows=True)
            continue
        counts["rounds"] += 1
        changes = [
            f"{name.removesuffix('_id').replace('_', '-')} was {_plain(a)}, is {_plain(b)}"
            for name in _ROUND
            if (a := getattr(then, name)) != (b := getattr(other, name))
        ]
        if changes:
            text = f"round {then.round}: {'; '.join(changes)}"
            yield Difference("round", text, follows=not alone)
            alone = False


_ROUND = ("improver_id", "parent_id", "meta_utility", "difference", "accepted", "status")


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value[:10] if isinstance(value, str) else str(value)


def _responses(
    recording: Recording, session: Session, counts: dict[str, int]
) -> Iterable[Difference]:
    """Recorded responses that nobody asked for again, by the improver run that paid."""
    used = {
        (row["scope"], row["request_key"], row["n"], row["occurrence"])
        for row in session.store.query("SELECT scope, request_key, n, occurrence FROM lm_calls")
    }
    unused: dict[str, list[LMRequest]] = defaultdict(list)
    counts["responses"] = 0
    for record in recording.records:
        if record.key in used:
            counts["responses"] += record.request.n
        else:
            unused[record.improver_run].append(record.request)
    for key, requests in unused.items():
        run = recording.finished(key)
        if run is None and not (recording.done and key not in recording.runs):
            continue  # it was cut off: what it would have asked next is not known
        now = session.store.improver_run(key)
        reached = run is None or (now is not None and now.improver_id == run.improver_id)
        text = f"did not ask {len(requests)} recorded request(s) any more: " \
               f"{_shown(requests[0].message)}"  # fmt: skip
        identity = run.improver_id if run else ""
        yield Difference("unused", text, identity, key, follows=not reached)


def _samples(
    recording: Recording, session: Session, counts: dict[str, int]
) -> Iterable[Difference]:
    recorded = list(Samples(recording.store).all())
    if not recorded:
        return
    now = {(s.cell, s.number): s for s in Samples(session.store).all()}
    counts["samples"] = 0
    for then in recorded:
        other = now.get((then.cell, then.number))
        where = f"sample {then.number} of {then.cell}"
        if other is None:
            yield Difference("sample", f"{where} did not come about", follows=True)
            continue
        counts["samples"] += 1
        for name in ("program_id", "status", "level", "paper_rule", "cut_off"):
            a, b = getattr(then, name), getattr(other, name)
            if a != b:
                text = f"{where}: {name} was {_plain(a)}, is {_plain(b)}"
                yield Difference("sample", text, program_id=then.program_id or "")
                break
