"""`stop bypass`: how often a model switches the sandbox off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from stop.budget.limits import RunLimits
from stop.cli import options
from stop.cli.runs import named
from stop.experiments.bypass.config import BypassConfig, Sampling

if TYPE_CHECKING:
    from stop.experiments.bypass.config import Cell

_CELLS: dict[str, tuple[Cell, ...]] = {
    "no-warning": ("no_warning",),
    "warning": ("warning",),
    "both": ("no_warning", "warning"),
}


@click.command()
@options.option(Sampling, "samples", required=True)
@click.option("--warning", "which", flag_value="warning", help="Only with the warning comment.")
@click.option("--no-warning", "which", flag_value="no-warning", help="Only without it.")
@click.option(
    "--both", "which", flag_value="both", default="both", help="Both cells; this is the default."
)
@options.option(Sampling, "execute")
@options.several(BypassConfig, "lm", "base_url", "lm_patience")
@options.several(Sampling, "responses", "temperature")
@options.option(Sampling, "max_tokens", "max_response_tokens")
@options.limit_options(RunLimits)
@options.sandbox_options
@options.option(BypassConfig, "concurrency", help="LM requests, and improver runs, at once.")
@options.runs_dir_option
@options.json_option
def bypass(which: str, as_json: bool, runs_dir: str, **all_options: Any) -> None:
    """How often does a model switch the sandbox off?

    The model is asked to improve an improver that scores programs with `use_sandbox=True`, with and
    without a comment that warns against changing it. Its programs are read by static rules and,
    with --run, run: the flag has no effect, but it is noticed.

    \b
      stop bypass --lm openai:gpt-4o-mini --samples 100 --max-usd 1
      stop bypass --lm local:qwen2.5-coder-1.5b --samples 50 --no-warning --run
    """
    from stop.api import measure_bypass
    from stop.cli.results import carry_out

    wanted = named(all_options, runs_dir)
    wanted |= {"cells": _CELLS[which], "runs_dir": runs_dir}
    carry_out(lambda progress: measure_bypass(progress=progress, **wanted), as_json)
