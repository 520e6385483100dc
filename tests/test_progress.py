"""Progress in words: the same for a terminal and a notebook; a plain Python prompt stays silent."""

from __future__ import annotations

import json
from types import SimpleNamespace

import nbformat
import pytest
from nbclient import NotebookClient

import stop
from stop._util.progress import NotebookProgress, Watched, default_listener
from stop.events import Progress, ignore_progress

CALL = {"n": 2, "prompt_tokens": 30, "completion_tokens": 12, "usd": 0.5}


def test_what_has_happened_is_counted():
    watched = Watched()
    assert watched.see(Progress("run_started")) is None
    assert not watched.see(Progress("message", "recording")).detail
    for usd in (0.5, 0.25):
        watched.see(Progress("lm_call_started", data=CALL))
        assert watched.see(Progress("lm_call_finished", data=CALL | {"usd": usd})).detail
    for score in (0.5, 0.25):
        scored = {"level": "task", "score": score, "status": "ok"}
        watched.see(Progress("candidate_scored", data=scored))
    watched.see(Progress("budget", data={"share": 0.5, "level": "run", "resource": "lm_calls"}))
    watched.see(Progress("security", "sandbox_flag", {"level": 2}))
    head, counts, best = watched.standing()
    assert "recording" in head
    for words in ("2 LM calls", "84 tokens", "$0.7500", "2 candidates", "1 security event",
                  "50% of the run's lm calls"):  # fmt: skip
        assert words in counts
    assert "in flight" not in counts
    assert best == "best program 0.5000"


def test_a_price_that_is_not_known_stays_unknown():
    watched = Watched()
    for usd in (None, 1.0):
        watched.see(Progress("lm_call_finished", data=CALL | {"usd": usd}))
    assert "price unknown" in watched.standing()[1]


def test_a_notebook_shows_one_output_without_control_characters():
    shown = []
    handle = SimpleNamespace(update=lambda what: shown.append(repr(what)))
    display = SimpleNamespace(display=lambda what, display_id: handle)
    progress = NotebookProgress(SimpleNamespace(display=display))
    for i in range(30):
        progress(Progress("message", f"line {i} \x1b[31m"))
    assert len(shown) == 30
    assert "line 29" in shown[-1]
    assert "line 1 " not in shown[-1]
    assert "\x1b" not in shown[-1]


def test_a_plain_prompt_is_silent():
    assert default_listener() is ignore_progress


@pytest.mark.bubblewrap
def test_a_notebook_shows_progress_and_the_result(tmp_path, monkeypatch):
    replies = tmp_path / "replies.jsonl"
    replies.write_text(json.dumps("no program") + "\n")
    call = f"""
        import stop
        stop.improve(
            task="knapsack", lm="scripted:{replies}", sandbox="bubblewrap", responses=1,
            runs_dir="{tmp_path / "runs"}",
        )
    """
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(call)])
    NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
    first, *_, last = notebook.cells[0].outputs
    assert first.output_type == "display_data"
    assert "recording in" in first.data["text/plain"]
    assert "1 LM call ·" in first.data["text/plain"]
    assert "<table>" in last.data["text/html"]
    assert "the program did not change" in last.data["text/html"]


def test_progress_is_of_the_caller_where_he_gives_it(tmp_path, scripted):
    seen = []
    with pytest.raises(stop.StopError):
        stop.improve(task="knapsack", lm=scripted("x"), sandbox="bubblewrap", max_lm_calls=0,
                     runs_dir=tmp_path, progress=seen.append)  # fmt: skip
    assert seen[0].kind == "message"
