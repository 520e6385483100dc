"""`stop audit verify` and `stop audit key`: what a user sees, and the exit codes."""

from __future__ import annotations

import hashlib
import json
import os

import pytest
from click.testing import CliRunner

from stop.audit.keys import machine_fingerprint
from stop.audit.log import AuditLog, verify
from stop.audit.notes import run_id
from stop.cli import cli
from stop.errors import ConfigError, RunError
from stop.experiments.rounds.config import RoundsConfig
from stop.runs.folder import create_run
from stop.store import Store


@pytest.fixture
def run(tmp_path):
    """A run's folder with a log of one lost and one open effect; its process was killed."""
    folder = create_run(RoundsConfig(tasks=("knapsack",), lm="scripted:x"), tmp_path / "runs")
    first = AuditLog(folder / "audit.jsonl", run=run_id(folder))
    first.intent("execute", program_id="a" * 64)
    os.close(first._file)
    second = AuditLog(folder / "audit.jsonl", run=run_id(folder))
    second.intent("execute", program_id="b" * 64, note="\x1b[2J\n")
    os.close(second._file)
    return folder


def stop(*words, error=None):
    result = CliRunner().invoke(cli, ["audit", *map(str, words)])
    if error is None:
        assert result.exit_code == 0, result.output
    else:
        assert isinstance(result.exception, error), result.output
        assert result.exception.exit_code == (1 if error is RunError else 2)
    return result


def test_an_intact_log(run):
    shown = stop("verify", run).stdout
    assert "intact: 7 lines" in shown
    assert f"signed: 6 lines, by this machine, {machine_fingerprint()}" in shown
    assert "not signed: the last 1" in shown
    assert "lost: 1 effects" in shown
    assert f"line 7: execute note=\ufffd[2J  program_id={'b' * 64}" in shown
    document = json.loads(stop("verify", run, "--json").stdout)
    assert document == {
        "run": str(run), "ok": True, "lines": 7, "problem": "", "signed_lines": 6, "lost": 1,
        "head": verify(run / "audit.jsonl").head, "signer": machine_fingerprint(),
        "this_machine": True, "untrusted": False,
        "orphans": [{"seq": 6, "effect": "execute",
                     "body": {"program_id": "b" * 64, "note": "\x1b[2J\n"}}],
    }  # fmt: skip


def test_a_changed_log(run):
    path = run / "audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b"aaaa", b"cccc", 1))
    result = stop("verify", run, error=RunError)
    assert "has been changed: line 3" in str(result.exception)
    result = stop("verify", run, "--json", error=RunError)
    assert json.loads(result.stdout)["lines"] == 2


def test_a_head_that_was_noted(run):
    head = verify(run / "audit.jsonl").head
    stop("verify", run, "--head", head.upper())
    result = stop("verify", run, "--head", "0" * 64, error=RunError)
    assert "missing at the end" in str(result.exception)
    store = Store(run / "run.db")
    store.set_meta("audit.head", head)
    store.close()
    stop("verify", run)
    path = run / "audit.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert "missing at the end" in str(stop("verify", run, error=RunError).exception)


def test_a_log_of_another_machine(run, tmp_path, monkeypatch):
    here = json.loads(stop("key", "--json").stdout)
    assert here["fingerprint"] == machine_fingerprint()
    shown = stop("key").stdout
    assert here["fingerprint"] in shown
    assert here["public_key"] in shown
    monkeypatch.setenv("STOP_STATE_DIR", str(tmp_path / "other"))
    result = stop("verify", run, error=RunError)
    assert "signed by another key than this machine's" in str(result.exception)
    assert "changed" not in str(result.exception)
    for name in here.values():
        assert "by another machine" in stop("verify", run, "--key", name).stdout
    other = json.loads(stop("key", "--json").stdout)["fingerprint"]
    assert other != here["fingerprint"]
    stop("verify", run, "--key", other, error=RunError)
    stop("verify", run, "--key", "abc", error=ConfigError)


def test_a_configuration_that_was_changed_shows(run):
    stop("verify", run)
    digest = hashlib.sha256((run / "config.json").read_bytes()).hexdigest()
    log = AuditLog(run / "audit.jsonl", run=run_id(run))
    log.append("opened", config=digest)
    log.close()
    stop("verify", run)
    path = run / "config.json"
    path.write_text(path.read_text().replace('"policy": "log"', '"policy": "halt"'))
    assert "config.json" in str(stop("verify", run, error=RunError).exception)
