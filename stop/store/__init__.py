"""The run's SQLite file: everything that happened, written while it happens.

One writer (the process that holds the run's lock), any number of readers (WAL).
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from stop.budget import Spending
from stop.errors import RunError
from stop.events import Level, SecurityEvent
from stop.lm.base import Choice, LMRequest, LMResponse, Usage
from stop.programs import program_id
from stop.store.makers import MAKER
from stop.store.records import ImproverRunRecord, LMCallRecord, ProgramRecord, RoundRecord
from stop.store.schema import TABLES, VERSION
from stop.tasks.evaluation import Evaluation, InstanceResult

__all__ = ["ImproverRunRecord", "LMCallRecord", "ProgramRecord", "RoundRecord", "Store"]


class Store:
    """Reads and writes of one run's file.

    Args:
        path: the file; created by the writer.
        read_only: readers never take a lock that the writer would notice.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        if read_only and not path.exists():
            raise RunError(f"there is no run in {path.parent}", hint="stop run --help")
        try:
            # A reader opens for writing too, because WAL needs its shared-memory file; it never
            # writes, and `query_only` makes sure of it.
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            if read_only:
                self._db.execute("PRAGMA query_only = ON")
            else:
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.executescript(TABLES)
                self.set_meta("schema", str(VERSION), keep=True)
            version = self.meta("schema")
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise RunError(f"{path} is not a run's store: {error}") from error
        if version != str(VERSION):
            self._db.close()
            raise RunError(f"{path} was written by another version of stop (schema {version})")

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        except sqlite3.OperationalError as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise RunError(
                f"the store {self.path} cannot be written: {error}",
                hint="free some disk space; what is recorded stays: stop resume RUN",
            ) from error
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _insert(self, table: str, row: dict[str, Any], conflict: str = "") -> None:
        names = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        with self._writing() as db:
            db.execute(f"INSERT {conflict} INTO {table} ({names}) VALUES ({marks})", _plain(row))

    # --- for the modules of this package that have tables of their own

    def insert_many(self, table: str, rows: Sequence[dict[str, Any]]) -> None:
        """Add rows with the same columns in one transaction; those that are there stay."""
        if not rows:
            return
        names = ", ".join(rows[0])
        marks = ", ".join(f":{name}" for name in rows[0])
        with self._writing() as db:
            db.executemany(
                f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", map(_plain, rows)
            )

    def add_row(self, table: str, row: dict[str, Any]) -> int:
        """Add a row; returns its number."""
        names = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        with self._writing() as db:
            made = db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", _plain(row))
        assert made.lastrowid is not None
        return made.lastrowid

    def change(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        with self._writing() as db:
            db.execute(sql, parameters)

    def query(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> sqlite3.Cursor:
        return self._db.execute(sql, parameters)

    # --- facts about the run

    def meta(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row["value"])

    def set_meta(self, key: str, value: str, *, keep: bool = False) -> None:
        conflict = "OR IGNORE" if keep else "OR REPLACE"
        self._insert("meta", {"key": key, "value": value}, conflict)

    # --- programs

    def add_program(self, source: str, kind: str) -> str:
        """Record a program once; returns its id. The first kind it came up as stays."""
        identity = program_id(source)
        row = {
            "id": identity,
            "kind": kind,
            "source": source,
            "created": time.time(),
        }
        self._insert("programs", row, "OR IGNORE")
        return identity

    def program(self, prefix: str) -> ProgramRecord:
        """The program whose id begins with `prefix`; `RunError` when none or several do."""
        rows = self._db.execute(
            "SELECT * FROM programs WHERE id >= ? AND id < ? LIMIT 3", (prefix, prefix + "g")
        ).fetchall()
        if len(rows) == 1:
            return ProgramRecord(**rows[0])
        what = "several programs of this run have" if rows else "no program of this run has"
        raise RunError(f"{what} an id that begins with {prefix!r}")

    def count_programs(self) -> int:
        return int(self._db.execute("SELECT COUNT(*) FROM programs").fetchone()[0])

    def kind_of(self, program: str) -> str:
        """ "improver", "solution", or "" for a program that was never recorded."""
        row = self._db.execute("SELECT kind FROM programs WHERE id = ?", (program,)).fetchone()
        return "" if row is None else str(row["kind"])

    def was_given(self, program: str) -> bool:
        """Whether a program is one that an improver run, or a bypass measurement, began with."""
        row = self._db.execute(
            "SELECT EXISTS (SELECT 1 FROM improver_runs WHERE :id IN (improver_id, initial_id)) "
            "OR EXISTS (SELECT 1 FROM samples WHERE program_id = :id)",
            {"id": program},
        ).fetchone()
        return bool(row[0])

    def made_by(self, program: str) -> ImproverRunRecord | None:
        """The improver run that made a program; None for what the run began with."""
        row = self._db.execute(
            f"SELECT * FROM improver_runs WHERE key = (SELECT {MAKER} FROM programs p "
            "WHERE p.id = ?)",
            (program,),
        ).fetchone()
        return None if row is None else ImproverRunRecord(**row)

    # --- improver runs

    def start_improver_run(self, record: ImproverRunRecord) -> None:
        row = {name: getattr(record, name) for name in ImproverRunRecord.__slots__}
        self._insert("improver_runs", row, "OR REPLACE")

    def finish_improver_run(self, key: str, **outcome: Any) -> None:
        outcome["finished"] = time.time()
        changes = ", ".join(f"{name} = :{name}" for name in outcome)
        with self._writing() as db:
            db.execute(
                f"UPDATE improver_runs SET {changes} WHERE key = :key",
                _plain(outcome | {"key": key}),
            )

    def improver_run(self, key: str) -> ImproverRunRecord | None:
        row = self._db.execute("SELECT * FROM improver_runs WHERE key = ?", (key,)).fetchone()
        return None if row is None else ImproverRunRecord(**row)

    def improver_runs(self, level: str | None = None) -> list[ImproverRunRecord]:
        """In the order in which they began, of one level ("meta", "task") or of both."""
        rows = self._db.execute(
            "SELECT * FROM improver_runs WHERE :level IS NULL OR level = :level "
            "ORDER BY rowid",  # not by time: clocks are set
            {"level": level},
        )
        return [ImproverRunRecord(**row) for row in rows]

    def add_utility_call(
        self, improver_run: str, program: str | None, score: float, status: str
    ) -> None:
        row = {"improver_run": improver_run, "program_id": program, "score": score}
        self._insert("utility_calls", row | {"status": status, "at": time.time()})

    def utility_calls(self, improver_run: str) -> list[tuple[str | None, float, str]]:
        """(program id, score, status) in the order of the calls."""
        rows = self._db.execute(
            "SELECT program_id, score, status FROM utility_calls WHERE improver_run = ? "
            "ORDER BY id",
            (improver_run,),
        )
        return [tuple(row) for row in rows]

    def begin_execution(self, improver_run: str, in_round: int | None) -> tuple[int, int | None]:
        """An improver run is executed, in this round; calls of an earlier execution are made again.

        Returns:
            The number of those calls, which are forgotten, and the round that they were made in.
        """
        with self._writing() as db:
            row = db.execute(
                "SELECT round FROM executions WHERE improver_run = ?", (improver_run,)
            ).fetchone()
            gone = db.execute("DELETE FROM utility_calls WHERE improver_run = ?", (improver_run,))
            db.execute(
                "INSERT OR REPLACE INTO executions (improver_run, round) VALUES (?, ?)",
                (improver_run, in_round),
            )
        return gone.rowcount, row and row["round"]

    # --- the tape (stop.lm.tape.TapeRecords)

    def recorded(self, scope: str, request: LMRequest, occurrence: int) -> LMResponse | None:
        row = self._db.execute(
            "SELECT * FROM lm_calls WHERE scope = ? AND request_key = ? AND n = ? "
            "AND occurrence = ?",
            (scope, request.key, request.n, occurrence),
        ).fetchone()
        if row is None:
            return None
        usage = Usage(
            row["prompt_tokens"], row["completion_tokens"], row["usd"], bool(row["estimated"])
        )
        choices = tuple(Choice(**choice) for choice in json.loads(row["choices"]))
        faults = tuple(json.loads(row["faults"]))
        return LMResponse(choices, usage, row["model"], row["retries"], faults)

    def responses_paid(self, improver_run: str) -> int:
        row = self._db.execute(
            "SELECT COALESCE(SUM(n), 0) FROM lm_calls WHERE improver_run = ?", (improver_run,)
        ).fetchone()
        return int(row[0])

    def record(
        self,
        scope: str,
        improver_run: str,
        request: LMRequest,
        occurrence: int,
        response: LMResponse,
        *,
        started: float,
    ) -> None:
        """Durable when this returns: only then may anyone use the response."""
        choices = [{"text": c.text, "finish_reason": c.finish_reason} for c in response.choices]
        row = {
            "scope": scope,
            "improver_run": improver_run,
            "request_key": request.key,
            "occurrence": occurrence,
            "model": response.model,
            "system": request.system,
            "message": request.message,
            "n": request.n,
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "choices": json.dumps(choices),
            "prompt_tokens": response.usage.prompt_tokens,
            "completion_tokens": response.usage.completion_tokens,
            "usd": response.usage.usd,
            "estimated": int(response.usage.estimated),
            "retries": response.retries,
            "faults": json.dumps(response.faults),
            "started": started,
            "finished": time.time(),
        }
        names = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        with self._writing() as db:
            made = db.execute(f"INSERT INTO lm_calls ({names}) VALUES ({marks})", _plain(row))
            db.execute(
                "UPDATE lm_requests SET state = 'paid', lm_call = ? WHERE state = 'open' "
                "AND scope = ? AND request_key = ? AND n = ? AND occurrence = ?",
                (made.lastrowid, scope, request.key, request.n, occurrence),
            )

    def open_request(
        self,
        scope: str,
        improver_run: str,
        request: LMRequest,
        occurrence: int,
        *,
        in_round: int | None,
        worst: Spending,
    ) -> int:
        """Survives this process when this returns: only then may the request be sent.

        Not synced: what a loss of power takes of it are requests of that moment, which nobody can
        know the cost of.
        """
        row = {
            "scope": scope,
            "improver_run": improver_run,
            "round": in_round,
            "request_key": request.key,
            "n": request.n,
            "occurrence": occurrence,
            "state": "open",
            "prompt_tokens": worst.prompt_tokens,
            "completion_tokens": worst.completion_tokens,
            "usd": None if worst.usd_unknown_calls else worst.usd,
            "started": time.time(),
        }
        names = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        with self._writing(synced=False) as db:
            made = db.execute(f"INSERT INTO lm_requests ({names}) VALUES ({marks})", _plain(row))
        assert made.lastrowid is not None
        return made.lastrowid

    def close_request(self, number: int, cost: Spending | None) -> None:
        """There will be no response: it cost this; None: nothing."""
        with self._writing() as db:
            if cost is None:
                db.execute("UPDATE lm_requests SET state = 'free' WHERE id = ?", (number,))
                return
            usd = None if cost.usd_unknown_calls else cost.usd
            db.execute(
                "UPDATE lm_requests SET state = 'lost', prompt_tokens = ?, completion_tokens = ?, "
                "usd = ? WHERE id = ?",
                (cost.prompt_tokens, cost.completion_tokens, usd, number),
            )

    def close_requests(self) -> None:
        """Those that a crash cut off may have been paid for. For the writer, as it begins."""
        with self._writing() as db:
            db.execute("UPDATE lm_requests SET state = 'lost' WHERE state = 'open'")

    def lm_calls(self, improver_run: str | None = None) -> list[LMCallRecord]:
        where = "" if improver_run is None else "WHERE improver_run = :run"
        names = ", ".join(LMCallRecord.__slots__)
        rows = self._db.execute(
            f"SELECT {names} FROM lm_calls {where} ORDER BY id", {"run": improver_run}
        )
        calls = []
        for row in rows:
            values = dict(row)
            values["choices"] = json.loads(values["choices"])
            values["faults"] = json.loads(values["faults"])
            values["estimated"] = bool(values["estimated"])
            calls.append(LMCallRecord(**values))
        return calls

    def models_by_scope(self) -> dict[str, str]:
        """The model whose responses the improver runs of each scope shared."""
        rows = self._db.execute("SELECT scope, MIN(model) FROM lm_calls GROUP BY scope")
        return {str(scope): str(model) for scope, model in rows}

    def spending(self, level: str | None = None) -> Spending:
        """What the recorded LM calls cost, of one level of improver runs or of all."""
        row = self._db.execute(
            "SELECT COUNT(*), COALESCE(SUM(n), 0), COALESCE(SUM(prompt_tokens), 0), "
            "COALESCE(SUM(completion_tokens), 0), COALESCE(SUM(usd), 0), "
            "COALESCE(SUM(usd IS NULL), 0) FROM lm_calls "
            "WHERE :level IS NULL OR improver_run IN "
            "(SELECT key FROM improver_runs WHERE level = :level)",
            {"level": level},
        ).fetchone()
        return Spending(*row)

    # --- evaluations (stop.engine.evaluator.EvaluationCache)

    def find_evaluation(self, key: str) -> Evaluation | None:
        row = self._db.execute("SELECT * FROM evaluations WHERE key = ?", (key,)).fetchone()
        return None if row is None else _evaluation(row)

    def save_evaluation(self, key: str, evaluation: Evaluation, repetition: int) -> None:
        instances = [[i.score, i.status, i.cpu_seconds, i.detail] for i in evaluation.instances]
        events = [[e.kind, int(e.level), e.detail] for e in evaluation.events]
        row = {
            "key": key,
            "program_id": evaluation.program_id,
            "task": evaluation.task,
            "split": evaluation.split,
            "repetition": repetition,
            "score": evaluation.score,
            "status": evaluation.status,
            "detail": evaluation.detail,
            "isolation": evaluation.isolation,
            "instances": json.dumps(instances),
            "events": json.dumps(events),
            "stdout": evaluation.stdout,
            "stderr": evaluation.stderr,
            "created": time.time(),
        }
        self._insert("evaluations", row, "OR REPLACE")

    def evaluations(self, program: str) -> list[Evaluation]:
        rows = self._db.execute(
            "SELECT * FROM evaluations WHERE program_id = ? ORDER BY created", (program,)
        )
        return [_evaluation(row) for row in rows]

    # --- rounds

    def save_round(self, record: RoundRecord) -> None:
        row = {name: getattr(record, name) for name in RoundRecord.__slots__}
        self._insert("rounds", row | {"accepted": int(record.accepted)}, "OR REPLACE")

    def rounds(self) -> list[RoundRecord]:
        rows = self._db.execute("SELECT * FROM rounds ORDER BY round")
        return [RoundRecord(**(dict(row) | {"accepted": bool(row["accepted"])})) for row in rows]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """SQLite holds UTF-8: what a guest sent beside that is kept in escaped form."""
    return {
        name: value.encode("utf-8", "backslashreplace").decode()
        if isinstance(value, str)
        else value
        for name, value in row.items()
    }


def _evaluation(row: sqlite3.Row) -> Evaluation:
    instances = tuple(InstanceResult(*each) for each in json.loads(row["instances"]))
    events = tuple(
        SecurityEvent(kind, Level(level), detail, row["program_id"])
        for kind, level, detail in json.loads(row["events"])
    )
    return Evaluation(
        program_id=row["program_id"],
        task=row["task"],
        split=row["split"],
        score=row["score"],
        status=row["status"],
        detail=row["detail"],
        isolation=row["isolation"],
        instances=instances,
        events=events,
        stdout=row["stdout"],
        stderr=row["stderr"],
    )
