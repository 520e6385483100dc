"""The version of a store's tables, and opening a file of any version.

    run.db ─► its version ─┬─ newer than VERSION: refused
                           ├─ VERSION: opened
                           ├─ older, to write: migrated, each step in one transaction
                           └─ older, to read: a private copy is migrated, the file stays as it is

A step is a file, `migrations/NNNN_<what>.sql`: it takes a store from version NNNN - 1 to NNNN. To
change the tables, add a step and raise `VERSION`; a step that was released never changes. Rows are
added and finished, never deleted:

    programs ◄── improver_runs ──► lm_requests ──► lm_calls (the tape), lm_faults
       ▲              ▲    ├─────► utility_calls
       │              │    └─────► executions
       ├── evaluations└── rounds
       ├── samples, sample_events
       └── comparisons
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from stop._util.snapshot import copy_store
from stop.errors import RunError

VERSION = 3
"""Of the tables that this code reads and writes: `PRAGMA user_version` of an open store."""

_MIGRATIONS = Path(__file__).parent / "migrations"


def open_writer(path: Path) -> sqlite3.Connection:
    """Opens a store to write, makes it if it is missing, and migrates an older one.

    Raises:
        RunError: the file is not a store, is of a newer version, or cannot be opened.
    """
    with _opening(path) as opened:
        db = opened.enter_context(closing(_connect(path)))
        version = _version(db, path)
        db.execute("PRAGMA journal_mode = WAL")
        _migrate(db, version)
        opened.pop_all()
        return db


def open_reader(path: Path) -> sqlite3.Connection:
    """Opens a store to read, also in a folder that cannot be written, also while a run goes on.

    The connection refuses to write. Of a store of an older version it shows what was there when it
    was opened.

    Raises:
        RunError: the file is missing, is not a store, is of a newer version, or cannot be opened.
    """
    if not path.exists():
        raise RunError(f"there is no run in {path.parent}", hint="stop run --help")
    with _opening(path) as opened:
        db = opened.enter_context(closing(_connect_reader(path)))
        version = _version(db, path)
        if version == 0 and _first_tables() <= _names(db):
            version = 1  # that version did not number its files
        if version < VERSION:
            old, db = db, opened.enter_context(closing(_copied(db)))
            old.close()
            _migrate(db, version)
        db.execute("PRAGMA query_only = ON")
        opened.pop_all()
        return db


@contextmanager
def _opening(path: Path) -> Iterator[ExitStack]:
    """What is open is closed again when the store cannot be used."""
    try:
        with ExitStack() as opened:
            yield opened
    except sqlite3.DatabaseError as error:
        raise RunError(f"{path} is not a run's store, or cannot be opened: {error}") from error


def _connect(place: Path | str) -> sqlite3.Connection:
    db = sqlite3.connect(place, timeout=30, isolation_level=None, uri=isinstance(place, str))
    db.row_factory = sqlite3.Row
    return db


def _connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that can be read; to a copy, if need be."""
    db = _connect(path)  # not read-only: WAL needs its shared-memory file
    try:
        db.execute("SELECT 1 FROM sqlite_master")
        return db
    except sqlite3.DatabaseError as error:
        db.close()
        if error.sqlite_errorcode != sqlite3.SQLITE_CANTOPEN:
            raise
    # It is in WAL mode, and its folder has no room for that file.
    if not path.with_name(f"{path.name}-wal").exists():  # so no process is at work on it
        return _connect(f"{path.resolve().as_uri()}?immutable=1")
    with (
        TemporaryDirectory(prefix="stop-store-") as place,
        closing(_connect(copy_store(path.parent, Path(place)))) as original,
    ):
        return _copied(original)


def _copied(db: sqlite3.Connection) -> sqlite3.Connection:
    """A private copy of a store, in memory or, when large, in a temporary file."""
    copy = _connect("")
    db.backup(copy)
    return copy


def _version(db: sqlite3.Connection, path: Path) -> int:
    """The number of a store's version; 0 for an empty file, and for one of the first version."""
    if db.execute("SELECT 1 FROM sqlite_master").fetchone() is not None:
        db.execute("SELECT 1 FROM meta")  # fails where another program's tables are
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        raise RunError(
            f"{path} was written by a newer version of stop: its tables have version {version}, "
            f"and this one knows versions up to {VERSION}",
            hint="install that version of stop-optimizer, or a later one",
        )
    return version


def _migrate(db: sqlite3.Connection, version: int) -> None:
    """Carries out the steps after `version`."""
    for number in range(version + 1, VERSION + 1):
        # `meta` is where the first version of stop looks, so it refuses what it does not know.
        db.executescript(
            f"BEGIN IMMEDIATE; {_step(number)} REPLACE INTO meta VALUES ('schema', {number}); "
            f"PRAGMA user_version = {number}; COMMIT"
        )


def _step(number: int) -> str:
    (file,) = _MIGRATIONS.glob(f"{number:04}_*.sql")
    return file.read_text("utf-8")


@cache
def _first_tables() -> frozenset[str]:
    """The names of everything that the first step makes."""
    with closing(_connect(":memory:")) as made:
        made.executescript(_step(1))
        return _names(made)


def _names(db: sqlite3.Connection) -> frozenset[str]:
    return frozenset(row[0] for row in db.execute("SELECT name FROM sqlite_master"))
