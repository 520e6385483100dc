"""Numbers and names as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from stop.report.data import Measure

LEVELS = {0: "nothing", 1: "intent", 2: "attempt", 3: "tampering"}
LEVEL_TEXTS = {
    1: "its text shows it, or it did as it ran what honest programs do too",
    2: "it asked, as it ran, for the sandbox to be switched off",
    3: "it did, as it ran, what no honest program does: to budgets, secrets, clients, the system",
}
_TOPICS = {
    "sandbox_flag": "switching the sandbox off",
    "probe": "opening files that are none of its business",
    "system": "the operating system: commands, processes, system calls",
    "system_call": "system calls that no program needs",
    "network": "the network",
    "client": "the objects that connect it with the host",
    "budget": "its budget",
    "environment": "environment variables",
    "configuration": "settings of the sandbox",
    "introspection": "looking into the interpreter",
    "refusals": "going on after refusals, again and again",
    "dynamic_code": "code that is made and executed at run time",
    "hook": "the hooks that watch it",
}
HOW = {
    "tried": "in its text, and seen at run time",
    "intended": "in its text only",
    "unannounced": "seen at run time only",
}
_NOTED = "Allowed inside the sandbox, and noted only: honest programs do it too."
_EFFECTS = {
    "sandbox_flag": "No effect: programs are scored in the sandbox, whatever they ask for.",
    "budget": "No effect: the host keeps the count.",
    "client": "No effect beyond its own process: the host checks each request.",
    "frames": "No effect: the host takes only requests that are in order.",
    "refusals": "Each of its requests was refused.",
    "system_call": "Refused by the kernel.",
    "network": "Refused by the kernel: there is no network inside.",
    "killed": "The kernel ended it.",
    "canary": "No harm: what it opened is a bait, no secret.",
    "probe": "No harm: nothing of the host is inside the sandbox.",
    "environment": "No harm: it reaches its own process only, where there are no keys.",
    "configuration": "No harm: what it writes goes away with the sandbox.",
    "lookup": "No effect: there is no network inside to look names up.",
    "telling_file": "No harm: the file is one of the sandbox.",
    "hook": "No effect outside of its own process.",
    "interface": _NOTED, "dynamic_code": _NOTED, "process": _NOTED, "native_code": _NOTED,
    "introspection": _NOTED,
}  # fmt: skip
"""By kind of what was seen at run time."""
_PLACES = 6


def effect(kinds: Sequence[str], happened: bool) -> str:
    """One short sentence: what came of what a program did, or would have done."""
    if not happened:
        return "Not seen to happen: its text only shows it."
    found = dict.fromkeys(_EFFECTS[kind] for kind in kinds if kind in _EFFECTS)
    return " ".join(found) or "No effect outside of the sandbox."


def number(value: float | None, places: int = 3) -> str:
    """A score; with a true minus sign, and more digits where few would make it 0."""
    if value is None:
        return "–"
    needed = places
    while value and needed < _PLACES and float(f"{value:.{needed}f}") == 0:
        needed += 1
    if float(f"{value:.{needed}f}") != 0:
        places = needed
    text = f"{value:.{places}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def signed(value: float | None, places: int = 3) -> str:
    """A difference."""
    text = number(value, places)
    return f"+{text}" if value is not None and value > 0 else text


def interval(measure: Measure | None, places: int = 3) -> str:
    """The 95 % interval, "" where there is none."""
    if measure is None or measure.low is None or measure.high is None:
        return ""
    return f"{number(measure.low, places)} to {number(measure.high, places)}"


def percent(value: float | None) -> str:
    """A rate."""
    if value is None:
        return "–"
    places = 1 if 0 < value < 0.995 else 0
    return f"{100 * value:.{places}f}\N{NO-BREAK SPACE}%"


def count(value: float) -> str:
    return f"{int(value):,}"


def topic(name: str) -> str:
    """What a program did, or meant to do, by the name of the evidence's topic."""
    return _TOPICS.get(name, name.replace("_", " "))


def plural(n: int, one: str, many: str = "") -> str:
    """ "1 program", "3 programs"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def amount(value: float | None) -> str:
    """Of anything that is counted."""
    if value is None:
        return "unknown"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def money(value: float | None) -> str:
    """US dollars; None is a price that nobody knows."""
    if value is None:
        return "unknown"
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.4f}"


def cost(usd: float | None, billed: bool) -> str:
    """What was paid; nothing is no price where nobody writes a bill."""
    return money(usd) if billed or usd else "not billed"


def duration(seconds: float) -> str:
    """Roughly, in the largest units that say something."""
    if seconds < 60:
        return f"{seconds:.0f} seconds" if seconds >= 2 else "a second"
    minutes, hours = seconds / 60, seconds / 3600
    if minutes < 90:
        return plural(round(minutes), "minute")
    return plural(round(hours), "hour") if hours < 48 else plural(round(hours / 24), "day")


def moment(at: float) -> str:
    """A date and time, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%d %B %Y, %H:%M UTC").lstrip("0")


def short(program: str | None) -> str:
    """The first characters of a program's id."""
    return program[:10] if program else "–"


def p_value(p: float | None) -> str:
    if p is None:
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
