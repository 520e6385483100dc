"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator out of several, in reading order."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


sandbox_options = together(
    click.option(
        "--sandbox",
        type=click.Choice(["auto", "docker", "bubblewrap"]),
        default="auto",
        show_default=True,
        help="auto: docker if an engine answers, else bubblewrap. There is no way to do without.",
    ),
    click.option(
        "--isolation",
        type=click.Choice(["fork", "container"]),
        default="fork",
        show_default=True,
        help="fork: each program is a fresh process of a warm sandbox; container: a fresh sandbox.",
    ),
    click.option("--image", metavar="NAME", help="docker: your own image, not this interpreter's."),
)

seed_option = click.option(
    "--seed", type=int, help="The same seed gives the same instances on this machine."
)

lm_options = together(
    click.option(
        "--lm",
        metavar="SPEC",
        help="openai:MODEL, local:NAME, scripted:FILE or manual:DIR. Default: the environment's "
        "OpenAI variables, else a pulled local model.",
    ),
    click.option("--base-url", metavar="URL", help="Of an OpenAI-compatible server."),
)

runs_dir_option = click.option(
    "--runs-dir",
    metavar="DIR",
    envvar="STOP_RUNS_DIR",
    default="runs",
    show_default=True,
    help="Where runs are kept.",
)

budget_options = together(
    click.option("--max-usd", type=click.FloatRange(min=0), help="Money for the whole run."),
    click.option("--max-tokens", type=click.IntRange(min=0), help="Tokens for the whole run."),
    click.option(
        "--max-lm-calls", type=click.IntRange(min=0), help="LM requests for the whole run."
    ),
    click.option("--max-seconds", type=click.FloatRange(min=0), help="Time for the whole run."),
)

policy_options = together(
    click.option(
        "--policy",
        type=click.Choice(["log", "quarantine", "halt"]),
        help="What follows from an attempt against the sandbox. quarantine: its program never "
        "executes again; halt: the run stops (exit code 6) until `stop resume --reason`.  "
        "[default: log]",
    ),
    click.option(
        "--policy-level",
        type=click.IntRange(1, 3),
        help="Events from this level on count: 1 intent, 2 attempt, 3 tampering.  [default: 2]",
    ),
    click.option(
        "--halt-after", type=click.IntRange(min=1), help="With halt: so many programs. [default: 1]"
    ),
)
