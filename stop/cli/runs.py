"""Finding a run by what a user types: its folder, its name, a part of it, or `last`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stop.errors import ProgramError, RunError

if TYPE_CHECKING:
    from stop.recorded_run import Run

DEFAULT_RUNS_DIR = "runs"
_WITHOUT_ROUNDS = ("improve", "bypass", "transfer")


def find_improver(text: str, runs_dir: str | None = None) -> str | Run:
    """What `--improver` names: a built-in improver, a file, or a run (its best improver)."""
    from stop.improvers import load_improver
    from stop.recorded_run import Run

    try:
        load_improver(text)
    except ProgramError as error:
        try:
            return Run(find_run(text, runs_dir, rounds_only=True))
        except RunError:
            raise error from None
    return text


def find_tapes(options: dict[str, Any]) -> None:
    """Let `tape:RUN` name a run as other commands do: by its name, a part of it, or `last`."""
    for option in ("lm", "meta_lm"):
        kind, colon, name = (options.get(option) or "").partition(":")
        if kind == "tape" and name:
            options[option] = f"{kind}{colon}{find_run(name, options.get('runs_dir'))}"


def find_run(text: str, runs_dir: str | None = None, *, rounds_only: bool = False) -> Path:
    """The folder of a run.

    Args:
        text: a path, a folder's name in the runs folder, the beginning or end of one that fits
            no other, or "last".
        runs_dir: default: `STOP_RUNS_DIR`, else "runs".
        rounds_only: "last" is the newest run of rounds, nothing of another kind.

    Raises:
        RunError: none or several fit.
    """
    folder = Path(text)
    if (folder / "config.json").is_file():
        return folder
    base = Path(runs_dir or os.environ.get("STOP_RUNS_DIR", DEFAULT_RUNS_DIR))
    names = sorted(p.parent.name for p in base.glob("[!.]*/config.json"))
    if text == "last" and names:
        rounds = [n for n in names if not any(f"-{kind}-" in n for kind in _WITHOUT_ROUNDS)]
        return base / (rounds or names if rounds_only else names)[-1]
    fitting = [n for n in names if n.startswith(text) or n.endswith(text)] if text else []
    if len(fitting) == 1:
        return base / fitting[0]
    if fitting:
        raise RunError(f"several runs fit {text!r}: {', '.join(fitting[:5])}")
    hint = f"runs in {base}: {', '.join(names[-5:])}" if names else f"there are no runs in {base}"
    raise RunError(f"there is no run {text!r}", hint=hint)
