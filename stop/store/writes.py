"""The writing half of a store: what happens in a run is recorded while it happens."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stop.budget import Spending
from stop.errors import RunError
from stop.lm.base import LMResponse
from stop.lm.tape import Place
from stop.programs import program_id
from stop.store.queries import AT_PLACE, EVALUATION, Queries, place_row
from stop.store.records import ImproverRunRecord, RoundRecord
from stop.store.schema import open_reader, open_writer
from stop.tasks.evaluation import Cause, Evaluation

Row = dict[str, Any]


class Store(Queries):
    """A run's file: what `Queries` answers, and one method for each thing that is recorded.

    A method that writes is one transaction, on the disk when it returns. When the disk is full or
    fails, it raises `RunError` and records nothing.

    Args:
        path: the file. A writer makes it, and migrates a file of an older version.
        read_only: leaves the file as it is; a reader may come while a writer is at work.

    Raises:
        RunError: the file is not a store, is of a newer version, or cannot be opened.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        super().__init__(path, open_reader(path) if read_only else open_writer(path))

    @contextmanager
    def _writing(self, *, synced: bool = True) -> Iterator[sqlite3.Connection]:
        """One transaction; a full disk is told apart from a bug.

        Args:
            synced: on the disk afterwards. If not, it outlives this process however it ends, and
                is on the disk with the next one that is synced: only a loss of power may take it.
        """
        try:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if not isinstance(error, sqlite3.OperationalError):
                raise
            raise RunError(
                f"the store {self.path} cannot be written: {error}",
                hint="free some disk space; what is recorded stays",
                resume="",
            ) from error

    # --- for the modules of this package that have tables of their own

    def add_row(self, table: str, row: Row, conflict: str = "") -> int:
        """Adds a row; `conflict` is SQLite's clause, e.g. "OR IGNORE". Returns its number."""
        with self._writing() as db:
            return _insert(db, table, row, conflict)

    def insert_many(self, table: str, rows: Sequence[Row]) -> None:
        """Adds rows in one transaction; those whose key is there already are left out."""
        with self._writing() as db:
            for row in rows:
                _insert(db, table, row, "OR IGNORE")

    def change(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Carries out one statement that changes rows."""
        with self._writing() as db:
            db.execute(sql, parameters)

    # --- facts about the run, programs, improver runs

    def set_meta(self, key: str, value: str, *, keep: bool = False) -> None:
        """Notes a fact about the run; with `keep`, only if there is none under this key."""
        self.add_row("meta", {"key": key, "value": value}, "OR IGNORE" if keep else "OR REPLACE")

    def add_program(self, source: str, kind: str) -> str:
        """Records a program once, as an "improver" or a "solution"; the first kind stays.

        Returns:
            Its id.
        """
        identity = program_id(source)
        row = {"id": identity, "kind": kind, "source": source, "created": time.time()}
        self.add_row("programs", row, "OR IGNORE")
        return identity

    def start_improver_run(self, record: ImproverRunRecord) -> None:
        """Records an improver run that begins, or begins again after it was cut off."""
        self.add_row("improver_runs", asdict(record), "OR REPLACE")

    def finish_improver_run(
        self,
        key: str,
        *,
        status: str,
        detail: str,
        utility_calls: int,
        result_id: str | None = None,
        cpu_seconds: float = 0.0,
        stdout: str = "",
        stderr: str = "",
        cause: Cause = "",
    ) -> None:
        """Records how the improver run with this key ended, see `ImproverRunRecord`."""
        self.change(
            "UPDATE improver_runs SET status = ?, detail = ?, utility_calls = ?, result_id = ?, "
            "cpu_seconds = ?, stdout = ?, stderr = ?, finished = ?, cause = ? WHERE key = ?",
            (status, escaped(detail), utility_calls, result_id, cpu_seconds, escaped(stdout),
             escaped(stderr), time.time(), cause, key),
        )  # fmt: skip

    def begin_execution(self, improver_run: str, in_round: int | None) -> tuple[int, int | None]:
        """Notes that an improver run is executed, in this round of the run.

        Its utility calls of an earlier execution are forgotten: they are made again.

        Returns:
            The number of forgotten calls, and the round of that execution.
        """
        with self._writing() as db:
            row = db.execute(
                "SELECT round FROM executions WHERE improver_run = ?", (improver_run,)
            ).fetchone()
            gone = db.execute("DELETE FROM utility_calls WHERE improver_run = ?", (improver_run,))
            now = {"improver_run": improver_run, "round": in_round}
            _insert(db, "executions", now, "OR REPLACE")
        return gone.rowcount, row and row["round"]

    def add_utility_call(
        self, improver_run: str, program: str | None, score: float, status: str
    ) -> None:
        """Records that an improver run had a program scored; None: the text was not a program."""
        row = {"improver_run": improver_run, "program_id": program, "score": score}
        self.add_row("utility_calls", row | {"status": status, "at": time.time()})

    # --- the tape (`stop.lm.tape.TapeRecords`)

    def open_request(self, place: Place, *, in_round: int | None, worst: Spending) -> int:
        """Notes a request that is about to be sent, and what it may cost.

        It survives this process when this returns: only then may the request be sent. It is not
        synced: what a loss of power takes of it are requests of that moment, whose cost cannot be
        known anyway.

        Returns:
            The number by which `close_request` knows it.
        """
        row = place_row(place) | {"round": in_round, "state": "open", "started": time.time()}
        with self._writing(synced=False) as db:
            return _insert(db, "lm_requests", row | _cost(worst))

    def record(self, place: Place, response: LMResponse, *, started: float) -> None:
        """Records a response: only when this returns may anyone use it.

        Args:
            place: what was asked, and where; its open request is paid.
            response: with `n` choices, as requested.
            started: when the request was sent, in seconds since 1970.
        """
        at = place_row(place)
        row = asdict(place.request) | asdict(response.usage) | at
        del row["seed"]  # it follows from the place
        row |= {
            "model": response.model,
            "choices": json.dumps([asdict(choice) for choice in response.choices]),
            "retries": response.retries,
            "faults": json.dumps(response.faults),
            "started": started,
            "finished": time.time(),
        }
        with self._writing() as db:
            at["lm_call"] = _insert(db, "lm_calls", row)
            db.execute(
                "UPDATE lm_requests SET state = 'paid', lm_call = :lm_call "
                f"WHERE state = 'open' AND {AT_PLACE}",
                at,
            )

    def close_request(self, number: int, cost: Spending | None) -> None:
        """Notes that an open request gets no response, and what it cost; None: nothing."""
        if cost is None:
            self.change("UPDATE lm_requests SET state = 'free' WHERE id = ?", (number,))
            return
        self.change(
            "UPDATE lm_requests SET state = 'lost', prompt_tokens = ?, completion_tokens = ?, "
            "usd = ? WHERE id = ?",
            (*_cost(cost).values(), number),
        )

    def close_requests(self) -> None:
        """Counts what a crash cut off at its worst case; for the writer, as it begins."""
        self.change("UPDATE lm_requests SET state = 'lost' WHERE state = 'open'")

    # --- evaluations (`stop.engine.evaluator.EvaluationCache`) and rounds

    def save_evaluation(self, key: str, evaluation: Evaluation, repetition: int) -> None:
        """Records an evaluation under its key; a later one takes its place.

        Only what an event says itself is kept of it: kind, level and detail.
        """
        row = {name: getattr(evaluation, name) for name in EVALUATION}
        row["instances"] = json.dumps(
            [[i.score, i.status, i.cpu_seconds, i.detail] for i in evaluation.instances]
        )
        row["events"] = json.dumps([[e.kind, e.level, e.detail] for e in evaluation.events])
        row |= {"key": key, "repetition": repetition, "created": time.time()}
        self.add_row("evaluations", row, "OR REPLACE")

    def save_round(self, record: RoundRecord) -> None:
        """Records a round that has ended; a later record of the same round takes its place."""
        self.add_row("rounds", asdict(record), "OR REPLACE")


def _insert(db: sqlite3.Connection, table: str, row: Row, conflict: str = "") -> int:
    names = ", ".join(row)
    marks = ", ".join(f":{name}" for name in row)
    done = db.execute(f"INSERT {conflict} INTO {table} ({names}) VALUES ({marks})", _plain(row))
    assert done.lastrowid is not None
    return done.lastrowid


def _cost(spending: Spending) -> Row:
    """Columns of `lm_requests`."""
    return {
        "prompt_tokens": spending.prompt_tokens,
        "completion_tokens": spending.completion_tokens,
        "usd": None if spending.usd_unknown_calls else spending.usd,
    }


def _plain(row: Row) -> Row:
    return {k: escaped(v) if isinstance(v, str) else v for k, v in row.items()}


def escaped(text: str) -> str:
    """A text as UTF-8 can hold it: halves of characters, which a guest may send, are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
