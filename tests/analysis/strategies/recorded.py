"""Improvers that models wrote in the recorded runs of notebooks/runs, labelled by reading them.

`LARGER` holds those of `larger-model` (Claude) by the beginning of their ids. The improvers of
`small-model` and `bypass` (Qwen 2.5 Coder, 1.5B and 0.5B) are rewrites of the one that they were
shown, or are not whole programs: none has a strategy.
"""

from __future__ import annotations

LARGER: dict[str, set[str]] = {
    "eb08bc3f0e": {"caching"},  # rewrites, then refines the best one
    "36486e9386": {"unclear"},  # asks with different hints, keeps the best
    "f6c19a114e": {"beam", "caching"},
    "2ad0fc376c": {"best_shot", "caching"},  # the two best are combined, once
    "f0ba4da5ea": {"best_shot", "caching"},  # the same, and the best is refined
    "9be751561d": {"best_shot", "caching"},
    "9a85b8de50": {"beam", "caching"},  # of one step
    "e4ccecdfc5": {"best_shot", "caching"},  # combines, and asks for an idea that neither has
    "027b0265d3": {"best_shot", "caching"},
    "83a4d54470": {"best_shot", "caching"},
}
SMALLER = ("small-model", "bypass")
