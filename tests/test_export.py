"""Exports hold what the run holds, in every format, and harm no reader."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
from contextlib import closing

import pytest
from click.testing import CliRunner

import stop
from stop.cli import cli
from stop.errors import ConfigError, RunError, StopError
from stop.runs.export import FORMATS, export
from stop.store.tables import TABLES
from tests.helpers.places import REPOSITORY
from tests.helpers.programs import GREEDY, fenced

pytestmark = pytest.mark.bubblewrap

FORMULA = '=HYPERLINK("http://127.0.0.1/"&A1)'
MARKUP = "@x\n<script>alert(1)</script>,\"';\x1b[31m\ud800"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run with programs that a spreadsheet should not meet."""
    place = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOP_STATE_DIR", str(place / "state"))
        replies = [fenced(FORMULA + "\n"), fenced(MARKUP + "\n"), fenced(GREEDY)]
        path = place / "replies.jsonl"
        path.write_text("".join(json.dumps(reply) + "\n" for reply in replies))
        result = stop.improve(
            task="knapsack",
            lm=f"scripted:{path}",
            responses=3,
            sandbox="bubblewrap",
            runs_dir=place,
        )
    return result.run


def rows_of(folder):
    with closing(stop.Run(folder).store()) as store:
        return {name: list(table.rows(store)) for name, table in TABLES.items()}


def read_back(form, path):
    """Tables as a reader has them; of CSV everything is text."""
    if form == "json":
        return json.loads(path.read_text("ascii"))["tables"]
    if form == "csv":
        tables = {}
        for file in path.glob("*.csv"):
            with file.open(newline="", encoding="utf-8") as opened:
                tables[file.stem] = list(csv.DictReader(opened))
        return tables
    parquet = pytest.importorskip("pyarrow.parquet")
    return {file.stem: parquet.read_table(file).to_pylist() for file in path.glob("*.parquet")}


def as_csv(value):
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    guarded = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r", "\n")
    return ("'" if guarded else "") + str(value)


@pytest.mark.parametrize("form", FORMATS)
def test_every_row_of_every_table(folder, tmp_path, form):
    export(folder, form, tmp_path / "out")
    found, expected = read_back(form, tmp_path / "out"), rows_of(folder)
    if form == "csv":
        expected = {
            name: [{column: as_csv(value) for column, value in row.items()} for row in rows]
            for name, rows in expected.items()
        }
    assert found == expected
    assert {name for name, rows in found.items() if rows} >= {
        "programs", "improver_runs", "lm_calls", "responses", "evaluations", "instances",
        "utility_calls",
    }  # fmt: skip


def test_rows_have_the_columns_and_types_that_are_said(folder):
    for name, rows in rows_of(folder).items():
        for row in rows:
            assert list(row) == list(TABLES[name].columns)
            for column, value in row.items():
                kinds = (TABLES[name].columns[column], int, type(None))
                assert isinstance(value, kinds if kinds[0] is float else (kinds[0], type(None)))


def test_formulas_are_text_in_csv_and_themselves_elsewhere(folder, tmp_path):
    export(folder, "csv", tmp_path / "csv")
    sources = {row["source"] for row in read_back("csv", tmp_path / "csv")["programs"]}
    assert f"'{FORMULA}" in sources
    assert any(source.startswith("'@x") for source in sources)
    assert not any(source.startswith(("=", "+", "-", "@")) for source in sources)
    assert FORMULA in {row["source"] for row in rows_of(folder)["programs"]}


def test_the_secret_stays(folder, tmp_path):
    for form in FORMATS:
        export(folder, form, tmp_path / form)
    secret = (folder / "secret").read_bytes()
    with closing(stop.Run(folder).store()) as store:
        keys = [row[0] for row in store.query("SELECT key FROM evaluations")]
    assert keys
    for path in [*tmp_path.rglob("*.*"), tmp_path / "json"]:
        text = path.read_bytes()
        assert secret not in text
        assert secret.hex().encode() not in text
        assert not any(key.encode() in text for key in keys)


def test_a_damaged_run_leaves_no_half_of_a_file(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (tmp_path / "out.json").write_text("before")
    with closing(sqlite3.connect(copy / "run.db")) as db, db:
        db.execute("UPDATE evaluations SET instances = '[[1]]'")
    with pytest.raises(RunError, match="instances cannot be read"):
        export(copy, "json", tmp_path / "out.json")
    assert (tmp_path / "out.json").read_text() == "before"
    with pytest.raises(RunError, match="instances"):
        export(copy, "csv", tmp_path / "csv")
    assert not (tmp_path / "csv/instances.csv").exists()
    assert not list(tmp_path.rglob(".*"))


def test_the_command(folder, tmp_path, monkeypatch):
    def run(*arguments):
        return CliRunner().invoke(cli, ["export", str(folder), *arguments])

    done = run("-o", str(tmp_path / "deep/er/out.json"))
    assert done.exit_code == 0
    assert done.stdout == ""
    assert "programs" in done.stderr
    assert json.loads((tmp_path / "deep/er/out.json").read_text())["run"] == folder.name
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        export(folder, "csv", tmp_path / "file")
    with pytest.raises(ConfigError, match="is a folder"):
        export(folder, "json", tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(StopError) as caught:
        export(folder, "parquet", tmp_path / "parquet")
    assert "stop-optimizer[analysis]" in caught.value.hint


def test_the_documentation_has_every_column():
    page = (REPOSITORY / "docs/output.md").read_text("utf-8")
    for table in TABLES.values():
        columns = ", ".join(f"`{column}`" for column in table.columns)
        assert f"| `{table.name}` | {columns} |" in page
