"""The tables of a run as people analyse them: plain columns, one row for one thing.

What readers share: data frames, and the files that `stop export` writes. No row contains the run's
secret, or anything that derives from it. Text is what programs and models wrote: anything.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from stop.audit import log as audit_log
from stop.errors import RunError
from stop.store.makers import FIRST_CALL, MAKER
from stop.store.samples import Samples
from stop.store.writes import Row, Store, escaped

__all__ = ["TABLES", "Row", "Table"]

_TYPES: dict[str, type] = {"": str, "int": int, "float": float, "bool": bool}


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


def _table(name: str, columns: str, read: Callable[[Store], Iterable[Row]]) -> Table:
    """A table whose columns are "name", for text, or "name:type"."""
    parts = (column.partition(":") for column in columns.split())
    return Table(name, {column: _TYPES[kind] for column, _, kind in parts}, read)


def _by_query(name: str, columns: str, source: str, **expressions: str) -> Table:
    """A table read from `source`, the end of a SELECT; a column is its name or its expression."""
    names = [column.partition(":")[0] for column in columns.split()]
    selected = ", ".join(f"{expressions.get(each, each)} AS {each}" for each in names)
    query = f"SELECT {selected} {source}"
    return _table(name, columns, lambda store: map(dict, store.query(query)))


def _read_responses(store: Store) -> Iterator[Row]:
    for call, run, text in store.query(
        "SELECT id, improver_run, choices FROM lm_calls ORDER BY id"
    ):
        for number, choice in enumerate(json.loads(text)):
            row = {"lm_call": call, "choice": number, "improver_run": run}
            row["finish_reason"] = choice.get("finish_reason", "")
            yield row | {"text": escaped(choice["text"])}


def _read_instances(store: Store) -> Iterator[Row]:
    rows = store.query(
        "SELECT rowid AS evaluation, program_id, task, split, repetition, instances "
        "FROM evaluations ORDER BY rowid"
    )
    for row in rows:
        place = dict(row)
        for number, each in enumerate(json.loads(place.pop("instances"))):
            score, status, cpu_seconds, detail = each
            result = {"score": score, "status": status, "cpu_seconds": cpu_seconds}
            yield place | {"instance": number} | result | {"detail": escaped(detail)}


def _read_security_events(store: Store) -> Iterator[Row]:
    path = store.path.parent / "audit.jsonl"
    if path.exists():
        for line in audit_log.read(path, "security"):
            row = {name: line.get(name) for name in TABLES["security_events"].columns}
            yield {k: escaped(v) if isinstance(v, str) else v for k, v in row.items()}


def _read_samples(store: Store) -> Iterator[Row]:
    columns = TABLES["samples"].columns
    for sample in Samples(store).all():
        rules = ",".join(sorted({str(each["rule"]) for each in sample.findings}))
        yield {c: rules if c == "rules" else getattr(sample, c) for c in columns}


_PLACE = "level round:int task repetition:int"
"""Of the improver run that a row belongs to."""

TABLES = {
    table.name: table
    for table in (
        _by_query(
            "programs",
            "program_id kind parent_id improver_id improver_run round:int task repetition:int "
            "score:float status created:float characters:int source",
            f"FROM programs p LEFT JOIN improver_runs r ON r.key = {MAKER} "
            f"LEFT JOIN utility_calls u ON u.id = {FIRST_CALL} ORDER BY p.rowid",
            program_id="p.id",
            parent_id="r.initial_id",
            improver_run="r.key",
            status="u.status",
            characters="length(p.source)",
        ),
        _by_query(
            "improver_runs",
            f"improver_run {_PLACE} improver_id initial_id result_id status detail "
            "utility_calls:int cpu_seconds:float stdout stderr started:float finished:float",
            "FROM improver_runs ORDER BY rowid",
            improver_run="key",
        ),
        _by_query(
            "lm_calls",
            f"lm_call:int improver_run {_PLACE} scope model system message responses:int "
            "temperature:float max_tokens:int prompt_tokens:int completion_tokens:int usd:float "
            "estimated:bool retries:int started:float finished:float",
            "FROM lm_calls c LEFT JOIN improver_runs r ON r.key = c.improver_run ORDER BY c.id",
            lm_call="c.id",
            responses="c.n",
            started="c.started",
            finished="c.finished",
        ),
        _table(
            "responses", "lm_call:int choice:int improver_run finish_reason text", _read_responses
        ),
        _by_query(
            "evaluations",
            "evaluation:int program_id task split repetition:int score:float status detail "
            "isolation stdout stderr created:float",
            "FROM evaluations ORDER BY rowid",
            evaluation="rowid",
        ),
        _table(
            "instances",
            "evaluation:int program_id task split repetition:int instance:int score:float status "
            "cpu_seconds:float detail",
            _read_instances,
        ),
        _by_query(
            "utility_calls",
            f"utility_call:int improver_run {_PLACE} improver_id program_id score:float status "
            "at:float",
            "FROM utility_calls u LEFT JOIN improver_runs r ON r.key = improver_run ORDER BY u.id",
            utility_call="u.id",
            status="u.status",
        ),
        _by_query(
            "rounds",
            "round:int improver_id parent_id meta_utility:float low:float high:float "
            "selection:float candidates:int difference:float difference_low:float "
            "difference_high:float p:float alpha:float repetitions:int accepted:bool status "
            "detail finished:float",
            "FROM rounds r LEFT JOIN comparisons c ON c.stage = 'confirmation' "
            "AND c.number = r.round ORDER BY round",
            low="r.low",
            high="r.high",
            difference_low="c.low",
            difference_high="c.high",
            detail="r.detail",
            finished="r.finished",
        ),
        _table(
            "security_events",
            "seq:int time:float level:int event source detail program_id improver_run",
            _read_security_events,
        ),
        _table(
            "samples",
            "cell number:int program_id status level:int reached:int paper_rule:bool cut_off:bool "
            "rules run_status run_detail",
            _read_samples,
        ),
    )
}
"""Every table of a run by its name."""
