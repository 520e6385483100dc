"""The audit log outlives its process, has one writer, and never pretends to be on disk."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import time

import pytest

from stop.audit.chain import SIGN_EVERY
from stop.audit.log import AuditLog, read, verify
from stop.errors import RunError
from stop.events import Level, SecurityEvent
from tests.audit.logs import (
    RUN,
    fill,
    kinds,
    run_child,
    session,
)
from tests.helpers.places import REPOSITORY


def test_l98_lines_that_a_crash_left_unsigned_are_said_before_they_are_signed(path):
    log = AuditLog(path, run=RUN)
    log.intent("execute", program_id="a")
    os.close(log._file)
    session(path, RUN)
    (said,) = [line for line in read(path, "recovered") if "not signed" in line["detail"]]
    assert said["detail"].startswith("1 lines from line")
    assert verify(path, run=RUN).ok


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
    with pytest.raises(ValueError, match="not an effect"):
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


@pytest.mark.slow
def test_l98_a_killed_writer_leaves_a_good_log_with_all_that_it_did(path):
    """SIGKILL at random moments, again and again on the same log."""
    generator = random.Random(1)
    done = 0
    for _ in range(6):
        child = run_child(_WRITER, path)
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
    child = run_child("import sys\nfrom pathlib import Path\nfrom stop.audit.log import AuditLog\n"
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
    lines = fill(log)
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
    child = run_child(
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from stop.audit.log import AuditLog\n"
        "from tests.audit.logs import fill\n"
        "log = AuditLog(Path(sys.argv[1]))\n"
        "lines = fill(log)\n"
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
        patch.setattr("stop.audit.log.write_all", lambda file, data: _no_disk(os.write(file, b"{")))
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
