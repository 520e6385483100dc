"""Tasks: what a solution is asked, and how its answers are scored.

tasks/<name>/task.toml    name, limits, instance counts
             seed.py      the program to begin with
             utility.py   make_instance(rng), score(instance, output); runs on the host
             *.py         what utility.py imports; the language model never reads it

secret ─HMAC─► rng ─► make_instance ─► instance ─┬─ inputs ──► sandbox ──► output
                                                 └─ the rest stays here ─► score(instance, output)
"""

from __future__ import annotations

import difflib
import hashlib
import hmac
import math
import traceback
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from stop._util.resources import resource_folder
from stop.errors import ConfigError, TaskError, machine_trouble
from stop.tasks.answers import InvalidAnswer, plain_data_problem
from stop.tasks.files import (
    InstanceCounts,
    Limits,
    folder_digest,
    load_utility,
    new_task,
    read_task_file,
    read_text,
)

__all__ = [
    "SPLITS",
    "Instance",
    "InvalidAnswer",
    "Task",
    "list_tasks",
    "load_task",
    "new_task",
    "plain_data_problem",
    "tasks_root",
]

SPLITS = ("search", "meta", "test")
Instance = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A utility and a seed solution. Two loads of an unchanged folder are equal."""

    name: str
    description: str
    entry_point: str
    score_range: tuple[float, float]
    limits: Limits
    counts: InstanceCounts
    packages: tuple[str, ...]
    citation: str
    folder: Path
    seed: str = field(repr=False)
    utility_text: str = field(repr=False)
    digest: str
    _utility: ModuleType = field(repr=False, compare=False)

    def instances(
        self, split: str, secret: bytes, repetition: int = 0, count: int | None = None
    ) -> list[Instance]:
        """The instances of a split, the same for the same arguments.

        Args:
            split: one of `SPLITS`.
            secret: of the run; who does not know it cannot foresee the instances.
            repetition: another number gives other instances.
            count: how many; default: the task's number for that split.

        Raises:
            ConfigError: no such split, or a negative number.
            TaskError: `make_instance` fails or returns something else than an instance.
        """
        if split not in SPLITS:
            raise ConfigError(f"there is no split {split!r}; the splits are {', '.join(SPLITS)}")
        number = int(getattr(self.counts, split)) if count is None else count
        if number < 0 or repetition < 0:
            raise ConfigError("the number of instances and the repetition cannot be negative")
        labels = (f"{self.name}\0{split}\0{repetition}\0{i}" for i in range(number))
        digests = (hmac.digest(secret, label.encode(), hashlib.sha256) for label in labels)
        return [self._make_instance(int.from_bytes(digest, "big")) for digest in digests]

    def share(self, score: float) -> float:
        """Returns a score as a share of the range of scores: 0 at its lower end, 1 at its upper."""
        low, high = self.score_range
        return (score - low) / (high - low)

    def with_count(self, split: str, number: int) -> Task:
        """The same task with another number of instances in one split."""
        return replace(self, counts=self.counts.model_copy(update={split: number}))

    def _make_instance(self, rng_seed: int) -> Instance:
        import numpy as np  # noqa: PLC0415 - `import stop.tasks.task` stays light

        where = f"make_instance of task {self.name!r} ({self.folder / 'utility.py'})"
        try:
            instance = self._utility.make_instance(np.random.default_rng(rng_seed))
        except Exception as error:
            if machine_trouble(error):
                raise
            raise TaskError(f"{where} failed: {type(error).__name__}: {error}") from error
        if not isinstance(instance, dict) or not isinstance(instance.get("inputs"), dict):
            raise TaskError(f'{where} must return a dict whose key "inputs" holds a dict')
        return instance

    def score(self, instance: Instance, output: object) -> float:
        """Score an answer that was decoded from a guest; higher is better.

        Raises:
            InvalidAnswer: the answer is not one, or its score lies outside `score_range`.
            OSError: no disk space, no descriptors: no verdict on the answer.
        """
        _require_plain(output)
        try:
            value = self._utility.score(instance, output)
        except Exception as error:  # whatever a hostile answer makes it raise is a verdict on it
            if machine_trouble(error):
                raise
            raise _verdict(error) from error
        low, high = self.score_range
        try:
            number = float(value) if not isinstance(value, str | bytes) else math.nan
        except Exception as error:  # arrays, None, complex: nothing that is a score
            raise InvalidAnswer("the answer has no score that is a real number") from error
        if not low <= number <= high:  # also catches NaN
            raise InvalidAnswer(f"the answer's score is not within {low:g} to {high:g}")
        return number

    def play(self, instance: Instance) -> Generator[tuple[Any, ...], Any, Any]:
        """The calls of one instance: yields arguments, is sent answers, returns the output.

        Without a `play` in utility.py this is one call, with the instance's inputs.

        Raises:
            InvalidAnswer: an answer was not acceptable.
            TaskError: the utility failed before any answer was given.
        """
        if not hasattr(self._utility, "play"):
            return (yield tuple(instance["inputs"].values()))
        moves = self._utility.play(instance)
        try:
            call = next(moves)
        except Exception as error:
            if machine_trouble(error):
                raise
            raise TaskError(f"play of task {self.name!r} failed at once: {error!r}") from error
        while True:
            answer = yield call
            _require_plain(answer)
            try:
                call = moves.send(answer)
            except StopIteration as done:
                return done.value
            except Exception as error:  # as in score: the answer is to blame
                if machine_trouble(error):
                    raise
                raise _verdict(error) from error


def _verdict(error: Exception) -> InvalidAnswer:
    """Show what a utility raised on purpose; of accidents only kind and line: they tell no truth.

    An accident is either an answer that the utility did not foresee, or a mistake in the utility.
    """
    if isinstance(error, ValueError) and str(error):
        return InvalidAnswer(str(error)[:500])
    trace = traceback.extract_tb(error.__traceback__)
    lines = [entry.lineno for entry in trace if Path(entry.filename).name == "utility.py"]
    where = f" at line {lines[-1]}" if lines else ""
    return InvalidAnswer(
        f"the answer has a wrong type or shape, or utility.py is wrong: it raised "
        f"{type(error).__name__}{where}"
    )


def _require_plain(answer: object) -> None:
    """Second line of defence: the decoder of the frames should have made this impossible."""
    try:
        problem = plain_data_problem(answer)
    except RecursionError:
        problem = "it is nested too deeply"
    if problem:
        raise InvalidAnswer(f"the answer is not plain data: {problem}")


def tasks_root() -> Path:
    """The folder of the built-in tasks."""
    return resource_folder("tasks")


def _built_in() -> dict[str, Path]:
    return {file.parent.name: file.parent for file in sorted(tasks_root().glob("*/task.toml"))}


def list_tasks() -> list[Task]:
    """The built-in tasks, by name."""
    return [_load_folder(folder) for folder in _built_in().values()]


def load_task(name_or_path: str | Path) -> Task:
    """Load a built-in task by name, or any task by the path of its folder.

    Raises:
        TaskError: unknown, incomplete or broken; says which file and why.
    """
    known = _built_in()
    if isinstance(name_or_path, str) and name_or_path in known:
        return _load_folder(known[name_or_path])
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        return _load_folder(folder)
    if isinstance(name_or_path, Path) or len(folder.parts) != 1:
        raise TaskError(f"there is no task folder {folder}")
    near = difflib.get_close_matches(str(name_or_path), known, n=3)
    raise TaskError(
        f"there is no task {str(name_or_path)!r}"
        + (f"; did you mean {' or '.join(near)}?" if near else "")
        + f" (tasks: {', '.join(known)})",
        hint="give one of these names, or the path of a folder with a task.toml",
    )


def _load_folder(folder: Path) -> Task:
    folder = folder.resolve()
    about = read_task_file(folder / "task.toml")
    seed, text = read_text(folder / "seed.py"), read_text(folder / "utility.py")
    digest = folder_digest(folder)
    try:
        utility = load_utility(folder, f"{about.name}_{digest[:16]}")
    except (Exception, SystemExit) as error:  # its top level may raise anything
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise TaskError(
            f"{folder / 'utility.py'} cannot be loaded: {type(error).__name__}: {error}{line}"
        ) from error
    for function in ("make_instance", "score"):
        if not callable(getattr(utility, function, None)):
            raise TaskError(f"{folder / 'utility.py'} defines no function {function!r}")
    return Task(
        name=about.name,
        description=about.description,
        entry_point=about.entry_point,
        score_range=about.score_range,
        limits=about.limits,
        counts=about.instances,
        packages=about.packages,
        citation=about.source.citation if about.source else "",
        folder=folder,
        seed=seed,
        utility_text=text,
        digest=digest,
        _utility=utility,
    )
