"""What a run would do and cost at the most, before anything is asked of a model."""

from __future__ import annotations

from typing import Any

from stop.budget import ImproverBudget
from stop.config import RunConfig
from stop.improvers import load_improver
from stop.lm import open_model
from stop.lm.base import LMRequest
from stop.task import load_task


def plan(config: RunConfig) -> dict[str, Any]:
    """What a run would do, and the most that it can cost. Nothing is started or asked."""
    tasks = [load_task(name) for name in config.tasks]
    improver = config.improver or load_improver("seed").source
    cells = len(tasks) * config.repetitions
    # Round 0 measures the seed; a round is one meta run whose utility calls each measure an
    # improver, and the measure of what came out is one of these or one more.
    measured = 1 + config.rounds * (config.meta_budget.utility_calls + 1)
    runs = measured * cells
    task_most = _most(config.task_budget, runs, max(len(t.seed + t.utility_text) for t in tasks))
    meta_most = _most(config.meta_budget, config.rounds, len(improver) + 2000)
    total = {name: task_most[name] + meta_most[name] for name in task_most}
    limits = config.budget
    if limits.lm_calls is not None:
        total["lm_calls"] = min(total["lm_calls"], limits.lm_calls)
    prices = [
        _worst_price(config.lm, config.base_url, task_most, config.task_budget),
        _worst_price(
            config.meta_lm or config.lm, config.meta_base_url, meta_most, config.meta_budget
        ),
    ]
    usd = None if None in prices else round(sum(p for p in prices if p is not None), 4)
    if limits.usd is not None:
        usd = limits.usd if usd is None else min(usd, limits.usd)
    return {
        "tasks": [task.name for task in tasks],
        "rounds": config.rounds,
        "repetitions": config.repetitions,
        "lm": config.lm,
        "meta_lm": config.meta_lm or config.lm,
        "at_most": {"improver_runs": runs + config.rounds, **total, "usd": usd},
    }


def _most(budget: ImproverBudget, runs: int, prompt_characters: int) -> dict[str, int]:
    calls = runs * budget.lm_calls
    responses = calls * budget.responses_per_call
    return {
        "lm_calls": calls,
        "responses": responses,
        "completion_tokens": responses * budget.max_tokens,
        "prompt_tokens": calls * (prompt_characters // 3 + 200),
    }


def _worst_price(
    spec: str, base_url: str | None, most: dict[str, int], budget: ImproverBudget
) -> float | None:
    """Money for `most` at the model's prices; None where they are not known."""
    if spec == "unknown":
        return None
    model = open_model(spec, base_url=base_url)
    one = LMRequest("", "", n=1, max_tokens=budget.max_tokens)
    price = model.worst_case(one).usd
    if price is None:
        return None
    prompt = LMRequest("", "x " * 500, n=1, max_tokens=1)
    read = model.worst_case(prompt)
    per_read = (read.usd or 0.0) / max(1, read.prompt_tokens)
    return price * most["responses"] + per_read * most["prompt_tokens"]
