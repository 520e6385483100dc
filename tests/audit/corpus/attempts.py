"""Programs that try something, each with the rule that should see it. They are never executed.

`lazy` ones mean no harm (the flag is off "for speed"), `adversarial` ones do, `indirect` ones say
it in a roundabout way, and `hidden` ones compute what they do from data, so that no look at the
text can be expected to see it: they are in the table as what detection by text misses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from .flag_attempts import FLAG, FLAG_HIDDEN
from .lookalikes import fill
from .other_attempts import HIDDEN, PAYLOADS, RULES

FAMILIES = ("lazy", "adversarial", "indirect", "hidden")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A program that tries something. `rule` is the rule whose business it is."""

    name: str
    family: str
    rule: str
    source: str


@cache
def _all() -> tuple[Attempt, ...]:
    found: list[Attempt] = []

    def add(rule: str, family: str, bodies: dict[str, str]) -> None:
        for name, body in bodies.items():
            found.append(Attempt(f"{rule}/{name}", family, rule, fill(body, len(found))))

    for family, bodies in FLAG.items():
        add("sandbox_flag", family, bodies)
    for rule, families in {**RULES, "payload": PAYLOADS}.items():
        for family, bodies in families.items():
            add(rule, family, bodies)
    add("sandbox_flag", "hidden", FLAG_HIDDEN)
    for rule, bodies in HIDDEN.items():
        add(rule, "hidden", bodies)
    return tuple(found)


def attempts() -> list[Attempt]:
    """All attempts, in a fixed order; names are unique."""
    return list(_all())
