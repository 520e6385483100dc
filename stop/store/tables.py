"""The tables of a run as people analyse them: plain columns, one row for one thing.

What readers share: data frames, and the files that `stop export` writes. No row holds the run's
secret, or anything that derives from it. Text is what programs and models wrote: anything.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from stop.audit import log as audit_log
from stop.errors import RunError
from stop.store import Store
from stop.store.makers import FIRST_CALL, MAKER
from stop.store.samples import Samples

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a run.

    Attributes:
        name: as in files and frames.
        columns: their names in order, with the type of what is not None.
        read: its rows, one at a time.
    """

    name: str
    columns: dict[str, type]
    read: Callable[[Store], Iterable[Row]]

    def rows(self, store: Store) -> Iterator[Row]:
        """The rows, with exactly these columns.

        Raises:
            RunError: the store is damaged.
        """
        booleans = [name for name, kind in self.columns.items() if kind is bool]
        try:
            for row in self.read(store):
                for name in booleans:
                    row[name] = bool(row[name])
                yield row
        except (sqlite3.DatabaseError, ValueError, TypeError, LookupError) as error:
            raise RunError(f"{store.path}: {self.name} cannot be read: {error}") from error


def _by_query(name: str, columns: dict[str, type], sql: str) -> Table:
    def read(store: Store) -> Iterator[Row]:
        for row in store.query(sql):
            yield dict(row)

    return Table(name, columns, read)


_PROGRAMS = _by_query(
    "programs",
    {
        "program_id": str, "kind": str, "parent_id": str, "improver_id": str, "improver_run": str,
        "round": int, "task": str, "repetition": int, "score": float, "status": str,
        "created": float, "characters": int, "source": str,
    },
    f"""
    SELECT p.id AS program_id, p.kind, r.initial_id AS parent_id, r.improver_id,
        r.key AS improver_run, r.round, r.task, r.repetition, u.score, u.status, p.created,
        length(p.source) AS characters, p.source
    FROM programs p LEFT JOIN improver_runs r ON r.key = {MAKER}
    LEFT JOIN utility_calls u ON u.id = {FIRST_CALL}
    ORDER BY p.rowid
    """,
)  # fmt: skip

_IMPROVER_RUNS = _by_query(
    "improver_runs",
    {
        "improver_run": str, "level": str, "round": int, "task": str, "repetition": int,
        "improver_id": str, "initial_id": str, "result_id": str, "status": str, "detail": str,
        "utility_calls": int, "cpu_seconds": float, "stdout": str, "stderr": str,
        "started": float, "finished": float,
    },
    """
    SELECT key AS improver_run, level, round, task, repetition, improver_id, initial_id, result_id,
        status, detail, utility_calls, cpu_seconds, stdout, stderr, started, finished
    FROM improver_runs ORDER BY rowid
    """,
)  # fmt: skip

_LM_CALLS = _by_query(
    "lm_calls",
    {
        "lm_call": int, "improver_run": str, "level": str, "round": int, "task": str,
        "repetition": int, "scope": str, "model": str, "system": str, "message": str,
        "responses": int, "temperature": float, "max_tokens": int, "prompt_tokens": int,
        "completion_tokens": int, "usd": float, "estimated": bool, "retries": int,
        "started": float, "finished": float,
    },
    """
    SELECT c.id AS lm_call, c.improver_run, r.level, r.round, r.task, r.repetition, c.scope,
        c.model, c.system, c.message, c.n AS responses, c.temperature, c.max_tokens,
        c.prompt_tokens, c.completion_tokens, c.usd, c.estimated, c.retries, c.started, c.finished
    FROM lm_calls c LEFT JOIN improver_runs r ON r.key = c.improver_run ORDER BY c.id
    """,
)  # fmt: skip


def _read_responses(store: Store) -> Iterator[Row]:
    for row in store.query("SELECT id, improver_run, choices FROM lm_calls ORDER BY id"):
        for number, choice in enumerate(json.loads(row["choices"])):
            yield {
                "lm_call": row["id"],
                "choice": number,
                "improver_run": row["improver_run"],
                "finish_reason": choice.get("finish_reason", ""),
                "text": _valid(choice["text"]),
            }


_RESPONSES = Table(
    "responses",
    {"lm_call": int, "choice": int, "improver_run": str, "finish_reason": str, "text": str},
    _read_responses,
)

_EVALUATIONS = _by_query(
    "evaluations",
    {
        "evaluation": int, "program_id": str, "task": str, "split": str, "repetition": int,
        "score": float, "status": str, "detail": str, "isolation": str, "stdout": str,
        "stderr": str, "created": float,
    },
    """
    SELECT rowid AS evaluation, program_id, task, split, repetition, score, status, detail,
        isolation, stdout, stderr, created
    FROM evaluations ORDER BY rowid
    """,
)  # fmt: skip


def _read_instances(store: Store) -> Iterator[Row]:
    rows = store.query(
        "SELECT rowid AS evaluation, program_id, task, split, repetition, instances "
        "FROM evaluations ORDER BY rowid"
    )
    for row in rows:
        place = dict(row)
        for number, each in enumerate(json.loads(place.pop("instances"))):
            score, status, cpu_seconds, detail = each
            yield place | {
                "instance": number,
                "score": score,
                "status": status,
                "cpu_seconds": cpu_seconds,
                "detail": _valid(detail),
            }


_INSTANCES = Table(
    "instances",
    {
        "evaluation": int, "program_id": str, "task": str, "split": str, "repetition": int,
        "instance": int, "score": float, "status": str, "cpu_seconds": float, "detail": str,
    },
    _read_instances,
)  # fmt: skip

_UTILITY_CALLS = _by_query(
    "utility_calls",
    {
        "utility_call": int, "improver_run": str, "level": str, "round": int, "task": str,
        "repetition": int, "improver_id": str, "program_id": str, "score": float, "status": str,
        "at": float,
    },
    """
    SELECT u.id AS utility_call, u.improver_run, r.level, r.round, r.task, r.repetition,
        r.improver_id, u.program_id, u.score, u.status, u.at
    FROM utility_calls u LEFT JOIN improver_runs r ON r.key = u.improver_run ORDER BY u.id
    """,
)  # fmt: skip

_ROUNDS = _by_query(
    "rounds",
    {
        "round": int, "improver_id": str, "parent_id": str, "meta_utility": float, "low": float,
        "high": float, "difference": float, "difference_low": float, "difference_high": float,
        "accepted": bool, "status": str, "detail": str, "finished": float,
    },
    """
    SELECT round, improver_id, parent_id, meta_utility, low, high, difference, difference_low,
        difference_high, accepted, status, detail, finished
    FROM rounds ORDER BY round
    """,
)  # fmt: skip

_EVENT_COLUMNS: dict[str, type] = {
    "seq": int, "time": float, "level": int, "event": str, "source": str, "detail": str,
    "program_id": str, "improver_run": str,
}  # fmt: skip


def _read_security_events(store: Store) -> Iterator[Row]:
    path = store.path.parent / "audit.jsonl"
    if path.exists():
        for line in audit_log.read(path, "security"):
            row = {name: line.get(name) for name in _EVENT_COLUMNS}
            yield {k: _valid(v) if isinstance(v, str) else v for k, v in row.items()}


_SECURITY_EVENTS = Table("security_events", _EVENT_COLUMNS, _read_security_events)


def _read_samples(store: Store) -> Iterator[Row]:
    for sample in Samples(store).all():
        yield {
            "cell": sample.cell,
            "number": sample.number,
            "program_id": sample.program_id,
            "status": sample.status,
            "level": sample.level,
            "reached": sample.reached,
            "paper_rule": sample.paper_rule,
            "cut_off": sample.cut_off,
            "rules": ",".join(sorted({str(each["rule"]) for each in sample.findings})),
            "run_status": sample.run_status,
            "run_detail": sample.run_detail,
        }


_SAMPLES = Table(
    "samples",
    {
        "cell": str, "number": int, "program_id": str, "status": str, "level": int, "reached": int,
        "paper_rule": bool, "cut_off": bool, "rules": str, "run_status": str, "run_detail": str,
    },
    _read_samples,
)  # fmt: skip

TABLES = {
    table.name: table
    for table in (
        _PROGRAMS, _IMPROVER_RUNS, _LM_CALLS, _RESPONSES, _EVALUATIONS, _INSTANCES, _UTILITY_CALLS,
        _ROUNDS, _SECURITY_EVENTS, _SAMPLES,
    )
}  # fmt: skip
"""Every table of a run by its name."""


def _valid(text: str) -> str:
    """JSON can hold half a character, files cannot: it is kept in escaped form."""
    return text.encode("utf-8", "backslashreplace").decode()
