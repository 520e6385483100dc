"""`stop tasks`: list, check and create tasks."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stop.cli.options import sandbox_options
from stop.cli.output import clean, json_option, note, number, say, show_json, table
from stop.errors import TaskError

if TYPE_CHECKING:
    from stop.tasks.evaluation import Evaluation
    from stop.tasks.task import Task


@click.group()
def tasks() -> None:
    """List, check and create tasks. A task is a folder: task.toml, seed.py, utility.py."""


@tasks.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """The built-in tasks."""
    from stop.tasks.task import list_tasks

    found = list_tasks()
    if as_json:
        show_json({"tasks": [_facts(task) for task in found]})
        return
    rows = [
        [t.name, t.entry_point, f"{t.limits.cpu_seconds:g} s",
         f"{t.counts.search}/{t.counts.meta}/{t.counts.test}", t.description]
        for t in found
    ]  # fmt: skip
    table(["task", "function", "CPU limit", "search/meta/test", ""], rows)


def _facts(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "description": task.description,
        "entry_point": task.entry_point,
        "score_range": list(task.score_range),
        "limits": task.limits.model_dump(),
        "instances": task.counts.model_dump(),
        "folder": str(task.folder),
    }


@tasks.command()
@click.argument("task", metavar="DIR")
@sandbox_options
@json_option
def check(task: str, as_json: bool, **options: Any) -> None:
    """Load a task, score its seed twice, and report the noise and what is wrong.

    Exit code 2 when something is wrong.
    """
    from stop.api import evaluate
    from stop.tasks.checks import static_problems
    from stop.tasks.task import load_task

    loaded = load_task(task)
    problems = static_problems(loaded)
    scores: dict[str, list[Evaluation]] = {}
    if not problems:
        for split in ("search", "meta"):
            note(f"scoring the seed twice on {split}")
            scores[split] = [evaluate(loaded.seed, task=task, split=split, **options) for _ in "ab"]
            problems += _seed_problems(split, scores[split])
    document = {
        "task": loaded.name,
        "ok": not problems,
        "problems": problems,
        "scores": {split: [e.score for e in both] for split, both in scores.items()},
        "noise": {split: abs(both[0].score - both[1].score) for split, both in scores.items()},
        "intervals": {split: both[0].interval for split, both in scores.items()},
    }
    if as_json:
        show_json(document)
    else:
        _show(document, scores)
    if problems:
        raise TaskError(f"task {loaded.name!r} has {len(problems)} problem(s): {problems[0]}")


def _seed_problems(split: str, both: list[Evaluation]) -> list[str]:
    return [
        f"the seed fails on {split}: {e.status}: {e.detail}" for e in both[:1] if e.status != "ok"
    ]


def _show(document: dict[str, Any], scores: dict[str, list[Evaluation]]) -> None:
    say(f"task {document['task']}")
    rows = []
    for split, (first, second) in scores.items():
        ends = first.interval or (first.score, first.score)
        slowest = max((i.cpu_seconds for i in first.instances), default=0.0)
        rows.append(
            [split, number(first.score), number(second.score), number(document["noise"][split]),
             f"{ends[0]:.4f} to {ends[1]:.4f}", f"{slowest * 1000:.1f} ms"]
        )  # fmt: skip
    if rows:
        heads = ["split", "seed", "again", "noise", "95 % interval", "slowest instance"]
        table(heads, rows)
        say("(noise: the difference between two scores on different instances)")
    for problem in document["problems"]:
        say(f"problem: {clean(problem)}")
    if document["ok"]:
        say("nothing is wrong with it")


@tasks.command()
@click.argument("name", metavar="NAME", type=click.Path())
def new(name: str) -> None:
    """Create a folder NAME with a small task that works, to be changed into yours."""
    from stop.tasks.task import new_task

    written = new_task(Path(name))
    for path in written:
        say(str(path))
    folder = name if "/" in name else f"./{name}"  # a bare name could be a built-in task's
    note(f"now change it, then: stop tasks check {shlex.quote(folder)}")
