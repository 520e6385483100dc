"""Finding a run by what a user types: its folder, its name, a part of it, or `last`."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stop.cli.options import given, runs_dir_option
from stop.errors import ProgramError, RunError

if TYPE_CHECKING:
    from stop.recorded_run import Run

DEFAULT_RUNS_DIR = "runs"


def run_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds RUN and `--runs-dir`; the command is called with the folder of the run."""

    @click.argument("run_name", metavar="RUN")
    @runs_dir_option
    @functools.wraps(command)
    def find(run_name: str, runs_dir: str, **options: Any) -> Any:
        return command(folder=find_run(run_name, runs_dir), **options)

    return find


def named(all_options: dict[str, Any], runs_dir: str) -> dict[str, Any]:
    """The options that the user gave, with improvers in the place of their names, and folders in
    that of tapes' names."""
    options = given(all_options)
    for option in ("improver", "baseline"):
        if option in options:
            options[option] = find_improver(options[option], runs_dir)
    for option in ("lm", "meta_lm"):
        kind, colon, name = options.get(option, "").partition(":")
        if kind == "tape" and name:
            options[option] = f"{kind}{colon}{find_run(name, runs_dir)}"
    return options


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


def find_run(text: str, runs_dir: str | None = None, *, rounds_only: bool = False) -> Path:
    """The folder of a run.

    Args:
        text: a path, a folder's name in the runs folder, the beginning or end of one that fits
            no other, or "last".
        runs_dir: defaults to `STOP_RUNS_DIR`, else "runs".
        rounds_only: "last" is the newest run with rounds, if there is one.

    Raises:
        RunError: none or several fit.
    """
    from stop.experiments.overview import run_folders

    folder = Path(text)
    if (folder / "config.json").is_file():
        return folder
    base = Path(runs_dir or os.environ.get("STOP_RUNS_DIR", DEFAULT_RUNS_DIR))
    names = [each.name for each in reversed(run_folders(base))]  # the newest last
    if text == "last" and names:
        return base / (_with_rounds(names) or names if rounds_only else names)[-1]
    fitting = [n for n in names if n.startswith(text) or n.endswith(text)] if text else []
    if len(fitting) == 1:
        return base / fitting[0]
    if fitting:
        raise RunError(f"several runs fit {text!r}: {', '.join(fitting[:5])}")
    hint = f"runs in {base}: {', '.join(names[-5:])}" if names else f"there are no runs in {base}"
    raise RunError(f"there is no run {text!r}", hint=hint)


def _with_rounds(names: list[str]) -> list[str]:
    """The names of runs without those whose kind, which is part of a name, has no rounds."""
    from stop.experiments import KINDS

    without = [f"-{kind.name}-" for kind in KINDS.values() if not kind.has_rounds]
    return [name for name in names if not any(part in name for part in without)]
