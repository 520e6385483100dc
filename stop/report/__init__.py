"""The story of a run as one HTML file: `stop report RUN`.

    folder ─gather─► plain data ─render─► one file, with its style sheet, script and data inside

Every text of a program or a model is hostile: it is made readable here (`text.py`), escaped by the
templates, and handled by the script as text only.
"""

from __future__ import annotations

from pathlib import Path

from stop.errors import UserError

__all__ = ["write_report"]

_MARK = b'<meta name="generator" content="stop '
_HEAD_BYTES = 4096


def write_report(folder: Path, path: Path, *, force: bool = False) -> Path:
    """Writes the report of a run.

    Args:
        folder: of the run.
        path: of the HTML file. A report that is there is replaced.
        force: whether to replace any other file as well.

    Returns:
        The path.

    Raises:
        RunError: There is no run, or its files are damaged.
        UserError: There is a file that is not a report, or it cannot be written.
    """
    from stop.report.gather import gather  # noqa: PLC0415 - reads a whole run
    from stop.report.render import render  # noqa: PLC0415

    if not force and path.exists() and not _is_report(path):
        raise UserError(
            f"{path} is there already, and is not a report",
            hint="--force replaces it; -o names another",
        )
    text = render(gather(folder))
    draft = path.with_name(path.name + ".new")
    try:
        draft.write_text(text, "utf-8")
        draft.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    return path


def _is_report(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _MARK in file.read(_HEAD_BYTES)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
