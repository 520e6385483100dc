"""What is recorded comes back as it was, whatever texts and numbers a guest or a server sends."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stop.budget import Spending
from stop.events import Level, SecurityEvent
from stop.lm.base import Choice, LMRequest, LMResponse, Usage
from stop.lm.faults import LMFault
from stop.lm.recorded import read_records
from stop.lm.tape import Place
from stop.programs import program_id
from stop.store import ImproverRunRecord, RoundRecord, Store
from stop.store.comparisons import (
    ComparisonRecord,
    comparisons,
    final_comparison,
    save_comparison,
)
from stop.store.faults import FaultCount, Faults
from stop.store.payments import Payments
from stop.store.records import SampleRecord
from stop.store.samples import RUN_KEY, Samples
from stop.store.tables import TABLES
from stop.tasks.evaluation import Evaluation, InstanceResult

texts = st.text(max_size=20)
numbers = st.floats(allow_nan=False)
amounts = st.floats(0, 1e9)
counts = st.integers(0, 2**40)
levels = st.sampled_from(Level)
statuses = st.sampled_from(["ok", "error", "timeout", "oom", "invalid", "syntax"])
ids = st.sampled_from([program_id(str(i)) for i in range(3)])

instances = st.builds(InstanceResult, numbers, statuses, amounts, texts)
events = st.builds(SecurityEvent, texts, levels, texts)
evaluations = st.builds(
    Evaluation, ids, texts, texts, numbers, statuses, texts, texts,
    st.lists(instances, max_size=3).map(tuple), st.lists(events, max_size=3).map(tuple),
    texts, texts,
)  # fmt: skip
improver_runs = st.builds(
    ImproverRunRecord, key=texts, level=st.sampled_from(["meta", "task"]),
    round=st.none() | counts, task=st.none() | texts, repetition=st.none() | counts,
    improver_id=ids, initial_id=ids, result_id=st.none() | ids, status=statuses, detail=texts,
    utility_calls=counts, cpu_seconds=amounts, stdout=texts, stderr=texts, started=amounts,
    finished=st.none() | amounts,
)  # fmt: skip
rounds = st.builds(
    RoundRecord, round=counts, improver_id=st.none() | ids, parent_id=st.none() | ids,
    meta_utility=st.none() | numbers, low=st.none() | numbers, high=st.none() | numbers,
    accepted=st.booleans(), status=statuses, detail=texts, finished=amounts,
    selection=st.none() | numbers, selection_difference=st.none() | numbers,
    candidates=st.none() | counts, confirmed=st.booleans(),
)  # fmt: skip
comparison_records = st.builds(
    ComparisonRecord, stage=st.sampled_from(["confirmation", "final", "holdout"]), number=counts,
    new_id=ids, old_id=ids, tasks=st.lists(texts, max_size=3).map(tuple), repetitions=counts,
    difference=st.none() | numbers, low=st.none() | numbers, high=st.none() | numbers,
    p=st.none() | numbers, alpha=st.none() | numbers, decision=texts,
    new_mean=st.none() | numbers, new_low=st.none() | numbers, new_high=st.none() | numbers,
    old_mean=st.none() | numbers, old_low=st.none() | numbers, old_high=st.none() | numbers,
    detail=texts, finished=amounts,
)  # fmt: skip
requests = st.builds(
    LMRequest, texts, texts, st.integers(1, 8), st.floats(0, 2), st.integers(1, 4096),
    st.none() | counts,
)  # fmt: skip
usages = st.builds(Usage, counts, counts, st.none() | amounts, st.booleans())


@st.composite
def asked(draw):
    """A request with a response."""
    request = draw(requests)
    choices = draw(
        st.lists(st.builds(Choice, texts, texts), min_size=request.n, max_size=request.n)
    )
    faults = tuple(draw(st.lists(texts, max_size=3)))
    response = LMResponse(tuple(choices), draw(usages), draw(texts), draw(counts), faults)
    return request, response


@st.composite
def samples(draw):
    findings = st.fixed_dictionaries({"rule": texts, "level": st.integers(0, 3), "line": counts})
    return SampleRecord(
        draw(texts), draw(counts), draw(st.none() | ids), draw(texts), draw(st.integers(0, 3)),
        draw(st.booleans()), draw(st.booleans()), draw(st.lists(findings, max_size=3)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with closing(Store(tmp_path_factory.mktemp("store") / "run.db")) as made:
        yield made


@pytest.fixture
def fresh(tmp_path):
    with closing(Store(tmp_path / "run.db")) as made:
        yield made


@pytest.fixture(scope="module")
def places():
    """Places on the tape, each new."""
    return itertools.count()


few = settings(max_examples=40, deadline=None)


@few
@given(evaluations, counts)
def test_evaluations(store, evaluation, repetition):
    """Of an event its source is not kept; its program is the evaluation's."""
    kept = tuple(replace(each, program_id=evaluation.program_id) for each in evaluation.events)
    wanted = replace(evaluation, events=kept)
    store.save_evaluation("key", evaluation, repetition)
    assert store.find_evaluation("key") == wanted
    assert store.evaluations(evaluation.program_id) == [wanted]
    (row,) = TABLES["evaluations"].rows(store)
    assert (row["repetition"], row["score"]) == (repetition, evaluation.score)
    assert len(list(TABLES["instances"].rows(store))) == len(evaluation.instances)


@few
@given(improver_runs)
def test_improver_runs(store, record):
    store.start_improver_run(record)
    assert store.improver_run(record.key) == record
    assert record in store.improver_runs(record.level)
    other = {"meta": "task", "task": "meta"}[record.level]
    assert record not in store.improver_runs(other)
    store.finish_improver_run(
        record.key, status="ok", detail=record.stdout, utility_calls=7, result_id=record.initial_id
    )
    ended = store.improver_run(record.key)
    assert ended.finished > 1e9
    assert ended == replace(
        record, status="ok", detail=record.stdout, utility_calls=7, result_id=record.initial_id,
        cpu_seconds=0.0, stdout="", stderr="", finished=ended.finished,
    )  # fmt: skip


@few
@given(rounds)
def test_rounds(store, record):
    store.save_round(record)
    assert record in store.rounds()
    known = record.low is not None and record.high is not None
    assert record.interval == ((record.low, record.high) if known else None)


@few
@given(comparison_records)
def test_comparisons(store, record):
    save_comparison(store, record)
    assert comparisons(store, record.stage)[record.number] == record
    assert final_comparison(store, record.new_id, record.old_id, record.stage) is not None
    assert final_comparison(store, record.old_id + "0", record.new_id, record.stage) is None


@few
@given(asked(), amounts)
def test_responses(store, places, exchange, started):
    """Also its cost, and that its request is open until then."""
    request, response = exchange
    scope, run = f"scope {next(places)}", f"run {next(places)}"
    spent, worst = Payments(store).spent(), Spending(1, request.n, 10, 10)
    place = Place(scope, run, request, 3)
    store.open_request(place, in_round=None, worst=worst)
    assert store.recorded(place) is None
    store.record(place, response, started=started)
    assert store.recorded(place) == response
    assert store.recorded(replace(place, occurrence=2)) is None
    assert store.responses_paid(run) == request.n
    assert store.models_by_scope()[scope] == response.model
    store.close_requests()
    usage = response.usage
    spent.add(
        Spending(
            1, request.n, usage.prompt_tokens, usage.completion_tokens,
            usage.usd or 0.0, int(usage.usd is None),
        )
    )  # fmt: skip
    now = Payments(store).spent()
    assert now.usd == pytest.approx(spent.usd)
    assert replace(now, usd=0.0) == replace(spent, usd=0.0)
    record = read_records(store.path.parent)[-1]
    assert (record.scope, record.improver_run, record.occurrence) == (scope, run, 3)
    assert replace(record.request, seed=request.seed) == request
    assert record.response == response


@few
@given(st.lists(st.tuples(st.sampled_from(["429", "timeout"]), amounts, texts), max_size=5))
def test_faults(store, found):
    store.change("DELETE FROM lm_faults")
    faults = Faults(store)
    for number, (reason, seconds, detail) in enumerate(found):
        added = faults.add_fault(LMFault("m", reason, detail, seconds, "run", float(number)))
        if detail == "":
            faults.end_request(added)
    wanted = []
    for reason in {reason for reason, _, _ in found}:
        same = [(seconds, detail) for each, seconds, detail in found if each == reason]
        ended = sum(detail == "" for _, detail in same)
        total = pytest.approx(sum(seconds for seconds, _ in same))
        wanted.append(FaultCount(reason, len(same), ended, total, same[-1][1]))
    assert faults.counts() == sorted(wanted, key=lambda each: (-each.count, each.reason))


@few
@given(st.lists(samples(), max_size=4, unique_by=lambda each: (each.cell, each.number)))
def test_samples(store, recorded):
    store.change("DELETE FROM samples")
    found = Samples(store)
    found.add([(each, None) for each in recorded])
    found.add([(replace(each, status="other"), None) for each in recorded])  # the first one stays
    assert list(found.all()) == sorted(recorded, key=lambda each: (each.cell.encode(), each.number))
    for each in recorded:
        assert found.count(each.cell, each.number, 1) == 1
    assert sum(row[3] for row in found.counts()) == len(recorded)


@few
@given(st.text(st.characters(exclude_categories=[]), max_size=30), texts)
def test_programs(store, source, other):
    """Halves of characters, which cannot be stored, are escaped; the id is that of the text."""
    identity = store.add_program(source, "solution")
    assert store.add_program(source, "improver") == identity == program_id(source)
    record = store.program(identity)
    assert record.kind == store.kind_of(identity) == "solution"
    assert record.source == source.encode("utf-8", "backslashreplace").decode()
    store.set_meta("fact", other)
    store.set_meta("fact", "later", keep=True)
    assert store.meta("fact") == other


def test_programs_are_found_by_kind_and_by_the_beginning_of_their_id(fresh):
    known = [fresh.add_program(str(i), "improver" if i % 3 else "solution") for i in range(40)]
    assert (fresh.count_programs(), fresh.count_programs("solution")) == (40, 14)
    assert fresh.kind_of("0" * 64) == ""
    for identity in known:
        assert fresh.program(identity[:12]).id == identity


def test_what_a_sampled_program_tried_counts_with_its_text(fresh):
    identity = fresh.add_program("x", "improver")
    sample = SampleRecord("warning", 0, identity, "ok", 1, False, True, [])
    found = Samples(fresh)
    found.add([(sample, "x")])
    assert found.to_run() == [identity]
    found.add_event(identity, "flag", 2, "first")
    found.add_event(identity, "flag", 2, "second")
    run = ImproverRunRecord(
        RUN_KEY + identity, "task", None, None, None, identity, identity, None, "timeout", "slow",
        0, 0.0, "", "", 0.0, 1.0,
    )  # fmt: skip
    fresh.start_improver_run(run)
    (one,) = found.all()
    assert one == replace(
        sample, events=[{"kind": "flag", "level": 2, "detail": "first"}],
        run_status="timeout", run_detail="slow",
    )  # fmt: skip
    assert one.reached == 2
    assert found.counts() == [("warning", "ok", 2, 1, 0, 1)]
    assert found.run_statuses() == [("warning", "timeout", 1)]
    assert found.to_run() == []


def test_rows_come_all_or_none(fresh):
    row = {"cell": "a", "number": 0, "status": "ok", "level": 0, "paper_rule": 0, "cut_off": 0}
    with pytest.raises(sqlite3.IntegrityError, match="NOT NULL"), fresh._writing() as db:
        db.execute("INSERT INTO meta VALUES ('fact', 'new')")
        db.execute("INSERT INTO samples (cell, number) VALUES ('a', 0)")
    assert fresh.meta("fact") is None
    fresh.insert_many("samples", [row | {"findings": "[]"}])
    assert len(list(Samples(fresh).all())) == 1
