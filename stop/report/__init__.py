"""The story of a run as one HTML file: `stop report RUN`.

    folder ─gather─► plain data ─render─► one file, with its style sheet, script and data inside

Every text of a program or a model is hostile: it is made readable here (`text.py`), escaped by the
templates, and handled by the script as text only.
"""

from __future__ import annotations

from pathlib import Path

from stop.errors import UserError

__all__ = ["write_report"]


def write_report(folder: Path, path: Path, *, force: bool = False) -> Path:
    """Write the report of the run in `folder`; returns where it is.

    Args:
        folder: of the run.
        path: the file.
        force: replace a file that is there.

    Raises:
        RunError: there is no run, or its files are damaged.
        UserError: the file is there, or cannot be written.
    """
    from stop.report.gather import gather  # noqa: PLC0415 - reads a whole run
    from stop.report.render import render  # noqa: PLC0415

    if path.exists() and not force:
        raise UserError(f"{path} is there already", hint="--force replaces it; -o names another")
    text = render(gather(folder))
    draft = path.with_name(path.name + ".new")
    try:
        draft.write_text(text, "utf-8")
        draft.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    return path
