"""Programs that models and users of the tests write, and the answers that hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.helpers.places import REPOSITORY

SEED_IMPROVER = (REPOSITORY / "stop/improvers/seed.py").read_text()
GREEDY = """def algorithm(weights, values, capacity):
    order = sorted(range(len(weights)), key=lambda i: -values[i] / weights[i])
    chosen = []
    for i in order:
        if weights[i] <= capacity:
            chosen.append(i)
            capacity -= weights[i]
    return chosen
"""
UNCONFIRMED: dict[str, Any] = {"accept": "better", "final_repetitions": 0}
"""For runs that are about something else than evidence: they compare nothing on fresh cells."""


def fenced(source: str) -> str:
    """A model's answer that holds one program."""
    return f"Here it is:\n\n```python\n{source}```\n"


def scripted_model(path: Path, *replies: str) -> str:
    """Write a file of replies, and return the SPEC of the model that gives them in turn."""
    path.write_text("".join(json.dumps(reply) + "\n" for reply in replies), "utf-8")
    return f"scripted:{path}"
