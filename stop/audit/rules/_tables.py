"""The tables of the rules: tables.toml, read and checked once, when the rules are imported."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from types import SimpleNamespace
from typing import Any


class Words(SimpleNamespace):
    """A section of tables.toml: its lists as sets."""

    def __getattr__(self, name: str) -> frozenset[str]:
        raise AttributeError(f"tables.toml: this section has no list {name!r}")


class Patterns(SimpleNamespace):
    """The lists under `patterns` of a section: as regular expressions, their items alternatives."""

    def __getattr__(self, name: str) -> re.Pattern[str]:
        raise AttributeError(f"tables.toml: this section has no pattern {name!r}")


def by_name(section: Words) -> dict[str, str]:
    """Returns {name: rule} of a section whose lists are called after rules."""
    return {name: rule for rule, names in vars(section).items() for name in names}


def load(text: str) -> SimpleNamespace:
    """Returns the sections of tables.toml.

    Raises:
        ValueError: it is not TOML; a list is empty or holds an item twice, or an item is not a text
            or not a regular expression; `names`, `modules` or `imports` have a rule that is not
            described under `rules`.
    """
    tables: SimpleNamespace = _read("tables.toml:", tomllib.loads(text))
    shown = {*vars(tables.names), *vars(tables.modules), *vars(tables.imports)}
    if unknown := shown - vars(tables.rules).keys():
        raise ValueError(f"tables.toml does not describe the rules {sorted(unknown)}")
    return tables


def _read(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        section = Patterns if name.endswith(" patterns") else Words
        return section(**{key: _read(f"{name} {key}", v) for key, v in value.items()})
    if isinstance(value, str) and name.startswith("tables.toml: rules "):
        return value
    items = value if isinstance(value, list) else []
    texts = frozenset(item for item in items if isinstance(item, str) and item)
    if not texts or len(texts) != len(items):
        raise ValueError(f"{name} should be a list of different texts")
    if " patterns " not in name:
        return texts
    try:
        return re.compile("|".join(re.compile(item).pattern for item in items))
    except re.error as error:
        raise ValueError(f"{name} is not a regular expression: {error}") from error


TABLES = load(files(__package__).joinpath("tables.toml").read_text("utf-8"))
