"""The kinds of run that a user can ask for, one room each.

    rounds/    an improver rewrites itself, round after round
    improve/   an improver is applied once to a program of a task
    transfer/  two improvers are compared on tasks that neither was made for
    bypass/    how often a model switches the sandbox off

Each room holds the kind's configuration, its work and its result; see `stop.experiments.kind`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stop.experiments.kinds import KINDS, kind_of, read_config

__all__ = ["KINDS", "kind_of", "read_config"]


def __getattr__(name: str) -> Any:
    """Load on first use: `--help` needs the configuration of a kind, not what carries it out."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from stop.experiments import kinds  # noqa: PLC0415

    return getattr(kinds, name)
