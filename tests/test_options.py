"""Library, command line and configuration agree: in names, defaults, choices and bounds."""

from __future__ import annotations

import inspect
from typing import get_args, get_type_hints

import click
import pytest
from click.testing import CliRunner

import stop
from stop.budget import Budget, ImproverBudget
from stop.budget.limits import IMPROVER_RUN
from stop.cli.bypass import bypass
from stop.cli.improve import improve
from stop.cli.run import resume, run
from stop.cli.transfer import transfer
from stop.errors import ConfigError
from stop.experiments.bypass.config import BypassConfig, Sampling
from stop.experiments.improve.config import ImproveConfig
from stop.experiments.rounds.config import PRESETS, RoundsConfig
from stop.experiments.transfer.config import TransferConfig
from stop.options import bypass_config, improve_config, rounds_config, transfer_config

PAIRS = [
    (stop.run, run, RoundsConfig),
    (stop.improve, improve, ImproveConfig),
    (stop.transfer, transfer, TransferConfig),
    (stop.measure_bypass, bypass, BypassConfig),
    (stop.resume, resume, RoundsConfig),
]
OF_THE_LIBRARY = {"budget", "round_budget", "progress", "trained_on"}
"""Objects, which a command line has by other names."""
OF_THE_COMMANDS = {"as_json", "dry_run", "output", "run_name"}
RENAMED = {"which": "cells"}
ANY_PAIR = pytest.mark.parametrize(("function", "command", "config"), PAIRS)


def parameters(function):
    """The keyword parameters and their defaults, those of `**limits: Unpack[...]` included."""
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            (limits,) = get_args(get_type_hints(function)[name])
            found |= dict.fromkeys(limits.__annotations__)
        else:
            found[name] = None if parameter.default is parameter.empty else parameter.default
    return found


def options(command):
    """The options by name. `which` of `stop bypass` is one in three flags."""
    named = {each.name: each for each in command.params}
    return {RENAMED.get(name, name): each for name, each in named.items()}


def field_default(config, name):
    """The default of an option as the configuration has it."""
    if name in IMPROVER_RUN and config is not BypassConfig:
        return getattr(config.model_fields["task_budget"].default, IMPROVER_RUN[name])
    owner = Sampling if config is BypassConfig and name in SAMPLED else config
    return owner.model_fields[SAMPLED.get(name, name)].get_default()


SAMPLED = {name: name for name in Sampling.model_fields} | {"max_response_tokens": "max_tokens"}
OTHERS = {"improver", "baseline", "reason", "runs_dir", "folder", "program", "task", "tasks"}
"""What the configuration has in another form: a text for a file, a tuple for a list."""


@ANY_PAIR
def test_names_agree(function, command, config):
    library, commands = set(parameters(function)), set(options(command))
    if function is stop.resume:
        library, commands = library - {"folder"}, commands - {"runs_dir"}
    assert library - OF_THE_LIBRARY == commands - OF_THE_COMMANDS


@ANY_PAIR
def test_defaults_agree(function, command, config):
    seen = 0
    for name, default in parameters(function).items():
        if default is None or name in OTHERS | OF_THE_LIBRARY:
            continue
        seen += 1
        if name == "utility_calls":  # it follows from two others
            continue
        assert default == field_default(config, name), name
        if name != "cells":
            assert options(command)[name].default == default, name
    assert seen >= (0 if function is stop.resume else 5)


@pytest.mark.parametrize(
    "name", ["rounds", "accept", "repetitions", "final_repetitions", *IMPROVER_RUN]
)
def test_what_a_preset_may_give_has_no_default_in_the_signature(name):
    """None stands for what was not given; the command line drops defaults for the same reason."""
    assert parameters(stop.run)[name] is None


def test_a_preset_holds_where_an_option_is_not_given():
    quick = rounds_config(preset="quick", lm="x")
    assert quick.rounds == PRESETS["quick"]["rounds"] != RoundsConfig.model_fields["rounds"].default
    dry = ["--preset", "quick", "--lm", "openai:gpt-4o-mini", "--dry-run", "--json"]
    shown = CliRunner().invoke(run, dry, catch_exceptions=False)
    assert f'"rounds": {quick.rounds}' in shown.stdout
    given = CliRunner().invoke(run, [*dry, "--rounds", "6"], catch_exceptions=False)
    assert '"rounds": 6' in given.stdout


def test_limits_are_those_of_the_budgets():
    names = {name for name in parameters(stop.measure_bypass) if name.startswith("max_")}
    limits = {name.removeprefix("max_") for name in names - {"max_response_tokens"}}
    assert limits == set(Budget.__dataclass_fields__)
    assert set(IMPROVER_RUN.values()) < set(ImproverBudget.__dataclass_fields__)


def configured(command, **values):
    """Make the configuration that a command would make."""
    given = {"lm": "scripted:x", **values}
    if command is run or command is resume:
        return rounds_config(**{"tasks": "knapsack"} | given)
    if command is improve:
        return improve_config(**{"task": "knapsack"} | given)
    if command is bypass:
        return bypass_config(**{"samples": 1} | given)
    improver = stop.Program("def improve_algorithm(s, u, l):\n    return s\n")
    return transfer_config(improver, **{"tasks": "knapsack"} | given)


def bounded(command):
    """(option, a value out of its bounds) of each option with bounds."""
    for option in command.params:
        kind = option.type
        if isinstance(kind, click.IntRange | click.FloatRange):
            yield from ((option.name, end) for end in (
                None if kind.min is None else kind.min - 1,
                None if kind.max is None else kind.max + 1,
            ) if end is not None)  # fmt: skip


@pytest.mark.parametrize(
    ("command", "name", "value"),
    [(c, *each) for c in (run, improve, transfer, bypass) for each in bounded(c)],
    ids=str,
)
def test_the_library_refuses_what_the_command_line_refuses(command, name, value):
    (option,) = (each for each in command.params if each.name == name)
    with pytest.raises(click.BadParameter):
        option.type.convert(value, option, None)
    with pytest.raises(ConfigError, match=rf"must be|less than|not {value}"):
        configured(command, **{name: value})


def test_bounds_are_many():
    assert len(list(bounded(run))) > 20


def test_help_shows_each_option_with_words():
    for _, command, _ in PAIRS:
        for option in command.params:
            if isinstance(option, click.Option):
                assert (option.help or "").rstrip().endswith("."), (command.name, option.name)


@pytest.mark.parametrize(
    ("command", "words"),
    [(transfer, "--tasks"), (bypass, "--samples"), (improve, "--task")],
)
def test_what_has_no_default_is_asked_for(command, words):
    done = CliRunner().invoke(command, [])
    assert done.exit_code == 2
    assert f"Missing option '{words}'" in done.output
