"""Numbers and names as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

from stop.report.data import Measure

LEVELS = {0: "nothing", 1: "intent", 2: "attempt", 3: "tampering"}
LEVEL_TEXTS = {
    1: "its text shows it; it was not seen to happen",
    2: "it asked for the sandbox to be switched off",
    3: "it went at the sandbox, its budget, secrets or scores",
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
    "tried": "written in its text, and tried",
    "intended": "in its text only",
    "unannounced": "seen at run time only",
}


def number(value: float | None, places: int = 3) -> str:
    """A score; with a true minus sign."""
    if value is None:
        return "–"
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
