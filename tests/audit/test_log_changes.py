"""The audit log shows every change."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stop.audit.chain import MAX_LINE, SIGN_EVERY
from stop.audit.keys import fingerprint, machine_fingerprint, machine_key, public_bytes
from stop.audit.log import AuditLog, read, verify
from stop.errors import RunError
from stop.events import Level, SecurityEvent
from tests.audit.logs import (
    OTHER,
    RUN,
    another_machine,
    one_folder,
    rebuilt,
    session,
)


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


def test_l96_a_log_rolled_back_to_an_older_head_shows(path):
    """Whoever can write the run's folder, its store included, does not reach the machine's note."""
    session(path, RUN)
    early = path.read_bytes()
    session(path, RUN, ["to be hidden"])
    path.write_bytes(early)
    assert verify(path).ok  # by itself it is a good log
    assert "head is gone" in verify(path, run=RUN).problem
    with pytest.raises(RunError, match="has been changed"):
        AuditLog(path, run=RUN)


def test_l96_a_log_begun_anew_or_removed_shows(path):
    session(path, RUN)
    path.unlink()
    with pytest.raises(RunError, match="gone"):
        AuditLog(path, run=RUN)
    session(path, None)
    assert not verify(path, run=RUN).ok


def test_l96_another_run_s_log_shows(path, tmp_path):
    session(path, RUN)
    other = tmp_path / "other.jsonl"
    session(other, OTHER)
    path.write_bytes(other.read_bytes())
    assert "another run" in verify(path, run=RUN).problem
    assert verify(other, run=OTHER).ok


def test_a_run_without_its_id_is_not_intact(path):
    session(path, RUN)
    assert not verify(path, run="").ok


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
