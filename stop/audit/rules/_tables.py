"""The tables of the rules: tables.toml, read once, when the rules are imported."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any


class Tables:
    """Sections of lists of texts. Every list is checked when a rule takes it.

    Args:
        data: the sections.

    Attributes:
        taken: (section, key) of each list that a rule has asked for; a test finds the others.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data
        self.taken: set[tuple[str, str]] = set()
        self.rules: dict[str, str] = data["rules"]

    def words(self, section: str, key: str) -> frozenset[str]:
        """Returns the words of a list.

        Raises:
            ValueError: there is no such list, it is empty, or an item is no text or listed twice.
        """
        self.taken.add((section, key))
        return frozenset(_checked(f"{section}.{key}", self._data.get(section, {}).get(key)))

    def pattern(self, section: str, key: str) -> re.Pattern[str]:
        """Returns the patterns of a list as one regular expression.

        Raises:
            ValueError: as for `words`, or an item is not a regular expression.
        """
        items = self.words(section, key)
        try:
            return re.compile("|".join(sorted(re.compile(item).pattern for item in items)))
        except re.error as error:
            raise ValueError(f"{section}.{key} of tables.toml: {error}") from error

    def rules_by_name(self, section: str) -> dict[str, str]:
        """Returns {name: the rule that it shows}, of a section whose keys are rules.

        A rule has a list of names, or a list for each module; those are returned in full.

        Raises:
            ValueError: as for `words`, or a rule has no description.
        """
        found: dict[str, str] = {}
        for rule, listed in self._data[section].items():
            if rule not in self.rules:
                raise ValueError(f"{section} of tables.toml: {rule!r} is not described")
            if isinstance(listed, dict):
                names = [f"{m}.{n}" for m, ns in listed.items() for n in _checked(m, ns)]
            else:
                names = _checked(f"{section}.{rule}", listed)
            self.taken.add((section, rule))
            found.update(dict.fromkeys(names, rule))
        return found


def _checked(where: str, items: Any) -> list[str]:
    texts = isinstance(items, list) and all(isinstance(item, str) and item for item in items)
    if not texts or not items or len({*items}) != len(items):
        raise ValueError(f"{where} of tables.toml should be a list of different texts")
    return list(items)


TABLES = Tables(tomllib.loads(files(__package__).joinpath("tables.toml").read_text("utf-8")))
