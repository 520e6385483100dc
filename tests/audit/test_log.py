"""The audit log: what is written and read, the text of guests, floods."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stop.audit.chain import MAX_LINE, SIGN_EVERY
from stop.audit.keys import machine_fingerprint
from stop.audit.log import MAX_EVENTS_PER_KIND, MAX_KINDS, AuditLog, read, verify
from stop.errors import RunError
from stop.events import Level, SecurityEvent
from tests.audit.logs import (
    cpu_seconds,
    kinds,
    one_folder,
    session,
)

# --- what is written


def test_an_untouched_log_is_intact_and_signed_to_its_end(log):
    verdict = verify(log)
    assert (verdict.ok, verdict.problem, verdict.this_machine) == (True, "", True)
    assert verdict.signed_lines == verdict.lines == len(kinds(log))
    assert verdict.signer == machine_fingerprint()
    assert (verdict.orphans, verdict.lost) == ((), 0)
    assert [line["detail"] for line in read(log, "security")][:5] == [
        f"number {i}" for i in range(5)
    ]
    assert kinds(log)[:2] == ["log", "head"]
    assert kinds(log)[-2:] == ["closed", "head"]


def test_it_stays_intact_where_its_folder_is_moved(log, tmp_path):
    shutil.move(log, tmp_path / "elsewhere.jsonl")
    assert verify(tmp_path / "elsewhere.jsonl").ok


def test_an_event_is_kept_with_its_source(path):
    log = AuditLog(path)
    log.security(SecurityEvent("open", Level.TAMPERING, "d", "p", "r", "kernel"))
    log.close()
    (line,) = read(path, "security")
    assert {k: line[k] for k in ("event", "level", "detail", "source")} == {
        "event": "open", "level": 3, "detail": "d", "source": "kernel",
    }  # fmt: skip


def test_a_head_comes_every_so_many_lines_and_seconds(path, monkeypatch):
    now = itertools.count(0.0, 0.001)
    monkeypatch.setattr("stop.audit.log.time.monotonic", lambda: next(now))
    log = AuditLog(path)
    for _ in range(2 * SIGN_EVERY):
        log.intent("x")
    heads = [line["seq"] for line in read(path, "head")]
    assert heads == [1, SIGN_EVERY + 2, 2 * SIGN_EVERY + 3]
    log.intent("x")
    now = itertools.count(61.0, 0.001)
    log.intent("x")
    assert kinds(path)[-3:] == ["intent", "intent", "head"]
    log.intent("x")
    assert kinds(path)[-1] == "intent"
    log.close()
    assert verify(path).ok


def test_an_effect_says_how_it_ended(path):
    log = AuditLog(path)
    with log.effect("execute", program_id="p"):
        pass
    with log.effect("execute") as going:
        going.status = "timeout"
    with pytest.raises(KeyError), log.effect("execute"):
        raise KeyError
    log.close()
    outcomes = [(line["of"], line["status"]) for line in read(path, "outcome")]
    assert outcomes == [(2, "ok"), (4, "timeout"), (6, "KeyError")]


def test_mistakes_of_callers_leave_nothing_in_the_log(path):
    log = AuditLog(path)
    seq = log.intent("x")
    log.outcome(seq, "ok")
    before = path.read_bytes()
    for mistake in (
        lambda: log.outcome(seq, "ok"),
        lambda: log.outcome(0, "ok"),
        lambda: log.intent("x", seq=3),
        lambda: log.append("head"),
    ):
        with pytest.raises(ValueError, match="line"):
            mistake()
    assert path.read_bytes() == before
    log.close()
    log.close()
    with pytest.raises(RunError, match="closed"):
        log.append("opened")
    assert verify(path).ok


# --- reading


@pytest.mark.parametrize("place", ["fifo", "folder", "link"])
def test_readers_do_not_wait_for_what_is_no_file(path, tmp_path, place):
    if place == "fifo":
        os.mkfifo(path)
    elif place == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(RunError, match="not a regular file"):
        list(read(path))


@pytest.mark.parametrize(
    "broken", [{"level": 7}, {"level": "2"}, {"event": 1}, {"program_id": None}]
)
def test_readers_pass_over_lines_that_no_log_wrote(path, broken):
    session(path, None)
    line = next(read(path, "security"))
    with path.open("a") as file:
        file.write(json.dumps(line | broken) + "\n")
    assert len(list(read(path, "security"))) == 1


# --- text of guests

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=8,
)


@given(st.text(st.characters()), json_values)
@one_folder
def test_no_text_of_a_guest_makes_a_line_or_steers_a_terminal(tmp_path_factory, text, value):
    path = tmp_path_factory.mktemp("log") / "audit.jsonl"
    log = AuditLog(path)
    before = path.read_bytes().count(b"\n")
    log.security(SecurityEvent(text, Level.ATTEMPT, text, text, text))
    log.outcome(log.intent(text, value=value), text, value=value)
    data = path.read_bytes()
    log.close()
    assert data.count(b"\n") == before + 3
    assert all(32 <= byte < 127 or byte == 10 for byte in data)
    verdict = verify(path)
    assert verdict.ok, verdict.problem


@pytest.mark.parametrize(
    "value",
    [
        "\N{GRINNING FACE}" * 300_000,
        ["\N{GRINNING FACE}" * 3000] * 3000,
        {f"{i}" * 30: "\ud800" * 3000 for i in range(500)},
        {"\ud83d\ude00": 1, "\uffff": 2, "\U0001f600": 3},
        {1: "a", "1": "b"},
        10**5000,
        float("nan"),
        -float("inf"),
        {"deep": [[[[[[[[[[[["x"]]]]]]]]]]]]},
        [10**5000, [[[[[[[10**5000]]]]]]]],
        {1, 2},
        Path("/x"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_body_holds_it_is_one_short_line(path, value):
    deep = value
    for _ in range(3000):
        deep = [deep]
    log = AuditLog(path)
    log.outcome(log.intent("x", value=value, deep=deep, others=[value] * 100), "ok", value=value)
    log.close()
    assert verify(path).ok, verify(path).problem
    assert all(len(text) <= MAX_LINE for text in path.read_bytes().splitlines(True))
    assert [kind for kind in kinds(path) if kind != "head"] == ["log", "intent", "outcome"]
    assert next(read(path, "outcome"))["of"] == 2


def test_a_long_text_is_cut(path):
    log = AuditLog(path)
    log.security(SecurityEvent("x", Level.ATTEMPT, "a" * 100_000))
    log.close()
    assert next(read(path, "security"))["detail"] == "a" * 2000


# --- floods


def _unsynced(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: None)  # thousands of syncs test the disk, not the log


def test_a_flood_is_counted_and_its_first_events_kept(path, monkeypatch):
    _unsynced(monkeypatch)
    log = AuditLog(path)
    for i in range(MAX_EVENTS_PER_KIND + 500):
        for improver_run in ("settled", "not settled"):
            event = SecurityEvent("sandbox_flag", Level.ATTEMPT, str(i), improver_run=improver_run)
            assert log.security(event) == (i < MAX_EVENTS_PER_KIND)
    log.settle("settled")
    log.settle("settled")
    assert log.security(SecurityEvent("sandbox_flag", Level.ATTEMPT, "-", improver_run="settled"))
    log.close()
    assert len(list(read(path, "security"))) == 2 * MAX_EVENTS_PER_KIND + 1
    floods = [(line["improver_run"], line["count"]) for line in read(path, "flood")]
    assert floods == [
        ("settled", MAX_EVENTS_PER_KIND + 500),
        ("not settled", MAX_EVENTS_PER_KIND + 500),
    ]
    assert verify(path).ok


def test_a_flood_of_made_up_kinds_is_a_flood(path, monkeypatch):
    _unsynced(monkeypatch)
    log = AuditLog(path)
    for i in range(5 * MAX_EVENTS_PER_KIND):
        log.security(SecurityEvent(f"{i}" + "x" * 5000, Level.TAMPERING, "d", improver_run="r"))
    log.settle("r")
    log.close()
    assert len(list(read(path, "security"))) == MAX_KINDS + MAX_EVENTS_PER_KIND
    (flood,) = read(path, "flood")
    assert (flood["event"], flood["count"]) == ("other kinds", 5 * MAX_EVENTS_PER_KIND - MAX_KINDS)


def test_words_of_a_guest_s_own_hook_crowd_out_nothing_that_the_kernel_sees(path, monkeypatch):
    _unsynced(monkeypatch)
    log = AuditLog(path)
    for i in range(2 * MAX_EVENTS_PER_KIND):
        for kind in (f"made up {i % MAX_KINDS}", "system_call", "other kinds"):
            log.security(SecurityEvent(kind, Level.INTENT, str(i), source="guest"))
    assert log.security(SecurityEvent("system_call", Level.TAMPERING, "ptrace", source="kernel"))
    log.close()
    floods = {(line["event"], line["source"]) for line in read(path, "flood")}
    assert floods == {("system_call", "guest"), ("other kinds", "guest")}


def test_memory_stays_bounded_over_many_improver_runs(path, monkeypatch):
    _unsynced(monkeypatch)
    log = AuditLog(path)

    def some(start):
        for i in range(start, start + 2000):
            log.security(SecurityEvent("x", Level.ATTEMPT, "d", improver_run=f"run {i}"))
            log.settle(f"run {i}")

    some(0)
    tracemalloc.start()
    some(2000)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    log.close()
    assert grown < 50_000


@pytest.mark.slow
def test_reading_and_verifying_take_a_line_at_a_time(path):
    log = AuditLog(path)
    for _ in range(3000):
        log.outcome(log.intent("x", text="x" * 2000), "ok", text="x" * 2000)
    log.close()
    assert path.stat().st_size > 12_000_000
    tracemalloc.start()
    assert verify(path).ok
    assert sum(1 for _ in read(path)) == verify(path).lines
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


NASTY = [b"[", b'{"a":', b"\x00", b"\n", b'"', b"{}\n", b"9"]


@pytest.mark.parametrize("nasty", NASTY)
def test_nasty_text_costs_about_what_honest_lines_cost(tmp_path, nasty):
    def look_through(path):
        ok = verify(path).ok
        return ok, sum(line != {} for line in read(path))

    honest, other = tmp_path / "honest.jsonl", tmp_path / "nasty.jsonl"
    log = AuditLog(honest)
    while honest.stat().st_size < 256 * 1024:
        log.outcome(log.intent("x", text="x" * 100), "ok")
    log.close()
    other.write_bytes(nasty * (256 * 1024 // len(nasty)))
    assert look_through(other) == (False, 0)
    assert cpu_seconds(look_through, other) < 50 * cpu_seconds(look_through, honest)


def test_a_line_that_is_too_long_hides_no_line_of_its_own(path):
    """Its end is not taken for a line."""
    planted = (
        b'{"detail":"","event":"planted","improver_run":"","kind":"security","level":1,'
        b'"program_id":"","source":"text","time":1}\n'
    )
    path.write_bytes(b"x" * MAX_LINE + planted + b"x" * (MAX_LINE * 2) + planted + planted)
    assert len(list(read(path))) == 1
    path.write_bytes(planted + planted[:-1])
    assert len(list(read(path, "security"))) == 1
