"""Helpers for tests of the audit log."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from stop.audit import chain
from stop.audit.chain import FIRST, line_hash, signed_message
from stop.audit.keys import public_bytes
from stop.audit.log import AuditLog, read
from stop.errors import RunError
from stop.events import Level, SecurityEvent
from tests.helpers.places import REPOSITORY

one_folder = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)


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


RUN, OTHER = "a" * 32, "b" * 32


def session(path, run, details=("x",)):
    log = AuditLog(path, run=run)
    for detail in details:
        log.security(SecurityEvent("sandbox_flag", Level.ATTEMPT, detail))
    log.close()


def fill(log):
    """Write until the disk is full; returns how many lines there were then."""
    with pytest.raises(RunError, match=r"cannot be written: (No space|File too large)") as raised:
        for i in range(100_000):
            log.outcome(log.intent("x", text="x" * (i % 700)), "ok")
    assert "free some disk space" in raised.value.hint
    return log.count


def run_child(code, *words, **options):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def cpu_seconds(work: Callable[..., Any], *given: Any) -> float:
    """Returns the CPU time that a call takes, the best of three: other load does not count."""
    times = []
    for _ in range(3):
        begun = time.process_time()
        work(*given)
        times.append(time.process_time() - begun)
    return min(times)
