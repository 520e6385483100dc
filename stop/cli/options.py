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
    "--random-seed",
    "--seed",
    "random_seed",
    type=int,
    help="The same random seed gives the same instances on this machine.",
)

patience_option = click.option(
    "--lm-patience",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait for a model server that does not answer any more.  "
    "[default: 900; local models: 1800]",
)

lm_options = together(
    click.option(
        "--lm",
        metavar="SPEC",
        help="openai:MODEL, local:NAME, scripted:FILE, manual:DIR or tape:RUN. Default: the "
        "environment's OpenAI variables, else a pulled local model.",
    ),
    click.option("--base-url", metavar="URL", help="Of an OpenAI-compatible server."),
    patience_option,
)

runs_dir_option = click.option(
    "--runs-dir",
    metavar="DIR",
    envvar="STOP_RUNS_DIR",
    default="runs",
    show_default=True,
    help="Where runs are kept.",
)

_AMOUNT, _COUNT = click.FloatRange(min=0), click.IntRange(min=0)

lm_budget_options = together(
    click.option("--max-usd", type=_AMOUNT, help="Money for the whole run."),
    click.option("--max-tokens", type=_COUNT, help="Tokens for the whole run, read and written."),
    click.option("--max-prompt-tokens", type=_COUNT, help="Tokens read, for the whole run."),
    click.option("--max-completion-tokens", type=_COUNT, help="Tokens written, for the whole run."),
    click.option("--max-lm-calls", type=_COUNT, help="LM requests for the whole run."),
    click.option("--max-responses", type=_COUNT, help="LM responses for the whole run."),
    click.option("--max-seconds", type=_AMOUNT, help="Time for the whole run."),
)

budget_options = together(
    lm_budget_options,
    click.option(
        "--max-utility-calls",
        type=_COUNT,
        help="Programs that improvers may have scored, for the whole run.",
    ),
)

round_budget_options = together(
    click.option(
        "--round-max-usd",
        type=_AMOUNT,
        help="Money for each round; past it the round ends without a result.",
    ),
    click.option("--round-max-tokens", type=_COUNT, help="Tokens for each round."),
    click.option("--round-max-lm-calls", type=_COUNT, help="LM requests for each round."),
    click.option("--round-max-seconds", type=_AMOUNT, help="Time for each round."),
)

improver_budget_options = together(
    click.option(
        "--improver-max-usd",
        type=_AMOUNT,
        help="Money for each improver run; past it the model refuses.",
    ),
    click.option("--improver-max-tokens", type=_COUNT, help="Tokens for each improver run."),
)

improver_run_options = together(
    click.option(
        "--calls", type=click.IntRange(min=1), help="LM calls of one improver run, m.  [default: 4]"
    ),
    click.option(
        "--responses", type=click.IntRange(min=1), help="Responses of one LM call, n.  [default: 6]"
    ),
    click.option(
        "--utility-calls",
        type=click.IntRange(min=1),
        help="Utility calls of one improver run.  [default: n * m + 1]",
    ),
    click.option(
        "--max-response-tokens",
        type=click.IntRange(min=16),
        help="Length of one response.  [default: 1024]",
    ),
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
