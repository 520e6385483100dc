"""The notebooks run on what is shipped with them, and on another run; what is shipped is whole."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from pathlib import Path

import nbformat
import pytest

import stop
from stop.audit.keys import parse_key
from stop.audit.whole import verify_run
from tests.helpers.places import REPOSITORY
from tests.helpers.programs import GREEDY, fenced

NOTEBOOKS = REPOSITORY / "notebooks"
BOOKS = sorted(NOTEBOOKS.glob("*.ipynb"))
RUNS = sorted(path.parent for path in NOTEBOOKS.glob("runs/*/config.json"))
LINE = re.compile(r'^RUN = "(runs/[\w-]+)"', re.M)
MACHINE = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|var|Users|opt|mnt)/\w")
LONG = pytest.mark.skipif(
    os.environ.get("STOP_TEST_ALL") != "1", reason="takes over a minute; STOP_TEST_ALL=1 does it"
)
HEAD = "def improve_algorithm(initial_solution, utility, language_model):\n"
BETTER = HEAD + f"    return {GREEDY!r}\n"


def executed(book: Path, folder: Path, changes: dict[str, str]) -> list[dict]:
    """The code cells of a notebook, run in `folder` with some text of it changed."""
    from nbclient import NotebookClient

    text = book.read_text("utf-8")
    for old, new in changes.items():
        assert text.count(old) == 1, (old, text.count(old))
        text = text.replace(old, new)
    notebook = nbformat.reads(text, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=600, resources=resources).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def pictures(cells) -> int:
    return sum("image/png" in out.get("data", {}) for cell in cells for out in cell.outputs)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The notebooks and their runs, where nothing of the checkout can be changed."""
    folder = tmp_path_factory.mktemp("notebooks") / "notebooks"
    shutil.copytree(NOTEBOOKS, folder)
    return folder


@pytest.fixture
def fresh(scripted, tmp_path):
    """A run that nobody has seen, with an improver that is accepted."""
    run = stop.run(
        tasks=["knapsack"], rounds=1, repetitions=2, calls=1, responses=2, sandbox="bubblewrap",
        lm=scripted(fenced(BETTER)), runs_dir=tmp_path / "runs", confirm_repetitions=6,
        final_repetitions=3,
    )  # fmt: skip
    assert run.best.source.strip() == BETTER.strip()
    return run


# --- the notebooks


def test_there_are_five():
    assert [book.name[0] for book in BOOKS] == list("12345")
    for book in BOOKS:
        assert f"({book.name})" in (NOTEBOOKS / "README.md").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_a_notebook_runs_on_what_is_shipped(book, place):
    # Scoring on held-out instances takes long here; on a fresh run it is done below.
    slow = {"evaluate=True)": "evaluate=False)"} if "evaluate=True)" in book.read_text() else {}
    cells = executed(book, place, slow)
    assert pictures(cells) >= 1
    for cell in cells:
        calls = "plot_" in cell.source
        assert any("image/png" in out.get("data", {}) for out in cell.outputs) == calls


@pytest.mark.slow
@pytest.mark.bubblewrap
@pytest.mark.parametrize("number", ["1", "3", "4"])
def test_one_line_makes_it_a_notebook_of_another_run(number, place, fresh):
    (book,) = (book for book in BOOKS if book.name.startswith(number))
    name = LINE.search(nbformat.read(book, 4).cells[1].source)[1]
    cells = executed(book, place, {f'RUN = \\"{name}\\"': f'RUN = \\"{fresh.folder}\\"'})
    shown = "".join(str(out) for cell in cells for out in cell.outputs)
    if number == "1":
        assert fresh.best.id[:20] in shown
    if number == "3":
        assert "no gain was confirmed" in shown or "was confirmed" in shown
    if number == "4":
        assert "intact" in shown
        assert "no program of this run has a security event" in shown
    assert pictures(cells) >= 1


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_a_notebook_can_be_read_without_running_it(book):
    notebook = nbformat.read(book, 4)
    nbformat.validate(notebook)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert first.source.startswith("RUN = ")
    assert LINE.search(first.source)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(LINE.findall("\n".join(cell.source for cell in code))) == 1
    assert pictures(code) == sum("plot_" in cell.source for cell in code)
    assert not [out for cell in code for out in cell.outputs if out.output_type == "error"]
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.language_info == {"name": "python"}
    assert not any(cell.metadata for cell in notebook.cells)
    assert not MACHINE.search(book.read_text("utf-8"))
    assert book.stat().st_size < 300_000


# --- the runs


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_recorded_run_is_whole_and_says_nothing_of_its_machine(run, tmp_path):
    keys = [path.read_text("ascii").strip() for path in NOTEBOOKS.glob("runs/public-key*.txt")]
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    with sqlite3.connect(folder / "run.db") as database:
        head = database.execute("SELECT value FROM meta WHERE key = 'audit.head'").fetchone()[0]
        texts = [
            str(value)
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for row in database.execute(f"SELECT * FROM {table}").fetchall()
            for value in row
        ]
    database.close()
    verdict = verify_run(folder, head, list(map(parse_key, keys)))
    assert verdict.ok, verdict.problem
    assert verdict.signed_lines == verdict.lines
    files = [path for path in run.rglob("*") if path.is_file()]
    texts += [path.read_text("utf-8") for path in files if path.suffix in (".json", ".jsonl")]
    assert not [text for text in texts if MACHINE.search(text)]
    assert sum(path.stat().st_size for path in files) < 1_600_000
    assert not (run / "lock").exists()
    assert stop.open_run(run).to_dict()["status"] == "done"
    assert f"`{run.name}`" in (NOTEBOOKS / "runs" / "README.md").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.bubblewrap
@pytest.mark.parametrize(
    "run",
    [pytest.param(run, marks=LONG if run.name == "larger-model" else ()) for run in RUNS],
    ids=lambda run: run.name,
)
def test_a_recorded_run_comes_out_the_same_again(run):
    result = stop.replay(run, sandbox="bubblewrap")
    details = [each.detail for each in result.differences]
    if any("timeout" in detail for detail in details):
        pytest.skip(f"too slow a machine for the time limits of then: {details[0]}")
    assert result.same, details
    assert result.compared["improver_runs"] + result.compared.get("samples", 0) > 5
