"""`stop.tasks.task`: loading, splits, verdicts on answers, the scaffold, the static checks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stop._util.resources import resource_folder
from stop.errors import ConfigError, StopError, TaskError
from stop.tasks.checks import static_problems
from stop.tasks.task import (
    InvalidAnswer,
    Task,
    list_tasks,
    load_task,
    new_task,
    plain_data_problem,
    tasks_root,
)

TOML = """
name = "small"
description = "Double a number"
score_range = [0.0, 1.0]
[limits]
cpu_seconds = 1
[instances]
search = 2
meta = 2
test = 3
"""
SEED = "def algorithm(x):\n    return x\n"
UTILITY = """
def make_instance(rng):
    return {"inputs": {"x": int(rng.integers(1, 1000))}}


def score(instance, output):
    if type(output) is not int:
        raise ValueError("expected an integer")
    return float(output == 2 * instance["inputs"]["x"])
"""


def write(folder: Path, **files: str) -> Path:
    """A small task; keyword arguments replace or add files (`toml` is task.toml)."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {"toml": TOML, "seed": SEED, "utility": UTILITY} | files
    for stem, text in contents.items():
        name = "task.toml" if stem == "toml" else f"{stem}.py"
        (folder / name).write_bytes(text.encode())
    return folder


def with_score(folder: Path, body: str) -> Task:
    """A task whose score function has this body."""
    head = UTILITY[: UTILITY.index("def score")]
    return load_task(write(folder, utility=f"{head}def score(instance, output):\n    {body}\n"))


# -------------------------------------------------------------------------------------- loading


def test_a_task_folder_loads(tmp_path: Path) -> None:
    task = load_task(write(tmp_path / "small"))
    assert (task.name, task.entry_point, task.folder) == ("small", "algorithm", tmp_path / "small")
    assert (task.seed, task.utility_text) == (SEED, UTILITY)
    assert task.limits.wall_seconds == 10.0
    assert (task.limits.memory_mb, task.limits.output_kb, task.packages) == (512, 1024, ())
    assert task == load_task(str(tmp_path / "small"))
    assert len(task.instances("test", b"s")) == 3
    assert static_problems(task) == []


def test_short_limits_get_five_seconds_of_wall_clock() -> None:
    assert load_task("maxcut").limits.wall_seconds == pytest.approx(5.1)
    assert load_task("parity_noise").limits.wall_seconds == pytest.approx(20.0)


def test_texts_keep_their_line_ends(tmp_path: Path) -> None:
    crlf = UTILITY.replace("\n", "\r\n")
    assert load_task(write(tmp_path / "small", utility=crlf)).utility_text == crlf


def test_folder_name_and_task_name_agree_for_built_ins() -> None:
    assert [task.name for task in list_tasks()] == sorted(p.parent.name for p in _built_in_files())
    assert all(task.description and task.folder.name == task.name for task in list_tasks())


def _built_in_files() -> list[Path]:
    return list(tasks_root().glob("*/task.toml"))


def test_unknown_name_lists_the_tasks_and_the_near_ones(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"did you mean maxcut.*knapsack"):
        load_task("maxcat")
    with pytest.raises(TaskError, match="no task folder"):
        load_task(tmp_path / "missing")
    with pytest.raises(TaskError, match="no task folder"):
        load_task("./maxcut/nowhere")


def test_a_folder_in_the_way_does_not_hide_a_built_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "maxcut")
    write(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert load_task("maxcut").name == "maxcut"
    assert load_task("./maxcut").name == "small"
    assert load_task("mine").name == "small"


@pytest.mark.parametrize("missing", ["task.toml", "seed.py", "utility.py"])
def test_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    (write(tmp_path / "small") / missing).unlink()
    with pytest.raises(TaskError, match=missing):
        load_task(tmp_path / "small")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("name =", "nmae =", "nmae"),
        ('description = "Double a number"', "", "description"),
        ("[0.0, 1.0]", "[1.0, 0.0]", "low < high"),
        ("[0.0, 1.0]", "[0.0, inf]", "finite"),
        ("[0.0, 1.0]", "[0.0]", "score_range"),
        ("cpu_seconds = 1", "cpu_seconds = 0", "limits.cpu_seconds"),
        ("cpu_seconds = 1", "cpu_seconds = nan", "limits.cpu_seconds"),
        ("cpu_seconds = 1", 'cpu_seconds = "1"', "limits.cpu_seconds"),
        ("cpu_seconds = 1", "cpu_seconds = 1\nwall_seconds = 0.5", "wall_seconds"),
        ("cpu_seconds = 1", "cpu_seconds = 1\ncpu_minutes = 1", "limits.cpu_minutes"),
        ("search = 2", "search = 0", "instances.search"),
        ("search = 2", "search = true", "instances.search"),
        ("search = 2", "search = ", "not valid TOML"),
        ('"small"', '"Small Task"', "name"),
        ("score_range", 'entry_point = "a b"\nscore_range', "entry_point"),
    ],
)
def test_bad_task_file_says_which_key(tmp_path: Path, old: str, new: str, reason: str) -> None:
    with pytest.raises(TaskError, match=r"task\.toml") as caught:
        load_task(write(tmp_path / "small", toml=TOML.replace(old, new, 1)))
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("utility", "reason"),
    [
        ("def make_instance(:\n", "SyntaxError"),
        ("import a_module_that_is_nowhere\n", "a_module_that_is_nowhere"),
        ("raise SystemExit('no')\n", "SystemExit"),
        ("def make_instance(rng): ...\n", "'score'"),
        ("score = make_instance = 3\n", "'make_instance'"),
    ],
)
def test_broken_utility_is_a_task_error(tmp_path: Path, utility: str, reason: str) -> None:
    with pytest.raises(TaskError, match=r"utility\.py") as caught:
        load_task(write(tmp_path / "small", utility=utility))
    assert reason in caught.value.message


def test_text_that_is_not_utf8_is_a_task_error(tmp_path: Path) -> None:
    (write(tmp_path / "small") / "seed.py").write_bytes(b"\xff\xfe")
    with pytest.raises(TaskError, match="not UTF-8"):
        load_task(tmp_path / "small")


def test_digest_follows_every_file_that_counts(tmp_path: Path) -> None:
    folder = write(tmp_path / "small", reference="A = 1\n")
    digests = [load_task(folder).digest]
    for name in ("seed.py", "utility.py", "reference.py", "task.toml", "data.txt"):
        with (folder / name).open("a") as file:
            file.write("# changed\n")
        digests.append(load_task(folder).digest)
    assert len(set(digests)) == len(digests)
    (folder / "README.md").write_text("notes")
    (folder / "__pycache__").mkdir(exist_ok=True)
    (folder / "__pycache__" / "x.pyc").write_bytes(b"")
    assert load_task(folder).digest == digests[-1]


# ------------------------------------------------------------------------------- hidden siblings

USES_REFERENCE = "from reference import VALUE\n" + UTILITY


def test_two_tasks_keep_their_own_reference(tmp_path: Path) -> None:
    path, modules = list(sys.path), set(sys.modules)
    one = load_task(write(tmp_path / "one", utility=USES_REFERENCE, reference="VALUE = 1\n"))
    two = load_task(write(tmp_path / "two", utility=USES_REFERENCE, reference="VALUE = 2\n"))
    assert (one._utility.VALUE, two._utility.VALUE) == (1, 2)
    assert sys.path == path
    assert all(name.startswith("_stop_task_") for name in set(sys.modules) - modules)
    assert not list(tmp_path.rglob("__pycache__"))


def test_siblings_import_each_other_also_late(tmp_path: Path) -> None:
    utility = UTILITY.replace(
        "    if type", "    import reference\n    assert reference.deep\n    if type"
    )
    reference = "from deeper import deep\n"
    deeper = "from dataclasses import dataclass\n@dataclass\nclass C:\n    x: 'int'\ndeep = C(1)\n"
    task = load_task(write(tmp_path / "a", utility=utility, reference=reference, deeper=deeper))
    assert task.score({"inputs": {"x": 2}}, 4) == 1.0


def test_an_edit_within_the_same_second_is_seen(tmp_path: Path) -> None:
    for value in "123":
        folder = write(tmp_path / "a", utility=USES_REFERENCE, reference=f"VALUE = {value}\n")
        loaded = load_task(folder)._utility.VALUE
        assert loaded == int(value)


# ------------------------------------------------------------------------- instances and scores


def test_split_and_counts_are_checked() -> None:
    task = load_task("knapsack")
    with pytest.raises(ConfigError, match="search, meta, test"):
        task.instances("train", b"s")
    with pytest.raises(ConfigError):
        task.instances("test", b"s", count=-1)
    with pytest.raises(ConfigError):
        task.instances("test", b"s", repetition=-1)
    assert task.instances("test", b"s", count=0) == []


@pytest.mark.parametrize(
    "body", ["return 3", "return {}", "return {'inputs': [1]}", "return 1 / 0"]
)
def test_make_instance_that_makes_none_is_a_task_error(tmp_path: Path, body: str) -> None:
    text = f"def make_instance(rng):\n    {body}\ndef score(instance, output):\n    return 0.0\n"
    task = load_task(write(tmp_path / "small", utility=text))
    with pytest.raises(TaskError, match="make_instance"):
        task.instances("search", b"s")
    assert any("make_instance" in problem for problem in static_problems(task))


@pytest.mark.parametrize(
    "body",
    [
        "return float('nan')",
        "return float('inf')",
        "return 1.5",
        "return -0.1",
        "return None",
        "return 'x'",
        "return '0.5'",
        "return 1j",
        "return [1.0]",
        "return 10**400",
        "return output[0]['secret']",
        "raise RecursionError",
        "raise KeyError('the hidden truth')",
        "raise ValueError('why')",
        "raise ValueError()",
        "raise StopIteration",
    ],
)
def test_a_score_that_is_none_makes_the_answer_invalid(tmp_path: Path, body: str) -> None:
    task = with_score(tmp_path / "small", body)
    (instance,) = task.instances("search", b"s", count=1)
    with pytest.raises(InvalidAnswer) as caught:
        task.score(instance, 1)
    assert str(caught.value)
    assert "hidden truth" not in str(caught.value)


def test_the_reason_of_a_value_error_is_passed_on_in_bounds(tmp_path: Path) -> None:
    task = with_score(tmp_path / "small", "raise ValueError('too short ' * 1000)")
    with pytest.raises(InvalidAnswer, match="too short") as caught:
        task.score({"inputs": {}}, 1)
    assert len(str(caught.value)) <= 500


def test_numpy_and_integer_scores_become_floats(tmp_path: Path) -> None:
    task = with_score(tmp_path / "small", "import numpy as np; return np.float32(output)")
    assert type(task.score({"inputs": {}}, 1)) is float


def test_nesting_without_end_is_invalid() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    task = load_task("knapsack")
    (instance,) = task.instances("search", b"s", count=1)
    with pytest.raises(InvalidAnswer):
        task.score(instance, deep)


def test_default_play_is_one_call_with_the_inputs(tmp_path: Path) -> None:
    game = load_task(write(tmp_path / "small")).play({"inputs": {"x": 1, "y": "b"}})
    assert next(game) == (1, "b")
    with pytest.raises(StopIteration) as done:
        game.send([1])
    assert done.value.value == [1]


def test_errors_of_play_before_and_after_an_answer(tmp_path: Path) -> None:
    early = UTILITY + "\n\ndef play(instance):\n    yield (instance['nothing'],)\n"
    with pytest.raises(TaskError, match="play"):
        next(load_task(write(tmp_path / "early", utility=early)).play({"inputs": {}}))
    late = UTILITY + "\n\ndef play(instance):\n    answer = yield (1,)\n    return answer['x']\n"
    game = load_task(write(tmp_path / "late", utility=late)).play({"inputs": {}})
    next(game)
    with pytest.raises(InvalidAnswer):
        game.send(3)


@pytest.mark.parametrize(
    "value",
    [{1}, b"x", 1j, object(), {1.5: 0}, {"a": {None: 1}}, [np.int64(1)], np.array([object()])],
)
def test_what_is_not_plain_data_is_named(value: Any) -> None:
    assert plain_data_problem(value)


def test_plain_data_is_plain() -> None:
    value = {"a": [1, 2.5, None, True, ("x", {3: np.zeros((2, 2), dtype=np.uint8)})]}
    assert plain_data_problem(value) == ""


# ------------------------------------------------------------------- the scaffold and its checks


@pytest.mark.parametrize("name", ["mine", "My Task (2)", "2nd", "日本"])
def test_scaffold_is_a_working_task(tmp_path: Path, name: str) -> None:
    files = new_task(tmp_path / name)
    assert sorted(f.name for f in files) == ["reference.py", "seed.py", "task.toml", "utility.py"]
    assert all(file.parent == tmp_path / name for file in files)
    task = load_task(tmp_path / name)
    assert static_problems(task) == []
    scope: dict[str, Any] = {}
    exec(task.seed, scope)
    instances = task.instances("test", b"s")
    scores = [task.score(i, scope["algorithm"](**i["inputs"])) for i in instances]
    assert 0.3 < float(np.mean(scores)) < 0.6  # room above
    fits = [
        np.polyval(
            np.polyfit(i["inputs"]["train_x"], i["inputs"]["train_y"], 3), i["inputs"]["test_x"]
        )
        for i in instances
    ]
    best = [task.score(i, fit) for i, fit in zip(instances, fits, strict=True)]
    assert float(np.mean(best)) > 0.9


def test_scaffold_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TaskError, match="not an empty folder"):
        new_task(tmp_path)
    with pytest.raises(TaskError):
        new_task(tmp_path / "notes.txt")
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"toml": TOML.replace("Double a number", " ")}, "description"),
        ({"seed": "def algorithm(x:\n"}, "line 1"),
        ({"seed": "def other(x):\n    return x\n"}, "algorithm"),
        ({"seed": "def algorithm(y):\n    return y\n"}, "takes (y)"),
        ({"utility": UTILITY.replace("int(rng.integers(1, 1000))", "{1, 2}")}, "type set"),
        ({"utility": UTILITY.replace('"x":', "1:")}, "not a Python name"),
        ({"utility": UTILITY.replace("int(rng.integers(1, 1000))", "7")}, "every instance"),
        (
            {
                "utility": "import random\n"
                + UTILITY.replace("int(rng.integers(1, 1000))", "random.random()")
            },
            "same rng",
        ),
        ({"utility": UTILITY.replace("if type(output) is not int:", "if False:")}, "it accepts"),
        ({"utility": UTILITY + "\ndef play(instance):\n    yield 3\n"}, "tuple"),
        ({"utility": UTILITY + "\ndef play(instance):\n    yield ({1},)\n"}, "type set"),
        ({"utility": UTILITY + "\ndef play(instance):\n    return 3\n    yield\n"}, "first call"),
        ({"utility": UTILITY + "\ndef play(instance):\n    return 3\n"}, "first call"),
    ],
)
def test_static_problem_is_found(tmp_path: Path, files: dict[str, str], reason: str) -> None:
    problems = static_problems(load_task(write(tmp_path / "small", **files)))
    assert any(reason in problem for problem in problems), problems


# --------------------------------------------------------------------------------- resources


def test_resources_prefer_what_the_wheel_carries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "stop"
    package.mkdir(parents=True)
    monkeypatch.setattr("stop._util.resources.__file__", str(package / "_util" / "resources.py"))
    with pytest.raises(StopError, match="tasks") as caught:
        resource_folder("tasks")
    assert "reinstall" in caught.value.hint
    (tmp_path / "site" / "tasks").mkdir()
    assert resource_folder("tasks") == tmp_path / "site" / "tasks"
    (package / "_data" / "tasks").mkdir(parents=True)
    assert resource_folder("tasks") == package / "_data" / "tasks"


def test_importing_the_module_does_not_load_numpy() -> None:
    code = "import sys, stop.tasks.task; sys.exit('numpy' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
