"""The kinds of run by name, and the configuration of a run in the class of its kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stop.config import RunConfig
from stop.errors import RunError
from stop.experiments.bypass.kind import BYPASS
from stop.experiments.improve.kind import IMPROVE
from stop.experiments.kind import Kind
from stop.experiments.rounds.kind import ROUNDS
from stop.experiments.transfer.kind import TRANSFER
from stop.runs.folder import read_config_as, read_config_file

KINDS: dict[str, Kind[Any]] = {kind.name: kind for kind in (ROUNDS, IMPROVE, TRANSFER, BYPASS)}
"""The kinds by name: the `kind` of a configuration decides which class it is."""


def kind_of(config: RunConfig) -> Kind[Any]:
    """Returns the kind of run that a configuration asks for."""
    return KINDS[config.kind]


def read_config(folder: Path) -> RunConfig:
    """Read the configuration of a run, in the class of its kind.

    Raises:
        RunError: the folder holds no run, or one of another version.
    """
    name = read_config_file(folder).get("kind")
    kind = KINDS.get(str(name))
    if kind is None:
        raise RunError(f"{folder} is a run of an unknown kind: {name!r}")
    config: RunConfig = read_config_as(folder, kind.config)
    return config
