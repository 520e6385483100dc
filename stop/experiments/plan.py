"""What a run would do and cost at the most, before anything is asked of a model."""

from __future__ import annotations

from typing import Any

from stop.budget import Budget, ImproverBudget
from stop.config import RunConfig
from stop.improvers import load_improver
from stop.lm import open_model
from stop.lm.base import LMRequest
from stop.tasks.task import load_task

_PARTS = ("prompt_tokens", "completion_tokens")


def plan(config: RunConfig) -> dict[str, Any]:
    """What a run would do, and the most that it can cost. Nothing is started or asked."""
    tasks = [load_task(name) for name in config.tasks]
    improver = config.improver or load_improver("seed").source
    cells = len(tasks) * config.repetitions
    # Round 0 measures the seed; a round is one meta run whose utility calls each measure an
    # improver, and the measure of what came out is one of these or one more.
    measured = 1 + config.rounds * (config.meta_budget.utility_calls + 1)
    if config.transfer is not None:
        measured = 2
    runs = measured * cells
    levels = (
        _level(
            config.lm,
            config.base_url,
            config.task_budget,
            runs,
            max(len(t.seed + t.utility_text) for t in tasks),
        ),
        _level(
            config.meta_lm or config.lm,
            config.meta_base_url or config.base_url,
            config.meta_budget,
            config.rounds,
            len(improver) + 2000,
        ),
    )
    total = {name: _sum(level[name] for level in levels) for name in levels[0]}
    total = _within(total, config.round_budget, 1 + config.rounds)
    total = _within(total, config.budget, 1)
    return {
        "tasks": [task.name for task in tasks],
        "rounds": config.rounds,
        "repetitions": config.repetitions,
        "lm": config.lm,
        "meta_lm": config.meta_lm or config.lm,
        "at_most": {"improver_runs": runs + config.rounds, **total},
        "limits": {
            "run": config.budget.limits,
            "round": config.round_budget.limits,
            "improver_run": config.task_budget.of_responses.limits,
        },
    }


def _level(
    spec: str, base_url: str | None, budget: ImproverBudget, runs: int, prompt_characters: int
) -> dict[str, float | None]:
    """The most that the improver runs of one level can spend; money None: no price is known."""
    calls = runs * budget.lm_calls
    responses = calls * budget.responses_per_call
    read, written = calls * (prompt_characters // 3 + 200), responses * budget.max_tokens
    most: dict[str, float | None] = {
        "lm_calls": calls,
        "responses": responses,
        "completion_tokens": written,
        "prompt_tokens": read,
        "tokens": read + written,
        "utility_calls": runs * budget.utility_calls,
        "usd": _worst_price(spec, base_url, responses, read, budget),
    }
    return _within(most, budget.of_responses, runs)


def _sum(amounts: Any) -> float | None:
    known = list(amounts)
    return None if None in known else sum(known)


def _within(most: dict[str, float | None], budget: Budget, times: int) -> dict[str, float | None]:
    """No more than `times` this budget."""
    result = dict(most)
    for resource, limit in budget.limits.items():
        bound, now = limit * times, result.get(resource)
        if resource == "seconds":
            result[resource] = bound if now is None else min(now, bound)
        elif now is None or bound < now:  # also where no price is known yet
            result[resource] = bound
    for part in _PARTS:
        result[part] = min(result[part] or 0, result["tokens"] or 0)
    result["tokens"] = min(result["tokens"] or 0, sum(result[part] or 0 for part in _PARTS))
    if result["usd"] is not None:
        result["usd"] = round(result["usd"], 4)
    return result


def _worst_price(
    spec: str, base_url: str | None, responses: int, read: int, budget: ImproverBudget
) -> float | None:
    """Money for these responses and tokens read; None where the model's prices are not known."""
    if spec == "unknown":
        return None
    model = open_model(spec, base_url=base_url)
    one = LMRequest("", "", n=1, max_tokens=budget.max_tokens)
    price = model.worst_case(one).usd
    if price is None:
        return None
    prompt = LMRequest("", "x " * 500, n=1, max_tokens=1)
    per_prompt = model.worst_case(prompt)
    per_read = (per_prompt.usd or 0.0) / max(1, per_prompt.prompt_tokens)
    return price * responses + per_read * read
