"""What the documentation says of commands and options is true."""

from __future__ import annotations

import pkgutil
import re
import tomllib

import pytest

from stop.cli import _COMMANDS, cli
from tests.helpers.places import PAGES, REPOSITORY

PATH = re.compile(
    r"`((?:stop|sandbox|tests|tasks|docs|notebooks|benchmarks|scripts|\.ci)/[\w./*-]*)`"
)
NAME = re.compile(r"`(stop(?:\.\w+)+)`")


def _commands(text):
    """`stop …` lines of code blocks and of inline code."""
    lines = re.findall(r"^\s*(stop [a-z].*)$", text, re.M) + re.findall(r"`(stop [^`]+)`", text)
    for line in lines:
        yield line.split("#")[0].split()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_and_options_exist(page):
    import click

    for words in _commands(page.read_text("utf-8")):
        name = words[1].rstrip(",.;:")
        assert name in _COMMANDS, words
        command = cli.get_command(click.Context(cli), name)
        if isinstance(command, click.Group) and len(words) > 2 and words[2].isalpha():
            command = command.commands.get(words[2])
            assert command is not None, words
        known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
        for word in words[2:]:
            if word.startswith("--"):
                assert word.rstrip(",.;:)") in known | {"--help"}, (word, words)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_paths_and_names_exist(page):
    text = page.read_text("utf-8")
    for path in PATH.findall(text):
        assert list(REPOSITORY.glob(path)), path
    for name in NAME.findall(text):
        pkgutil.resolve_name(name)


@pytest.mark.parametrize("name", ["stop.task.load_task", "stop.lm.base.SimplestModel"])
def test_a_name_that_is_gone_is_seen(name):
    with pytest.raises((ImportError, AttributeError)):
        pkgutil.resolve_name(name)


def test_make_targets_exist():
    makefile = (REPOSITORY / "Makefile").read_text()
    for page in (REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"):
        for target in re.findall(r"^make (\w+)|`make (\w+)`", page.read_text("utf-8"), re.M):
            assert f"\n{''.join(target)}:" in makefile, target


def test_the_version_is_one():
    import stop

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["version"] == stop.__version__
    assert f"## {stop.__version__}" in (REPOSITORY / "CHANGELOG.md").read_text()
