"""A run's tables as files for other programs: JSON, CSV or Parquet, a row at a time.

The tables are those of `stop.store.tables`. A file appears under its name when it is whole.
"""

from __future__ import annotations

import csv
import json
import math
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

from stop._util.extras import analysis_module
from stop.errors import ConfigError, RunError
from stop.store import Store
from stop.store.tables import TABLES, Row, Table

Format = Literal["json", "csv", "parquet"]
FORMATS: tuple[Format, ...] = ("json", "csv", "parquet")

Listener = Callable[[str, int], None]
"""Called with the name of each table that is written, and the number of its rows."""

_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What begins a formula in some spreadsheet."""
_BATCH_ROWS = 5000
_BATCH_CHARACTERS = 16 << 20


def export(folder: Path, form: Format, target: Path, done: Listener = lambda *_: None) -> None:
    """Write the tables of a run.

    Args:
        folder: of the run.
        form: "json" (one document), or "csv" or "parquet" (one file for each table).
        target: the file of "json", the folder of the others; files in its place are replaced.
        done: called for each table.

    Raises:
        ConfigError: a folder is in the place of the file, or the other way round.
        RunError: the run cannot be read, or the files cannot be written.
        StopError: "parquet" without the extra `analysis`.
    """
    if form == "json" and target.is_dir():
        raise ConfigError(f"{target} is a folder; json is one file")
    if form != "json" and target.exists() and not target.is_dir():
        raise ConfigError(f"{target} is a file; {form} wants a folder, one file for each table")
    with closing(Store(folder / "run.db", read_only=True)) as store:
        store.query("BEGIN")  # all tables as they were at one moment, also of a run that goes on
        try:
            if form == "json":
                _write_json(store, folder.resolve().name, target, done)
                return
            target.mkdir(parents=True, exist_ok=True)
            write = _write_csv if form == "csv" else _parquet_writer()
            for table in TABLES.values():
                with _whole(target / f"{table.name}.{form}") as draft:
                    done(table.name, write(draft, table, store))
        except OSError as error:
            where = error.filename or target
            raise RunError(f"{where} cannot be written: {error.strerror or error}") from error


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A file next to `path` that takes its place when the block has ended well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _finite(value: Any) -> Any:
    """JSON has no infinities."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_json(store: Store, run: str, target: Path, done: Listener) -> None:
    """Written row by row: nothing grows with the run."""
    with _whole(target) as draft, draft.open("x", encoding="ascii") as file:
        file.write(f'{{"run": {json.dumps(run)}, "tables": {{')
        for i, table in enumerate(TABLES.values()):
            file.write(f'{"," if i else ""}\n"{table.name}": [')
            count = 0
            for row in table.rows(store):
                text = json.dumps({name: _finite(value) for name, value in row.items()})
                file.write(f"{',' if count else ''}\n{text}")
                count += 1
            file.write("]")
            done(table.name, count)
        file.write("}}\n")


def _write_csv(draft: Path, table: Table, store: Store) -> int:
    """Returns the number of rows."""
    with draft.open("x", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.columns)
        count = 0
        for row in table.rows(store):
            writer.writerow([_csv_cell(value) for value in row.values()])
            count += 1
    return count


def _csv_cell(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets an apostrophe before it: programs are
    written by models, and a formula can send what it finds to somebody."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(_FORMULAS):
        return "'" + value
    return value


def _parquet_writer() -> Callable[[Path, Table, Store], int]:
    pyarrow = analysis_module("pyarrow")
    parquet = analysis_module("pyarrow.parquet")
    types = {
        str: pyarrow.string(),
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        bool: pyarrow.bool_(),
    }

    def write(draft: Path, table: Table, store: Store) -> int:
        schema = pyarrow.schema([(name, types[kind]) for name, kind in table.columns.items()])
        count = 0
        with parquet.ParquetWriter(draft, schema, compression="zstd") as writer:
            for rows in _batches(table.rows(store)):
                try:
                    batch = pyarrow.RecordBatch.from_pylist(rows, schema=schema)
                except (pyarrow.ArrowException, OverflowError) as error:
                    raise RunError(f"{store.path}: {table.name}: {error}") from error
                writer.write_batch(batch)
                count += len(rows)
        return count

    return write


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows in lists that are small in memory."""
    batch: list[Row] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += sum(len(value) for value in row.values() if isinstance(value, str))
        if len(batch) >= _BATCH_ROWS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
