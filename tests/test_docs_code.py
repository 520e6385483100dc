"""The Python in README and docs runs as it stands there, and every call in it has a real signature.

What runs is what the pages say, but for the models, which are scripted, and for numbers that would
take long: `CHANGES` names each, and a text that a page does not hold any more fails.
"""

from __future__ import annotations

import ast
import re
import shutil

import numpy as np
import pytest

import stop
from tests.helpers.command_line import stop as command
from tests.helpers.places import PAGES, REPOSITORY
from tests.helpers.programs import GREEDY, fenced, scripted_model
from tests.helpers.signatures import signature

RUNS = REPOSITORY / "notebooks/runs"
SHORT = "repetitions=1, calls=1, responses=2"
CHANGES = {
    "README.md": {
        "local:qwen2.5-coder-1.5b": "scripted:replies.jsonl",
        "openai:gpt-4o-mini": "scripted:replies.jsonl",
        "rounds=3": f"rounds=1, {SHORT}",
    },
    "analysis.md": {"3f9a01": "seed", ", test=True": ""},
    "bypass.md": {"openai:gpt-4o-mini": "scripted:replies.jsonl", "samples=100": "samples=2"},
    "lineage.md": {},
    "replay.md": {},
    "report.md": {},
    "tasks.md": {},
    "transfer.md": {
        "openai:gpt-4o-mini": "scripted:replies.jsonl",
        "max_usd=1": f"max_usd=1, {SHORT}",
    },
}
"""The pages whose code runs. `improvers.md` shows a signature, and no program."""
RECORDED = {
    "runs/20260101-120000-run-1a2b": "larger-model",
    "runs/20260101-120000-run-0a1b": "larger-model",
    "runs/20260101-130000-transfer-3c4d": "transfer",
    "runs/a": "larger-model",
    "runs/b": "small-model",
}


def blocks(text):
    """The Python blocks of a page."""
    return re.findall(r"```python\n(.*?)```", text, re.S)


def snippets(page):
    """Its blocks, and the calls within its sentences."""
    text = page.read_text("utf-8")
    inline = re.findall(r"`((?:stop|analysis)\.\w+\([^`]*\))`", text)
    return blocks(text) + inline


def check_calls(source):
    """Bind the arguments of each call of `stop.…` and `analysis.…`; whose they are must exist."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name(id="stop"), attr=name):
                assert name in {*stop.__all__, "analysis"}, name
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="stop" | "analysis" as home))):
                owner = stop if home == "stop" else pytest.importorskip("stop.analysis")
                given = [value for value in node.args if not is_ellipsis(value)]
                named = {each.arg: each.value for each in node.keywords}
                how = signature(getattr(owner, node.func.attr))
                (how.bind if len(given) == len(node.args) else how.bind_partial)(*given, **named)


def is_ellipsis(node):
    return isinstance(node, ast.Constant) and node.value is ...


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_call_has_a_real_signature(page):
    for source in snippets(page):
        check_calls(source)


def test_so_have_the_calls_in_the_library_s_own_words():
    words = "\n".join(re.findall(r"^ *((?:\w+ = )?stop\..*\))", stop.__doc__, re.M))
    assert words.count("stop.") >= 3
    check_calls(words)


@pytest.mark.parametrize(
    "wrong",
    [
        "stop.run(tasks=['knapsack'], max_dollars=2)",
        "stop.improve(task='knapsack', responces=2)",
        "stop.transfer('x.py', task='maxcut')",
        "stop.evaluate('x', tasks='knapsack')",
        "stop.resume('runs/x', max_dollars=2)",
        "stop.Budget(dollars=2)",
        "stop.open_run()",
        "stop.optimize(task='knapsack')",
    ],
)
def test_a_call_without_one_is_seen(wrong):
    with pytest.raises((TypeError, AssertionError, AttributeError)):
        check_calls(f"import stop\nx = [{wrong}]\n")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a scripted model, and no container engine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    scripted_model(tmp_path / "replies.jsonl", fenced(GREEDY))
    return tmp_path


@pytest.mark.slow
@pytest.mark.bubblewrap
@pytest.mark.parametrize("name", CHANGES)
def test_the_code_of_a_page_runs(name, place):
    pytest.importorskip("stop.analysis")
    for folder, recorded in RECORDED.items():
        short = "small-model" if name == "replay.md" else recorded  # the whole run is done again
        shutil.copytree(RUNS / short, place / folder)
    (page,) = (page for page in PAGES if page.name == name)
    source = "\n".join(blocks(page.read_text("utf-8")))
    for old, new in CHANGES[name].items():
        assert old in source, f"{old!r} is not there any more"
        source = source.replace(old, new)
    if "my_task" in source:
        command("tasks", "new", "my_task")
    names = {"run": stop.open_run("runs/a"), "stop": stop}
    exec(compile(source, name, "exec"), names)
    if name == "tasks.md":
        instance = names["make_instance"](np.random.default_rng(1))
        assert names["score"](instance, instance["largest"]) == 1.0


def test_the_pages_with_code_are_known():
    with_code = {page.name for page in PAGES if blocks(page.read_text("utf-8"))}
    assert with_code == {*CHANGES, "improvers.md"}
