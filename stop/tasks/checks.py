"""What is wrong with a task, as far as can be told before its seed is run."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from stop.errors import TaskError
from stop.programs import syntax_problem
from stop.tasks.answers import InvalidAnswer, plain_data_problem

if TYPE_CHECKING:
    from stop.tasks.task import Task

_SECRET = b"stop.tasks.task.static_problems"


def static_problems(task: Task) -> list[str]:
    """What is wrong with a task, found without running its seed; empty when nothing is."""
    problems = []
    if not task.description.strip():
        problems.append("task.toml: the description is empty; one line says what is asked")
    if "\n" in task.description.strip():
        problems.append("task.toml: the description has more than one line")
    if problem := syntax_problem(task.seed, task.entry_point):
        problems.append(f"seed.py: {problem}")
    try:
        first, again = (task.instances("search", _SECRET, count=2) for _ in range(2))
    except TaskError as error:
        return [*problems, str(error)]
    problems += _input_problems(task, first[0]["inputs"])
    if not _same(first, again):
        problems.append("make_instance: the same rng gives different instances; draw from rng only")
    elif _same(first[0], first[1]):
        problems.append("make_instance: every instance is the same; draw from rng")
    return problems + _play_problems(task, first[0]) + _score_problems(task, first[0])


def _input_problems(task: Task, inputs: dict[Any, Any]) -> list[str]:
    problems = []
    if not inputs:
        problems.append('make_instance: "inputs" is empty; it names the arguments of the solution')
    for name, value in inputs.items():
        if type(name) is not str or not name.isidentifier():
            problems.append(f"make_instance: the input name {name!r} is not a Python name")
        if problem := plain_data_problem(value):
            problems.append(f"make_instance: input {name!r} holds {problem}, which cannot travel")
    parameters = _parameters(task.seed, task.entry_point)
    if parameters is not None and parameters != list(inputs):
        problems.append(
            f"seed.py: {task.entry_point} takes ({', '.join(parameters)}), but the inputs are "
            f"({', '.join(map(str, inputs))})"
        )
    return problems


def _parameters(seed: str, entry_point: str) -> list[str] | None:
    """Names of the entry point's parameters; None where they cannot be told from the text."""
    if syntax_problem(seed):
        return None
    for node in ast.parse(seed).body:
        if isinstance(node, ast.FunctionDef) and node.name == entry_point:
            args = node.args
            if args.vararg or args.kwarg or args.kwonlyargs or args.defaults:
                return None
            return [arg.arg for arg in args.posonlyargs + args.args]
    return None


def _play_problems(task: Task, instance: dict[str, Any]) -> list[str]:
    try:
        call = next(task.play(instance))
    except (TaskError, StopIteration) as error:
        return [f"play: there is no first call: {error}"]
    if not isinstance(call, tuple):
        return ["play: it must yield the arguments of the next call as a tuple"]
    problem = plain_data_problem(call)
    return [f"play: the arguments hold {problem}, which cannot travel"] if problem else []


def _score_problems(task: Task, instance: dict[str, Any]) -> list[str]:
    rubbish: object
    for rubbish in (None, float("nan"), "", {}):
        try:
            task.score(instance, rubbish)
        except InvalidAnswer:
            return []
    return ["score: it accepts None, NaN, an empty string and an empty dict; raise ValueError"]


def _same(a: object, b: object) -> bool:
    """Equal data, arrays included; what cannot be compared counts as equal."""
    import numpy as np  # noqa: PLC0415 - `import stop.tasks.task` stays light

    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.array_equal(a, b, equal_nan=a.dtype.kind == "f" == b.dtype.kind)
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if plain_data_problem(a):
        return True  # a hidden object of the task's own: identity says nothing about it
    return a == b or (a != a and b != b)  # noqa: PLR0124 - NaN is itself here
