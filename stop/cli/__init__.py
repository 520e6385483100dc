"""The command line: one file per command group, loaded when it is used.

Exit codes: 0 done, 1 the run failed, 2 usage, 3 budget, 4 sandbox, 5 language model,
6 halted by policy, 130 interrupted.
"""

from __future__ import annotations

import importlib
import signal
import sys

import click

from stop import __version__
from stop.errors import INTERRUPTED_EXIT_CODE, RunError, StopError, UserError, machine_trouble

# name: (module, attribute, short help). The help stands here so that `stop --help` imports nothing.
_COMMANDS = {
    "run": ("run", "run", "Rounds of self-improvement: an improver rewrites itself."),
    "resume": ("run", "resume", "Go on with a run where it was."),
    "replay": ("replay", "replay", "Do a run again from its tape: is it repeatable?"),
    "improve": ("improve", "improve", "Apply an improver once to one task's program."),
    "evaluate": ("evaluate", "evaluate", "Score one program on a task."),
    "bypass": ("bypass", "bypass", "How often does a model switch the sandbox off?"),
    "transfer": ("transfer", "transfer", "Is an improved improver better on other tasks, too?"),
    "tasks": ("tasks", "tasks", "List, check and create tasks."),
    "ls": ("ls", "ls", "The runs in a folder, the newest first."),
    "lineage": ("lineage", "lineage", "The tree of a run's improvers with their scores."),
    "show": ("lineage", "show", "One program of a run: where it came from, what it scored."),
    "diff": ("lineage", "diff", "What changed between two programs of a run."),
    "compare": ("compare", "compare", "Runs, or programs of one, side by side: more than noise?"),
    "report": ("report", "report", "The story of a run as one HTML file."),
    "export": ("export", "export", "The tables of a run as JSON, CSV or Parquet."),
    "costs": ("costs", "costs", "What a run's language model calls cost."),
    "audit": ("audit", "audit", "The security log of a run."),
    "model": ("model", "model", "Local models: list and pull."),
    "sandbox": ("sandbox", "sandbox", "Build, check and prune the sandbox."),
    "doctor": ("doctor", "doctor", "What works on this machine, and how to fix the rest."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"stop.cli.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="stop")
def cli() -> None:
    """STOP, the Self-Taught Optimizer.

    An improver, a Python program, asks a language model to rewrite programs, is scored by how good
    they are, and is applied to itself. Everything a model wrote runs in a sandbox.

    \b
      stop improve --task knapsack                    a better program for one task
      stop run --tasks knapsack --preset quick        rounds of self-improvement
      stop lineage RUN                                the programs of a run, as a tree
    """


def _show_error(message: str, hint: str = "") -> None:
    from stop.cli.output import show_error  # `stop --help` does without what it imports

    show_error(message, hint)


def main() -> None:
    """Entry point: runs a command and turns errors into one message and an exit code."""
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):  # click turns the one into the other
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it has been heard; what is left is to say so
        _show_error("interrupted")
        code = INTERRUPTED_EXIT_CODE
    except StopError as error:
        _show_error(error.message, error.hint)
        code = error.exit_code
    except PermissionError as error:
        _show_error(f"{error.filename or 'a file'}: {error.strerror}")
        code = UserError.exit_code
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        sys.stderr.close()
        code = 0
    except OSError as error:
        trouble = machine_trouble(error)
        if trouble is None:
            raise
        _show_error(f"{error.filename}: {trouble[0]}" if error.filename else trouble[0], trouble[1])
        code = RunError.exit_code
    sys.exit(code if isinstance(code, int) else 0)
