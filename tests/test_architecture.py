"""Dependencies point one way, the public names are what they are, and imports are light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import stop
from tests.helpers.places import REPOSITORY


def test_arrows_point_one_way():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_public_names():
    assert set(stop.__all__) == {
        "Budget",
        "BypassRates",
        "Evaluation",
        "ImproverBudget",
        "Improved",
        "Program",
        "Replay",
        "Run",
        "StopError",
        "Task",
        "Transfer",
        "evaluate",
        "improve",
        "list_tasks",
        "load_task",
        "measure_bypass",
        "open_run",
        "replay",
        "resume",
        "run",
        "transfer",
    }
    for name in stop.__all__:
        assert getattr(stop, name).__doc__


def test_heavy_modules_load_only_where_used():
    code = (
        "import sys, stop, stop.cli\n"
        "heavy = {'numpy', 'scipy', 'openai', 'docker', 'pydantic', 'rich', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_has_help():
    from click.testing import CliRunner

    from stop.cli import _COMMANDS, cli

    runner = CliRunner()
    for name, (_, _, short_help) in _COMMANDS.items():
        result = runner.invoke(cli, [name, "--help"])
        assert result.exit_code == 0, result.output
        assert short_help
        assert name in runner.invoke(cli, ["--help"]).output
