"""Modules that come with an extra; without it a message that says how to get it."""

from __future__ import annotations

import importlib
from typing import Any

from stop.errors import StopError


def analysis_module(name: str) -> Any:
    """A module that the extra `analysis` brings; `StopError` where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise StopError(
            f"{name.partition('.')[0]} is not installed: {error}",
            hint="pip install 'stop-optimizer[analysis]'",
        ) from error
