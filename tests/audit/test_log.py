"""The audit log shows every change, outlives its process, and never pretends."""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stop.audit import chain
from stop.audit.chain import FIRST, MAX_LINE, SIGN_EVERY, line_hash, signed_message
from stop.audit.keys import fingerprint, machine_fingerprint, machine_key, public_bytes
from stop.audit.log import MAX_EVENTS_PER_KIND, MAX_KINDS, AuditLog, read, verify
from stop.errors import RunError
from stop.events import Level, SecurityEvent
from tests.helpers.places import REPOSITORY

one_folder = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.jsonl"


@pytest.fixture
def log(path):
    """A log of two sessions with five events and two effects each, closed."""
    for _ in range(2):
        log = AuditLog(path)
        for i in range(5):
            log.security(SecurityEvent("sandbox_flag", Level.ATTEMPT, f"number {i}"))
        for i in range(2):
            log.outcome(log.intent("execute", program_id=f"p{i}"), "ok", score=0.5)
        log.append("closed")
        log.close()
    return path


def kinds(path):
    return [line["kind"] for line in read(path)]


@contextmanager
def another_machine(monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setenv("STOP_STATE_DIR", str(tmp_path / "other state"))
        yield


def rebuilt(lines, key=None):
    """What a forger writes who can do anything but sign: all hashes anew, perhaps an own key."""
    previous, texts, log_id = FIRST, [], lines[0].get("id", "")
    for seq, line in enumerate(lines):
        body = {k: v for k, v in line.items() if k != "hash"} | {"seq": seq, "previous": previous}
        if line["kind"] == "head":
            body |= {"count": seq, "head": previous}
            if key is not None:
                body["public_key"] = public_bytes(key).hex()
                body["signature"] = key.sign(signed_message(body, log_id)).hex()
        previous = body["hash"] = line_hash(body)
        texts.append(chain.canonical(body) + b"\n")
    return b"".join(texts)


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


# --- changes


def _edit(lines):
    lines[4] = lines[4].replace(b"number 2", b"number 9")


def _swap(lines):
    lines[3], lines[4] = lines[4], lines[3]


def _remove(lines):
    del lines[4]


def _remove_first(lines):
    del lines[0]


def _insert(lines):
    lines.insert(4, lines[3])


def _add_plain(lines):
    lines.append(b'{"kind":"security","event":"planted","level":3}\n')


def _reformat(lines):
    lines[4] = json.dumps(json.loads(lines[4])).encode() + b"\n"


def _blank_line(lines):
    lines.insert(4, b"\n")


def _carriage_return(lines):
    lines[4] = lines[4][:-1] + b"\r\n"


def _duplicate_key(lines):
    lines[4] = lines[4].replace(b'"detail":', b'"detail":"harmless","detail":', 1)


def _duplicate_hash(lines):
    line = json.loads(lines[4])
    lines[4] = lines[4].replace(b'"hash":', f'"hash":"{line["hash"]}","hash":'.encode(), 1)


def _long_line(lines):
    lines.insert(4, b'"' + b"x" * (MAX_LINE * 2) + b'"\n')


def _deep_line(lines):
    lines.insert(4, b"[" * 60_000 + b"\n")


def _strip_heads(lines):
    lines[:] = [line for line in lines if json.loads(line)["kind"] != "head"]


@pytest.mark.parametrize("change", [
    _edit, _swap, _remove, _remove_first, _insert, _add_plain, _reformat, _blank_line,
    _carriage_return, _duplicate_key, _duplicate_hash, _long_line, _deep_line, _strip_heads,
])  # fmt: skip
def test_l96_every_change_shows_and_such_a_log_is_not_continued(log, change):
    lines = log.read_bytes().splitlines(keepends=True)
    change(lines)
    changed = b"".join(lines)
    log.write_bytes(changed)
    verdict = verify(log)
    assert not verdict.ok
    assert "line " in verdict.problem
    assert not verdict.untrusted
    with pytest.raises(RunError, match="has been changed"):
        AuditLog(log)
    assert log.read_bytes() == changed  # evidence


def _forged_edit(lines):
    lines[4]["detail"] = "harmless"
    return lines


def _forged_removal(lines):
    return lines[:4] + lines[5:]


def _forged_insertion(lines):
    return [*lines[:5], lines[4], *lines[5:]]


def _forged_last_head(lines):
    lines[-1]["time"] += 1
    return lines


def _forged_id(lines):
    lines[0]["id"] = "0" * 32
    return lines


def _no_heads(lines):
    return [line for line in lines if line["kind"] != "head"]


@pytest.mark.parametrize(
    ("forge", "problem"),
    [
        (_forged_edit, "signature that does not fit: a line from 3 on"),
        (_forged_removal, "signature that does not fit"),
        (_forged_insertion, "signature that does not fit"),
        (_forged_last_head, "signature that does not fit"),
        (_forged_id, "line 2 has a signature that does not fit"),
        (_no_heads, "not signed"),
    ],
)
def test_a_rebuilt_chain_lacks_the_signature(log, forge, problem):
    log.write_bytes(rebuilt(forge(list(read(log)))))
    assert problem in verify(log).problem
    assert not verify(log, head=None, keys=[machine_fingerprint()]).ok
    with pytest.raises(RunError):
        AuditLog(log)


def test_more_lines_than_a_head_may_be_away_are_not_signed(path):
    log = AuditLog(path)
    for _ in range(3 * SIGN_EVERY):
        log.intent("x")
    log.close()
    lines = list(read(path))
    forged = [*lines[:2], *_no_heads(lines[2:])]
    path.write_bytes(rebuilt(forged))
    assert f"line {SIGN_EVERY + 3} should be a signed head" in verify(path).problem


def test_a_forger_s_own_key_is_not_this_machine_s(log, tmp_path, monkeypatch):
    with another_machine(monkeypatch, tmp_path):
        key = machine_key()
    lines = _forged_edit(list(read(log)))
    log.write_bytes(rebuilt(lines, key))
    name = fingerprint(public_bytes(key))
    verdict = verify(log)
    assert (verdict.ok, verdict.untrusted, verdict.this_machine) == (False, True, False)
    assert verdict.signer == name
    assert name in verdict.problem
    with pytest.raises(RunError, match="another key"):
        AuditLog(log)
    # One foreign head in the middle is enough, and a key that is not that one does not help.
    mixed = list(read(log))
    assert verify(log, keys=["SHA256:" + "A" * 43]).untrusted
    with another_machine(monkeypatch, tmp_path):
        assert verify(log).ok
    log.write_bytes(rebuilt(mixed))
    assert verify(log).untrusted


def test_a_log_of_another_machine_is_intact_when_its_key_is_trusted(path, tmp_path, monkeypatch):
    with another_machine(monkeypatch, tmp_path):
        AuditLog(path).close()
        name = machine_fingerprint()
    assert not verify(path).ok  # no key here at all
    machine_key()
    verdict = verify(path, keys=[name])
    assert (verdict.ok, verdict.this_machine, verdict.signer) == (True, False, name)


def test_two_logs_cannot_be_spliced(log, tmp_path):
    other = tmp_path / "other.jsonl"
    shutil.copy(log, other)
    other.unlink()
    again = AuditLog(other)
    again.append("closed")
    again.close()
    mine, theirs = log.read_bytes().splitlines(True), other.read_bytes().splitlines(True)
    for spliced in (mine + theirs, mine[:2] + theirs[2:], theirs[:1] + mine[1:]):
        log.write_bytes(b"".join(spliced))
        assert not verify(log).ok
    for lines in (
        [json.loads(t) for t in mine + theirs],
        [json.loads(t) for t in mine[:2] + theirs[2:]],
        [json.loads(t) for t in theirs[:1] + mine[1:]],
    ):
        log.write_bytes(rebuilt(lines))
        assert not verify(log).ok


def test_l96_a_cut_tail_shows_against_a_head(log):
    head = verify(log).head
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]))
    assert "not signed" in verify(log).problem  # the session was closed
    log.write_bytes(b"".join(lines[:-2]))
    assert verify(log).ok
    assert verify(log).signed_lines < verify(log).lines
    assert "missing at the end" in verify(log, head).problem
    with pytest.raises(RunError, match="missing at the end"):
        AuditLog(log, head)
    log.write_bytes(b"")
    assert "empty" in verify(log).problem
    with pytest.raises(RunError, match="has been changed"):
        AuditLog(log, head)
    log.unlink()
    assert "no audit log" in verify(log).problem
    with pytest.raises(RunError, match="gone"):
        AuditLog(log, head)
    assert not log.exists()


RUN, OTHER = "a" * 32, "b" * 32


def _session(path, run, details=("x",)):
    log = AuditLog(path, run=run)
    for detail in details:
        log.security(SecurityEvent("sandbox_flag", Level.ATTEMPT, detail))
    log.close()


def test_l96_a_log_rolled_back_to_an_older_head_shows(path):
    """Whoever can write the run's folder, its store included, does not reach the machine's note."""
    _session(path, RUN)
    early = path.read_bytes()
    _session(path, RUN, ["to be hidden"])
    path.write_bytes(early)
    assert verify(path).ok  # by itself it is a good log
    assert "head is gone" in verify(path, run=RUN).problem
    with pytest.raises(RunError, match="has been changed"):
        AuditLog(path, run=RUN)


def test_l96_a_log_begun_anew_or_removed_shows(path):
    _session(path, RUN)
    path.unlink()
    with pytest.raises(RunError, match="gone"):
        AuditLog(path, run=RUN)
    _session(path, None)
    assert not verify(path, run=RUN).ok


def test_l96_another_run_s_log_shows(path, tmp_path):
    _session(path, RUN)
    other = tmp_path / "other.jsonl"
    _session(other, OTHER)
    path.write_bytes(other.read_bytes())
    assert "another run" in verify(path, run=RUN).problem
    assert verify(other, run=OTHER).ok


def test_a_run_without_its_id_is_not_intact(path):
    _session(path, RUN)
    assert not verify(path, run="").ok


def test_l98_lines_that_a_crash_left_unsigned_are_said_before_they_are_signed(path):
    log = AuditLog(path, run=RUN)
    log.intent("execute", program_id="a")
    os.close(log._file)
    _session(path, RUN)
    (said,) = [line for line in read(path, "recovered") if "not signed" in line["detail"]]
    assert said["detail"].startswith("1 lines from line")
    assert verify(path, run=RUN).ok


@pytest.mark.parametrize("place", ["fifo", "folder", "link"])
def test_readers_do_not_wait_for_what_is_no_file(path, tmp_path, place):
    if place == "fifo":
        os.mkfifo(path)
    elif place == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(RunError, match="no regular file"):
        list(read(path))


@pytest.mark.parametrize(
    "broken", [{"level": 7}, {"level": "2"}, {"event": 1}, {"program_id": None}]
)
def test_readers_pass_over_lines_that_no_log_wrote(path, broken):
    _session(path, None)
    line = next(read(path, "security"))
    with path.open("a") as file:
        file.write(json.dumps(line | broken) + "\n")
    assert len(list(read(path, "security"))) == 1


@given(data=st.data())
@one_folder
def test_any_changed_byte_shows(tmp_path_factory, data):
    """Also one of a signature, a fingerprint, a newline."""
    log, original = _sample(tmp_path_factory)
    at = data.draw(st.integers(0, len(original) - 1))
    new = data.draw(st.integers(0, 255).filter(lambda b: b != original[at]))
    log.write_bytes(original[:at] + bytes([new]) + original[at + 1 :])
    assert not verify(log).ok


@given(data=st.data())
@one_folder
def test_any_removed_or_added_bytes_show(tmp_path_factory, data):
    log, original = _sample(tmp_path_factory)
    head = json.loads(original.splitlines()[-1])["hash"]
    at = data.draw(st.integers(0, len(original)))
    if data.draw(st.booleans()):
        end = data.draw(st.integers(at, len(original)))
        changed = original[:at] + original[end:]
    else:
        changed = original[:at] + data.draw(st.binary(max_size=50)) + original[at:]
    log.write_bytes(changed)
    assert verify(log, head).ok == (changed == original)


_samples: dict[str, bytes] = {}


def _sample(tmp_path_factory):
    """A log for many examples; each test has a key of its own."""
    state = os.environ["STOP_STATE_DIR"]
    log = tmp_path_factory.getbasetemp() / f"sample-{os.getpid()}.jsonl"
    if state not in _samples:
        log.unlink(missing_ok=True)
        writer = AuditLog(log)
        for text in ("plain", "\ud800\u0000é\n", "x" * 50):
            writer.security(SecurityEvent("x", Level.ATTEMPT, text))
            writer.outcome(writer.intent("execute", text=text), "ok")
        writer.close()
        _samples.clear()
        _samples[state] = log.read_bytes()
    return log, _samples[state]


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


@pytest.mark.parametrize("nasty", [b"[", b'{"a":', b"\x00", b"\n", b'"', b"{}\n", b"9"])
def test_reading_nasty_text_is_quick(path, nasty):
    path.write_bytes(nasty * (256 * 1024 // len(nasty)))
    began = time.perf_counter()
    assert not verify(path).ok
    assert all(line == {} for line in read(path))
    assert time.perf_counter() - began < 2


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


# --- crashes


def test_a_line_torn_by_a_crash_is_cut_off_and_said(log):
    head = verify(log).head
    with log.open("ab") as file:
        file.write(b'{"seq": 5, "ti')
    assert "torn" in verify(log).problem
    again = AuditLog(log, head)
    again.close()
    assert verify(log, head).ok
    assert kinds(log)[-3:] == ["recovered", "head", "head"]
    assert "14 bytes" in next(read(log, "recovered"))["detail"]


def test_a_torn_first_line_is_no_log_yet(path):
    path.write_bytes(b'{"form')
    AuditLog(path).close()
    assert verify(path).ok
    assert kinds(path) == ["log", "recovered", "head", "head"]


def test_what_was_going_on_in_a_crash_is_found_and_closed_as_lost(path):
    log = AuditLog(path)
    seqs = [log.intent("execute", program_id=f"p{i}", at={"round": i}) for i in range(3)]
    log.outcome(seqs[1], "ok")
    os.close(log._file)  # as a crash does: no closing lines, the lock is gone
    verdict = verify(path)
    assert verdict.ok
    assert [(o.seq, o.effect, o.body) for o in verdict.orphans] == [
        (seqs[0], "execute", {"program_id": "p0", "at": {"round": 0}}),
        (seqs[2], "execute", {"program_id": "p2", "at": {"round": 2}}),
    ]
    again = AuditLog(path)
    with pytest.raises(ValueError, match="no effect"):
        again.outcome(seqs[0], "ok")
    again.close()
    verdict = verify(path)
    assert (verdict.ok, verdict.orphans, verdict.lost) == (True, (), 2)
    assert [line["of"] for line in read(path, "outcome") if line["status"] == "lost"] == [2, 4]
    AuditLog(path).close()
    assert verify(path).lost == 2


def test_many_lost_effects_are_signed_like_other_lines(path):
    log = AuditLog(path)
    for _ in range(3 * SIGN_EVERY):
        log.intent("x")
    os.close(log._file)
    AuditLog(path).close()
    verdict = verify(path)
    assert (verdict.ok, verdict.lost, verdict.problem) == (True, 3 * SIGN_EVERY, "")


_WRITER = """
import sys
from pathlib import Path
from stop.audit.log import AuditLog
from stop.events import Level, SecurityEvent
log = AuditLog(Path(sys.argv[1]))
print("open", flush=True)
for i in range(10**9):
    with log.effect("execute", program_id=f"p{i}"):
        print(i, flush=True)
    if i % 50 == 0:
        log.security(SecurityEvent("x", Level.ATTEMPT, str(i)))
"""


def _child(code, *words, **options):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def test_l98_a_killed_writer_leaves_a_good_log_with_all_that_it_did(path):
    """SIGKILL at random moments, again and again on the same log."""
    generator = random.Random(1)
    done = 0
    for _ in range(6):
        child = _child(_WRITER, path)
        assert child.stdout.readline() == "open\n"
        time.sleep(generator.uniform(0.001, 0.15))
        os.kill(child.pid, signal.SIGKILL)
        printed = child.stdout.read().split("\n")[:-1]
        child.wait()
        child.stdout.close()
        done += len(printed)
        # What was printed had its intent written before.
        assert sum(1 for _ in read(path, "intent")) >= done
        orphans = verify(path).orphans
        assert len(orphans) <= 1
        done = sum(1 for _ in read(path, "intent"))
    AuditLog(path).close()
    verdict = verify(path)
    assert verdict.ok, verdict.problem
    assert verdict.orphans == ()
    assert verdict.lines - verdict.signed_lines == 0


# --- one writer


def test_a_second_writer_is_turned_away(path):
    log = AuditLog(path)
    with pytest.raises(RunError, match="another process writes"):
        AuditLog(path)
    child = _child("import sys\nfrom pathlib import Path\nfrom stop.audit.log import AuditLog\n"
                   "AuditLog(Path(sys.argv[1]))", path, stderr=subprocess.PIPE)  # fmt: skip
    _, errors = child.communicate()
    assert "another process writes" in errors
    log.append("opened")
    assert verify(path).ok  # reading needs no lock
    log.close()
    AuditLog(path).close()


def _append(path):
    with path.open("ab") as file:
        file.write(b"{}\n")


def _cut(path):
    os.truncate(path, path.stat().st_size - 1)


def _replace(path):
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.rename(path)


def _unlink(path):
    path.unlink()


def _move_away(path):
    path.rename(path.with_name("away"))


def _link_in_its_place(path):
    path.rename(path.with_name("away"))
    path.symlink_to(path.with_name("away"))


@pytest.mark.parametrize(
    "change", [_append, _cut, _replace, _unlink, _move_away, _link_in_its_place]
)
def test_a_file_that_somebody_touched_is_written_no_more(path, change):
    log = AuditLog(path)
    seq = log.intent("x")
    change(path)
    for write in (
        lambda: log.append("opened"),
        lambda: log.outcome(seq, "ok"),
        lambda: log.security(SecurityEvent("x", Level.ATTEMPT, "d")),
        log.close,
    ):
        with pytest.raises(RunError, match="has been changed"):
            write()


@pytest.mark.parametrize("place", ["folder", "pipe", "link"])
def test_what_is_no_file_is_no_log(path, place):
    if place == "folder":
        path.mkdir()
    elif place == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path.with_name("elsewhere"))
    with pytest.raises(RunError):
        AuditLog(path)
    assert not verify(path).ok


# --- disks


def _fill(log):
    """Write until the disk is full; returns how many lines there were then."""
    with pytest.raises(RunError, match=r"cannot be written: (No space|File too large)") as raised:
        for i in range(100_000):
            log.outcome(log.intent("x", text="x" * (i % 700)), "ok")
    assert "free some disk space" in raised.value.hint
    return log.count


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_l98_a_full_disk_is_said_and_the_log_goes_on_when_there_is_space(small_disk):
    path = small_disk / "audit.jsonl"
    (small_disk / "ballast").write_bytes(b"x" * 65536)
    log = AuditLog(path)
    lines = _fill(log)
    assert path.read_bytes().endswith(b"\n")
    assert verify(path).lines == lines
    with pytest.raises(RunError, match="No space"):
        log.append("x" * 60_000)
    (small_disk / "ballast").unlink()
    log.append("opened")
    log.close()
    verdict = verify(path)
    assert verdict.ok, verdict.problem
    assert kinds(path).count("opened") == 1
    AuditLog(path).close()


def _limited():
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))


def test_a_file_that_may_not_grow_is_like_a_full_disk(path):
    """The same without a mount: the kernel takes a part of a line, then refuses."""
    child = _child(
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from stop.audit.log import AuditLog\n"
        "from tests.audit.test_log import _fill\n"
        "log = AuditLog(Path(sys.argv[1]))\n"
        "lines = _fill(log)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n"
        "log.append('opened')\n"
        "log.close()\n"
        "print(lines)\n",
        path,
        preexec_fn=_limited,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    lines = int(child.communicate()[0])
    verdict = verify(path)
    assert verdict.ok, verdict.problem
    assert verdict.lines == lines + 2


def _no_disk(*_):
    raise OSError(errno.EIO, "Input/output error")


def test_after_a_failed_sync_nothing_pretends_to_be_durable(path, monkeypatch):
    log = AuditLog(path)
    log.intent("x")
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", _no_disk)
        with pytest.raises(RunError, match="cannot be synced"):
            log.append("opened")
    for write in (lambda: log.append("opened"), lambda: log.intent("x")):
        with pytest.raises(RunError, match="a sync failed before"):
            write()
    before = path.read_bytes()
    log.close()
    assert path.read_bytes() == before  # no head says that all is well
    AuditLog(path).close()
    assert verify(path).ok


def test_a_line_that_cannot_be_taken_back_ends_the_log(path, monkeypatch):
    log = AuditLog(path)
    with monkeypatch.context() as patch:
        patch.setattr("os.ftruncate", _no_disk)
        patch.setattr(
            "stop.audit.log._write_all", lambda file, data: _no_disk(os.write(file, b"{"))
        )
        with pytest.raises(RunError, match="cannot be written: Input"):
            log.append("opened")
    with pytest.raises(RunError, match="half a line"):
        log.append("opened")
    log.close()
    AuditLog(path).close()
    assert verify(path).ok
    assert "recovered" in kinds(path)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_ctrl_c_in_the_middle_of_a_line_leaves_a_good_log(path, monkeypatch, moment):
    real = os.write

    def interrupted(file, data):
        real(file, data[: len(data) // 2] if moment == "before" else data)
        raise KeyboardInterrupt

    log = AuditLog(path)
    with monkeypatch.context() as patch:
        patch.setattr("os.write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            log.append("opened")
    log.append("opened")
    log.close()
    assert verify(path).ok
    assert kinds(path) == ["log", "head", "opened", "head"]
