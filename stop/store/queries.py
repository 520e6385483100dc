"""The reading half of a store: each question about a run is one query."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from stop.budget import Spending
from stop.errors import RunError
from stop.events import Level, SecurityEvent
from stop.lm.base import LMResponse
from stop.lm.recorded import response_in
from stop.lm.tape import Place
from stop.store.makers import MAKER
from stop.store.records import ImproverRunRecord, ProgramRecord, RoundRecord, RunLevel
from stop.tasks.evaluation import Evaluation, InstanceResult

EVALUATION = tuple(name for name in Evaluation.__slots__ if name != "score_range")
"""Columns of `evaluations` that are fields of an `Evaluation`."""
SUMS = (
    "COUNT(*), COALESCE(SUM({0}.n), 0), COALESCE(SUM({0}.prompt_tokens), 0), "
    "COALESCE(SUM({0}.completion_tokens), 0), COALESCE(SUM({0}.usd), 0), "
    "COALESCE(SUM({0}.usd IS NULL), 0)"
)
"""The columns of a `Spending`, of rows of `lm_calls` or `lm_requests` under the name {0}."""


class Queries:
    """Questions about one run, for `stop.store.Store`.

    Ids are whole (64 hex digits) unless a method says otherwise. A damaged file raises
    `sqlite3.DatabaseError`.

    Args:
        path: the store's file.
        db: an open connection, see `stop.store.schema`.
    """

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path = path
        self._db = db

    def close(self) -> None:
        """Closes the file. Idempotent."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def query(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> sqlite3.Cursor:
        """The rows that a query of any module finds, by name and by position."""
        return self._db.execute(sql, parameters)

    def meta(self, key: str) -> str | None:
        """A fact about the run that `Store.set_meta` noted; None: it was not."""
        row = self._first("SELECT value FROM meta WHERE key = ?", key)
        return None if row is None else str(row["value"])

    def _first(self, sql: str, *values: Any) -> Any:
        """The first row that a query finds, None without one."""
        return self._db.execute(sql, values).fetchone()

    # --- programs

    def program(self, prefix: str) -> ProgramRecord:
        """The program whose id begins with `prefix`; `RunError` when none or several do."""
        rows = self._db.execute(
            "SELECT * FROM programs WHERE id >= ? AND id < ? LIMIT 2", (prefix, prefix + "g")
        ).fetchall()
        if len(rows) == 1:
            return ProgramRecord(**rows[0])
        what = "several programs of this run have" if rows else "no program of this run has"
        raise RunError(f"{what} an id that begins with {prefix!r}")

    def count_programs(self, kind: str | None = None) -> int:
        """The number of programs, of one kind ("improver" or "solution") or of both."""
        query = "SELECT COUNT(*) FROM programs WHERE ?1 IS NULL OR kind = ?1"
        return int(self._first(query, kind)[0])

    def kind_of(self, program: str) -> str:
        """ "improver" or "solution" by a program's id, or "" if it was never recorded."""
        row = self._first("SELECT kind FROM programs WHERE id = ?", program)
        return "" if row is None else str(row["kind"])

    def was_given(self, program: str) -> bool:
        """Whether an improver run began with a program, or a bypass measurement sampled it."""
        row = self._first(
            "SELECT EXISTS (SELECT 1 FROM improver_runs WHERE ?1 IN (improver_id, initial_id)) "
            "OR EXISTS (SELECT 1 FROM samples WHERE program_id = ?1)",
            program,
        )
        return bool(row[0])

    def made_by(self, program: str) -> ImproverRunRecord | None:
        """The improver run that made a program; None for what the run began with."""
        return self._improver_run(f"(SELECT {MAKER} FROM programs p WHERE p.id = ?)", program)

    # --- improver runs

    def improver_run(self, key: str) -> ImproverRunRecord | None:
        """The improver run of this key; None before it has begun."""
        return self._improver_run("?", key)

    def _improver_run(self, key: str, value: str) -> ImproverRunRecord | None:
        row = self._first(f"SELECT * FROM improver_runs WHERE key = {key}", value)
        return None if row is None else ImproverRunRecord(**row)

    def improver_runs(self, level: RunLevel | None = None) -> list[ImproverRunRecord]:
        """The improver runs of a level, or of both, in the order in which they began."""
        rows = self._db.execute(
            "SELECT * FROM improver_runs WHERE :level IS NULL OR level = :level "
            "ORDER BY rowid",  # not by time: clocks are set
            {"level": level},
        )
        return [ImproverRunRecord(**row) for row in rows]

    def utility_calls(self, improver_run: str) -> list[tuple[str | None, float, str]]:
        """The utility calls of an improver run in their order.

        Returns:
            (program id, score, status) of each; no id where the text was not a program.
        """
        rows = self._db.execute(
            "SELECT program_id, score, status FROM utility_calls WHERE improver_run = ? "
            "ORDER BY id",
            (improver_run,),
        )
        return [tuple(row) for row in rows]

    # --- LM calls (`stop.lm.tape.TapeRecords`)

    def recorded(self, place: Place) -> LMResponse | None:
        """The response of a place, whoever asked there; None: not yet."""
        query = f"SELECT * FROM lm_calls WHERE {AT_PLACE}"
        row = self._db.execute(query, place_row(place)).fetchone()
        return None if row is None else response_in(row)

    def responses_paid(self, improver_run: str) -> int:
        """The number of recorded responses that an improver run paid for."""
        query = "SELECT COALESCE(SUM(n), 0) FROM lm_calls WHERE improver_run = ?"
        return int(self._first(query, improver_run)[0])

    def models_by_scope(self) -> dict[str, str]:
        """The model whose responses the improver runs of each scope shared."""
        rows = self._db.execute("SELECT scope, MIN(model) FROM lm_calls GROUP BY scope")
        return {str(scope): str(model) for scope, model in rows}

    def spending(self, level: str | None = None) -> Spending:
        """The cost of all recorded LM calls, or of those on one level; no utility calls."""
        row = self._first(
            f"SELECT {SUMS.format('lm_calls')} FROM lm_calls WHERE ?1 IS NULL OR improver_run "
            "IN (SELECT key FROM improver_runs WHERE level = ?1)",
            level,
        )
        return Spending(*row)

    # --- evaluations (`stop.engine.evaluator.EvaluationCache`) and rounds

    def find_evaluation(self, key: str) -> Evaluation | None:
        """The evaluation saved under a key; None: not yet."""
        row = self._first("SELECT * FROM evaluations WHERE key = ?", key)
        return None if row is None else _evaluation(row)

    def evaluations(self, program: str) -> list[Evaluation]:
        """The evaluations of a program on all tasks and splits, oldest first."""
        rows = self._db.execute(
            "SELECT * FROM evaluations WHERE program_id = ? ORDER BY created", (program,)
        )
        return [_evaluation(row) for row in rows]

    def rounds(self) -> list[RoundRecord]:
        """The rounds that have ended, from round 0 on."""
        rows = self._db.execute("SELECT * FROM rounds ORDER BY round")
        return [RoundRecord(**decoded(row, ("accepted", "confirmed"))) for row in rows]


AT_PLACE = "scope = :scope AND request_key = :request_key AND n = :n AND occurrence = :occurrence"
"""Of `lm_calls` and `lm_requests`, with the parameters of `place_row`."""


def place_row(place: Place) -> dict[str, Any]:
    """A place on the tape as columns of `lm_calls` and `lm_requests`."""
    row = zip(("scope", "request_key", "n", "occurrence"), place.key, strict=True)
    return {"improver_run": place.improver_run, **dict(row)}


def decoded(
    row: sqlite3.Row, flags: Sequence[str], documents: Sequence[str] = ()
) -> dict[str, Any]:
    """A row with real truth values in the columns `flags`, and parsed JSON in `documents`."""
    values = dict(row)
    values |= {name: bool(values[name]) for name in flags}
    return values | {name: json.loads(values[name]) for name in documents}


def _evaluation(row: sqlite3.Row) -> Evaluation:
    instances = tuple(InstanceResult(*each) for each in json.loads(row["instances"]))
    events = tuple(
        SecurityEvent(kind, Level(level), detail, row["program_id"])
        for kind, level, detail in json.loads(row["events"])
    )
    values = {name: row[name] for name in EVALUATION}
    return Evaluation(**values | {"instances": instances, "events": events})
