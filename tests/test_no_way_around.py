"""There is no way around the sandbox: no command, option, choice, variable or argument names one.

What exists is listed here. Whoever adds something says by adding it to a list that it does not lead
around the sandbox; what a name sounds like does not matter.
"""

from __future__ import annotations

import inspect
import re
import shutil

import click
import pytest

import stop
from stop.cli import cli
from stop.errors import ConfigError
from tests.helpers.places import REPOSITORY
from tests.helpers.programs import GREEDY
from tests.helpers.signatures import signature

OPTIONS = set(
    """
    --accept --all --alpha --base --base-url --baseline --both --calls --concurrency
    --confirm-repetitions --count --dockerfile --dry-run --final-repetitions --force --format
    --halt-after --head --holdout --image --images --improver
    --improver-max-tokens --improver-max-usd --isolation --json --keep --key --level --limit --lm
    --lm-patience --max-completion-tokens --max-lm-calls --max-prompt-tokens --max-response-tokens
    --max-responses --max-seconds --max-tokens --max-usd --max-utility-calls --meta-base-url
    --meta-lm --no-warning --open --origins --output --package --policy --policy-level --preset
    --program --programs --random-seed --reason --rebuild --repetitions --responses
    --round-max-lm-calls --round-max-seconds --round-max-tokens --round-max-usd --rounds --run
    --runs-dir --samples --sandbox --seed --solutions --split --task --tasks --temperature --test
    --utility-calls --version --warning -o
    """.split()  # noqa: SIM905 - easier to add to
)
ARGUMENTS = {
    "files", "first", "name", "program", "program_id", "run_name", "run_names", "second", "task",
}  # fmt: skip
CHOICES = {
    "--accept": {"confirmed", "better", "always"},
    "--format": {"json", "csv", "parquet"},
    "--isolation": {"fork", "container"},
    "--policy": {"log", "quarantine", "halt"},
    "--preset": {"quick", "paper"},
    "--sandbox": {"auto", "docker", "bubblewrap"},
    "--split": {"search", "meta", "test"},
}
COMMANDS = set(
    """
    audit bypass check compare costs build diff doctor evaluate export improve key lineage list ls
    model new prune pull replay report resume run sandbox scan show summary tasks transfer verify
    """.split()  # noqa: SIM905
)
VARIABLES = {"STOP_CACHE_DIR", "STOP_MODELS_DIR", "STOP_RUNS_DIR", "STOP_STATE_DIR"}
OURS = {"STOP_SELFCHECK_SECRET", "STOP_SANDBOX_OWNER"}  # set by stop itself, and read nowhere else
PARAMETERS = set(
    """
    accept alpha base_url baseline budget calls cells concurrency confirm_repetitions count
    execute final_repetitions folder halt_after holdout image
    improver improver_max_tokens improver_max_usd initial isolation keep lm lm_patience
    max_completion_tokens max_lm_calls max_prompt_tokens max_response_tokens max_responses
    max_seconds max_tokens max_usd max_utility_calls meta_base_url meta_lm name name_or_folder
    name_or_path policy policy_level preset program progress random_seed reason repetitions
    responses round_budget round_max_lm_calls round_max_seconds round_max_tokens round_max_usd
    rounds runs_dir samples sandbox seed source split task tasks temperature trained_on
    utility_calls
    """.split()  # noqa: SIM905
)
FUNCTIONS = [
    getattr(stop, name) for name in stop.__all__ if inspect.isfunction(getattr(stop, name))
]


def every_command(command, path=()):
    """(path, command) of a command and of all below it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from every_command(command.get_command(context, name), (*path, name))


def ways_around(root):
    """What is not known to keep everything in the sandbox, as texts."""
    found = []
    for path, command in every_command(root):
        where = " ".join(("stop", *path))
        found += [f"{where}: a new command"] if path and path[-1] not in COMMANDS else []
        for parameter in command.params:
            known = OPTIONS if isinstance(parameter, click.Option) else ARGUMENTS
            names = [*parameter.opts, *parameter.secondary_opts]
            found += [f"{where} {name}: a new name" for name in set(names) - known]
            for name in names:
                choices = set(getattr(parameter.type, "choices", ()))
                if choices != CHOICES.get(name, choices if name not in CHOICES and not choices
                                          else set()):  # fmt: skip
                    found.append(f"{where} {name}: takes {sorted(choices) or 'anything'}")
            variables = parameter.envvar or ()
            variables = [variables] if isinstance(variables, str) else variables
            found += [f"{where}: reads {name}" for name in set(variables) - VARIABLES]
    return found


def test_no_command_option_or_choice_is_a_way_around():
    assert ways_around(cli) == []
    assert len(list(every_command(cli))) > 30


ADDED = [
    click.Option(["--no-sandbox"], is_flag=True),
    click.Option(["--unsafe"], is_flag=True),
    click.Option(["--turbo"]),
    click.Option(["--sandbox/--no-sandbox"]),
    click.Option(["--sandbox", "-S"], type=click.Choice(["auto", "docker", "bubblewrap"])),
    click.Option(["--sandbox"], type=click.Choice(["auto", "docker", "bubblewrap", "none"])),
    click.Option(["--sandbox"]),
    click.Option(["--isolation"], type=click.Choice(["fork", "container", "off"])),
    click.Option(["--policy"], type=click.Choice(["log", "quarantine", "halt", "trust"])),
    click.Option(["--level"], type=click.Choice(["host"])),
    click.Option(["--force"], envvar="STOP_NO_SANDBOX"),
    click.Argument(["mode"]),
]


@pytest.mark.parametrize("added", ADDED, ids=lambda p: f"{p.opts[0]}-{p.type.name}")
def test_one_that_is_added_anywhere_is_seen(monkeypatch, added):
    for path, command in every_command(cli):
        with monkeypatch.context() as patch:
            patch.setattr(command, "params", [*command.params, added])
            (text, *_) = ways_around(cli)
        assert text.startswith(" ".join(("stop", *path)))
    assert ways_around(cli) == []


def test_a_command_that_is_added_is_seen():
    group = click.Group(commands={"run": click.Group(commands={"outside": click.Command("x")})})
    assert ways_around(group) == ["stop run outside: a new command"]


def test_no_environment_variable_is_a_way_around():
    read = set()
    for folder in ("stop", "sandbox"):
        for file in (REPOSITORY / folder).rglob("*.py"):
            read |= set(re.findall(r"\bSTOP_[A-Z_]+\b", file.read_text("utf-8")))
    assert read == VARIABLES | OURS


# --- the library


def unknown_parameters(function):
    return sorted(set(signature(function).parameters) - PARAMETERS)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_no_argument_of_the_library_is_a_way_around(function):
    assert unknown_parameters(function) == []


def test_an_argument_that_is_added_is_seen():
    def run(tasks, *, unsafe=False):
        """As somebody might add it."""

    def improve(task, **options):
        """As somebody might hide it."""

    assert unknown_parameters(run) == ["unsafe"]
    with pytest.raises(AssertionError, match="options"):
        unknown_parameters(improve)


@pytest.mark.parametrize(
    "function",
    [f for f in FUNCTIONS if "sandbox" in inspect.signature(f).parameters],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("name", ["sandbox", "isolation"])
@pytest.mark.parametrize("value", ["none", "off", "", "host", "AUTO", False, 0])
def test_no_value_is_a_way_around(function, name, value, tmp_path, scripted):
    shutil.copytree(REPOSITORY / "notebooks/runs/bypass", tmp_path / "bypass")
    improver = stop.Program("def improve_algorithm(s, u, l): return s\n")
    needed = {
        "source": GREEDY, "program": GREEDY, "improver": improver, "task": "knapsack",
        "tasks": ["knapsack"], "samples": 1, "lm": scripted("x"), "runs_dir": tmp_path / "runs",
        "folder": tmp_path / "bypass",
    }  # fmt: skip
    taken = signature(function).parameters
    if function is stop.replay and not value:
        pytest.skip("the sandbox is the recorded one then")
    if function is stop.improve:
        del needed["program"], needed["source"]  # the task's own
    given = {each: needed[each] for each in taken if each in needed} | {name: value}
    if name == "isolation" and name not in taken:
        pytest.skip("it takes no isolation")
    with pytest.raises(ConfigError, match=name):
        function(**given)
    assert not list((tmp_path / "runs").glob("*"))
