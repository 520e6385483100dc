"""The command line as a user meets it: its own process, its exit codes, its JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

RUN = (
    *("run", "--tasks", "knapsack", "--rounds", "1", "--repetitions", "1", "--calls", "1"),
    *("--responses", "2", "--utility-calls", "3", "--sandbox", "bubblewrap", "--seed", "1"),
    *("--accept", "better", "--final-repetitions", "0"),
)
"""A short run, to which models are added."""
PATIENCE_SECONDS = 240
"""How long a command may take on a machine with other work; none takes a tenth of it alone."""


def stop(
    *arguments: str, check: int = 0, program: tuple[str, ...] = ("-m", "stop"), **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run `stop` to its end, and check its exit code.

    Args:
        arguments: the words after `stop`.
        check: the exit code that it must have.
        program: what the interpreter is called with, before the arguments.
        options: of `subprocess.run`.
    """
    done = subprocess.run(
        [sys.executable, *program, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        **options,
    )
    assert done.returncode == check, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    return done


def begin(
    *arguments: str, program: tuple[str, ...] = ("-m", "stop"), **options: Any
) -> subprocess.Popen[str]:
    """Start `stop` and return its process; `options` are those of `subprocess.Popen`."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, *program, *arguments], text=True, **pipes | options)


def end(process: subprocess.Popen[str]) -> str:
    """Wait for a process that `begin` started, and return what it wrote to stderr."""
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert "Traceback" not in errors
    return errors


def document(done: subprocess.CompletedProcess[str]) -> Any:
    """Return the one JSON document on stdout."""
    return json.loads(done.stdout)
