"""Fixtures for tests of the audit log."""

from __future__ import annotations

import pytest

from stop.audit.log import AuditLog
from stop.events import Level, SecurityEvent


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
