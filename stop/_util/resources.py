"""Where the folders lie that travel with the package without being Python modules."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from stop.errors import StopError


def resource_folder(kind: Literal["tasks", "sandbox"]) -> Path:
    """The folder of the built-in tasks, or of the files the sandbox is built from.

    A wheel carries both in `stop/_data`; in a checkout they are top-level folders.

    Raises:
        StopError: neither exists, so the installation is damaged.
    """
    package = Path(__file__).resolve().parent.parent
    places = (package / "_data" / kind, package.parent / kind)
    for folder in places:
        if folder.is_dir():
            return folder
    raise StopError(
        f"this installation of stop has no {kind!r} folder; looked in "
        + " and ".join(str(place) for place in places),
        hint="reinstall the package: pip install --force-reinstall stop-optimizer",
    )
