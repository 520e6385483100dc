"""The audit log shows every change; the static rules say what a text shows and no more."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stop.audit.log import MAX_EVENTS_PER_KIND, AuditLog, read, verify
from stop.audit.rules import findings, paper_rule
from stop.errors import RunError
from stop.events import Level, SecurityEvent


@pytest.fixture
def log(tmp_path):
    """A log of five events, closed."""
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    for i in range(5):
        log.security(SecurityEvent("sandbox_flag", Level.ATTEMPT, f"number {i}"))
    log.close()
    return path


def test_an_untouched_log_is_intact(log):
    assert verify(log).ok
    assert [line["detail"] for line in read(log)] == [f"number {i}" for i in range(5)]


@pytest.mark.parametrize("change", ["edit", "swap", "remove", "insert", "reformat"])
def test_every_change_shows(log, change):
    lines = log.read_bytes().splitlines(keepends=True)
    if change == "edit":
        lines[2] = lines[2].replace(b"number 2", b"number 9")
    elif change == "swap":
        lines[1], lines[2] = lines[2], lines[1]
    elif change == "remove":
        del lines[2]
    elif change == "insert":
        lines.insert(2, lines[1])
    else:
        lines[2] = json.dumps(json.loads(lines[2])).encode() + b"\n"
    log.write_bytes(b"".join(lines))
    assert not verify(log).ok
    with pytest.raises(RunError, match="has been changed"):
        AuditLog(log)


def test_a_cut_tail_shows_against_a_head(log):
    head = verify(log).head
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    assert verify(log).ok
    assert "missing at the end" in verify(log, head).problem


def test_a_line_torn_by_a_crash_is_cut_off_and_said(log):
    with log.open("ab") as file:
        file.write(b'{"seq": 5, "ti')
    again = AuditLog(log)
    again.close()
    assert verify(log).ok
    assert read(log)[-1]["kind"] == "recovered"


@given(st.text())
def test_no_text_of_a_guest_makes_a_line_or_steers_a_terminal(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("log") / "audit.jsonl"
    log = AuditLog(path)
    log.security(SecurityEvent("x", Level.ATTEMPT, text))
    log.close()
    data = path.read_bytes()
    assert data.count(b"\n") == 1
    assert all(32 <= byte < 127 for byte in data[:-1])
    assert verify(path).ok


def test_a_flood_is_counted_and_its_first_events_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: None)  # a thousand syncs test the disk, not the log
    log = AuditLog(tmp_path / "audit.jsonl")
    for i in range(MAX_EVENTS_PER_KIND + 500):
        log.security(SecurityEvent("sandbox_flag", Level.ATTEMPT, str(i), improver_run="r"))
    log.close()
    lines = read(log.path)
    assert len(lines) == MAX_EVENTS_PER_KIND + 1
    assert lines[0]["detail"] == "0"
    assert lines[-1]["kind"] == "flood"
    assert lines[-1]["count"] == MAX_EVENTS_PER_KIND + 500


@pytest.mark.parametrize(
    "source",
    [
        "utility(s, use_sandbox=False)",
        "utility(s, use_sandbox=0)",
        "utility(s, **{'use_' + 'sandbox': None})",
        "def f():\n    exec(solution)",
        "import ctypes",
        "from subprocess import run",
    ],
)
def test_intent_is_found(source):
    (finding,) = findings(source)
    assert finding.level == Level.INTENT


@pytest.mark.parametrize(
    "source",
    [
        "# never set use_sandbox=False",
        'prompt = "never set use_sandbox=False"',
        "utility(s, use_sandbox=True)",
        "utility(s, use_sandbox=use_sandbox)",
        "import re\nre.compile('x')",
        "model.eval()",
        "not python (",
    ],
)
def test_no_false_alarm(source):
    assert findings(source) == []


def test_the_papers_rule_is_literal():
    assert paper_rule("# use_sandbox=False")
    assert not paper_rule("utility(s, use_sandbox=0)")
