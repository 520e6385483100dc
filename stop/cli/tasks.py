"""`stop tasks`: list, check and create tasks."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stop._util.sheet import Sheet, Table, interval, number, plural
from stop.cli.options import given, json_option, sandbox_options
from stop.cli.output import note, say, show
from stop.errors import TaskError

if TYPE_CHECKING:
    from stop.cli.documents.machine import TaskCheck
    from stop.tasks.evaluation import Evaluation


@click.group()
def tasks() -> None:
    """List, check and create tasks. A task is a folder: task.toml, seed.py, utility.py."""


@tasks.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """The built-in tasks."""
    from stop.cli.documents.machine import TaskFacts, TaskList
    from stop.tasks.task import list_tasks

    found = list_tasks()
    facts = (
        TaskFacts(t.name, t.description, t.entry_point, t.score_range, t.limits, t.counts, t.folder)
        for t in found
    )
    rows = [
        [t.name, t.entry_point, f"{t.limits.cpu_seconds:g} s",
         f"{t.counts.search}/{t.counts.meta}/{t.counts.test}", t.description]
        for t in found
    ]  # fmt: skip
    sheet = [Table(["task", "function", "CPU limit", "search/meta/test", ""], rows)]
    show(TaskList(tuple(facts)), sheet, as_json)


@tasks.command()
@click.argument("task", metavar="DIR")
@sandbox_options
@json_option
def check(task: str, as_json: bool, **all_options: Any) -> None:
    """Load a task, score its seed twice, and report the noise and what is wrong.

    Exit code 2 when something is wrong.
    """
    from stop.api import evaluate
    from stop.cli.documents.machine import TaskCheck
    from stop.tasks.checks import static_problems
    from stop.tasks.task import load_task

    wanted = given(all_options)
    loaded = load_task(task)
    problems = static_problems(loaded)
    found: dict[str, Sequence[Evaluation]] = {}
    for split in () if problems else ("search", "meta"):
        note(f"scoring the seed twice on {split}")
        found[split] = [evaluate(loaded.seed, task=task, split=split, **wanted) for _ in "ab"]
        first = found[split][0]
        if first.status != "ok":
            problems.append(f"the seed fails on {split}: {first.status}: {first.detail}")
    checked = TaskCheck(
        task=loaded.name,
        ok=not problems,
        problems=tuple(problems),
        scores={split: (a.score, b.score) for split, (a, b) in found.items()},
        noise={split: abs(a.score - b.score) for split, (a, b) in found.items()},
        intervals={split: a.interval for split, (a, _) in found.items()},
    )
    show(checked, _sheet(checked, found), as_json)
    if problems:
        found_wrong = plural(len(problems), "problem")
        raise TaskError(f"task {loaded.name!r} has {found_wrong}: {problems[0]}")


def _sheet(checked: TaskCheck, found: dict[str, Sequence[Evaluation]]) -> Sheet:
    sheet: Sheet = [f"task {checked.task}"]
    rows = []
    for split, (first, again) in checked.scores.items():
        slowest = max((i.cpu_seconds for i in found[split][0].instances), default=0.0)
        rows.append(
            [split, number(first), number(again), number(checked.noise[split]),
             interval(checked.intervals[split]), f"{slowest * 1000:.1f} ms"]
        )  # fmt: skip
    if rows:
        heads = ["split", "seed", "again", "noise", "95 % interval", "slowest instance"]
        sheet.append(Table(heads, rows))
        sheet.append("(noise: the difference between two scores on different instances)")
    sheet += [f"problem: {problem}" for problem in checked.problems]
    return sheet if checked.problems else [*sheet, "nothing is wrong with it"]


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
