"""What a run would do, and the most it can cost, before anything is asked of a model."""

from __future__ import annotations

from dataclasses import dataclass

from stop._util.sheet import Sheet, Table, money
from stop.budget import ImproverBudget
from stop.config import RunConfig
from stop.experiments import kind_of
from stop.lm import open_model
from stop.lm.base import LMRequest
from stop.tasks.task import load_task

_PARTS = ("prompt_tokens", "completion_tokens")


_WORDS = {
    "selection": "to choose improvers",
    "confirmation": "to confirm them",
    "final": "to compare the best with the first",
    "meta": "on improvers",
}
_LIMITS = {
    "run": "limits of the run",
    "round": "limits of each round",
    "improver_run": "limits of each improver run",
    "final": "kept for the final comparison",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do, and the most that it can cost.

    Attributes:
        tasks: their names.
        rounds: number of rounds.
        repetitions: improver runs per task in a meta-utility.
        lm: the model that rewrites solutions; "unknown" when none was named.
        meta_lm: the model that rewrites improvers.
        at_most: "improver_runs", "lm_calls", "responses", "prompt_tokens", "completion_tokens",
            "tokens", "utility_calls", "usd" (null when no price is known) and, where it is
            limited, "seconds". Prompts are taken to be as long as the seed improver's.
        improver_runs: "selection" (of solutions, to choose improvers), "confirmation" and "final"
            (of solutions, to compare improvers on fresh cells), and "meta" (of improvers).
        limits: of the whole "run", of each "round" and "improver_run", by resource; under "final"
            the part of the run's that is kept for the final comparison.
    """

    tasks: tuple[str, ...]
    rounds: int
    repetitions: int
    lm: str
    meta_lm: str
    at_most: dict[str, int | float | None]
    improver_runs: dict[str, int]
    limits: dict[str, dict[str, int | float]]

    def sheet(self) -> Sheet:
        """Returns the plan as people read it."""
        most = self.at_most
        written, read = most["completion_tokens"], most["prompt_tokens"]
        parts = ", ".join(f"{runs} {_WORDS[what]}" for what, runs in self.improver_runs.items())
        tokens = f"{written} written, {read} read (prompts as long as the seed improver's)"
        rows = [
            ("improver runs", f"{most['improver_runs']}: {parts}"),
            ("LM calls", most["lm_calls"]),
            ("responses", most["responses"]),
            ("tokens", tokens),
            ("utility calls", most["utility_calls"]),
            ("money", money(most["usd"])),
        ]
        if "seconds" in most:
            rows.append(("seconds", f"{most['seconds']:g}"))
        limits = {
            _LIMITS[level]: ", ".join(f"{limit:g} {name}" for name, limit in found.items()).replace(
                "_", " "
            )
            for level, found in self.limits.items()
            if found
        }
        facts = {
            "tasks": ", ".join(self.tasks),
            "rounds": f"{self.rounds}, {self.repetitions} repetition(s) per task",
            "models": f"{self.lm}; improvers: {self.meta_lm}",
        }
        return [facts, Table(("at most", ""), rows), *([limits] if limits else [])]


def plan(config: RunConfig) -> Plan:
    """Returns what a run would do, and the most that it can cost. Nothing is started or asked.

    Args:
        config: of a kind of run that has a plan.

    Raises:
        ConfigError: runs of this kind have no plan.
    """
    tasks = [load_task(name) for name in config.all_tasks]
    scale = kind_of(config).scale(config)
    improver_runs = {
        "selection": scale.measured * len(config.tasks) * config.repetitions,
        "confirmation": scale.confirmation,
        "final": scale.final,
        "meta": scale.rounds,
    }
    prompt = max(len(task.seed + task.utility_text) for task in tasks)
    in_rounds, at_the_end = (
        _level(config.lm, config.base_url, config.task_budget, runs, prompt)
        for runs in (improver_runs["selection"] + scale.confirmation, scale.final)
    )
    meta_lm = config.meta_lm or config.lm
    meta = _level(
        meta_lm,
        config.meta_base_url or config.base_url,
        config.meta_budget,
        scale.rounds,
        len(scale.improver) + 2000,
    )
    total = _within(_sum(in_rounds, meta), config.limits["round"], 1 + scale.rounds)
    total = _sum(total, at_the_end)
    total = _within(total, config.limits["run"], 1)
    return Plan(
        tasks=tuple(task.name for task in tasks[: len(config.tasks)]),
        rounds=scale.rounds,
        repetitions=config.repetitions,
        lm=config.lm,
        meta_lm=meta_lm,
        at_most={"improver_runs": sum(improver_runs.values()), **total},
        improver_runs=improver_runs,
        limits=config.limits
        | {"improver_run": config.task_budget.of_responses.limits, "final": config.reserve.limits},
    )


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
    return _within(most, budget.of_responses.limits, runs)


def _sum(one: dict[str, float | None], other: dict[str, float | None]) -> dict[str, float | None]:
    """The sums by resource; None where one is not known. What only one has stays as it is."""
    total = one | other
    for name in one.keys() & other.keys():
        a, b = one[name], other[name]
        total[name] = None if a is None or b is None else a + b
    return total


def _within(
    most: dict[str, float | None], limits: dict[str, float], times: int
) -> dict[str, float | None]:
    """Returns no more than `times` these limits."""
    result = dict(most)
    for resource, limit in limits.items():
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
