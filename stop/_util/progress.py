"""Progress in words: a line for each event, and where the work stands; shown in a notebook."""

from __future__ import annotations

import sys
import time
from typing import Any, NamedTuple

from stop._util.sheet import clean, interval, money, number, plural, short
from stop.events import Progress, ProgressListener, ignore_progress

_LINES_SHOWN = 12
_UPDATE_SECONDS = 0.5


class Line(NamedTuple):
    """An event in words. A detail is left out where the whole is shown all the time."""

    text: str
    detail: bool = False


class Watched:
    """What has happened in a run so far. `see` takes the events."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._where = "starting"
        self._calls_open = 0
        self._calls_since = 0.0
        self._counts = {"calls": 0, "tokens": 0, "programs": 0, "events": 0}
        self._usd: float | None = 0.0
        self._best: dict[str, float] = {}
        self._tightest = ""
        self._waiting_until = 0.0

    def see(self, event: Progress) -> Line | None:
        """Counts an event; returns it in words, or None when there is nothing to say."""
        handler = getattr(self, f"_on_{event.kind}", None)
        line: Line | None = None if handler is None else handler(event)
        return line

    def age(self) -> str:
        """Time since the first moment, as a clock shows it."""
        return _clock(time.monotonic() - self._started)

    def standing(self) -> list[str]:
        """Where the work stands: a head line, the counts, the best scores."""
        counts, now = self._counts, time.monotonic()
        parts = [
            plural(counts["calls"], "LM call"),
            f"{counts['tokens']} tokens",
            money(self._usd),
            plural(counts["programs"], "candidate"),
            plural(counts["events"], "security event"),
            *([self._tightest] if self._tightest else []),
        ]
        if self._calls_open:
            waiting = _clock(now - self._calls_since)
            parts.insert(0, f"{plural(self._calls_open, 'LM call')} in flight for {waiting}")
        if self._waiting_until > now:
            left = _clock(self._waiting_until - now)
            parts.insert(0, f"the model server does not answer: next try in {left}")
        best = [f"best {_what(level)} {score:.4f}" for level, score in self._best.items()]
        return [f"{self.age()}  {self._where}", " · ".join(parts), ", ".join(best)]

    def _on_message(self, event: Progress) -> Line:
        self._where = event.text
        return Line(event.text)

    def _on_round_started(self, event: Progress) -> Line:
        round_, rounds = event.data["round"], event.data["rounds"]
        what = "measuring the improver to begin with" if round_ == 0 else "improving the improver"
        self._where = f"round {round_} of {rounds}: {what}"
        self._best.clear()
        return Line(self._where)

    def _on_round_finished(self, event: Progress) -> Line:
        data = event.data
        score = f"meta-utility {number(data['meta_utility'])} {interval(data['interval'])}".strip()
        if data["meta_utility"] is None:
            what = "no score" if data["improver_id"] else "no improver"
            score = f"{what} ({data['status']}: {data['detail'][:120]})"
        verdict = "accepted" if data["accepted"] else "not accepted"
        name = f"round {data['round']}" if data["round"] else "seed improver"
        return Line(f"{name}: {short(data['improver_id'])} {score}, {verdict}")

    def _on_lm_call_started(self, event: Progress) -> Line:
        if self._calls_open == 0:
            self._calls_since = time.monotonic()
        self._calls_open += 1
        wanted = plural(event.data["n"], "response")
        return Line(f"asking the language model for {wanted}", detail=True)

    def _on_lm_call_finished(self, event: Progress) -> Line:
        data, usd = event.data, event.data["usd"]
        self._calls_open -= 1
        self._counts["calls"] += 1
        self._counts["tokens"] += data["prompt_tokens"] + data["completion_tokens"]
        self._usd = None if self._usd is None or usd is None else self._usd + usd
        tokens = f"{data['prompt_tokens']} + {data['completion_tokens']} tokens"
        spent = f", {self._tightest}" if self._tightest else ""
        came = plural(data["n"], "response")
        return Line(f"language model: {came}, {tokens}{spent}", detail=True)

    def _on_lm_call_failed(self, event: Progress) -> Line:
        self._calls_open -= 1
        return Line(f"language model: {event.text}", detail=True)

    def _on_lm_waiting(self, event: Progress) -> Line:
        self._waiting_until = time.monotonic() + event.data["seconds"]
        return Line(event.text)

    def _on_lm_answers(self, event: Progress) -> Line:
        self._waiting_until = 0.0
        return Line(event.text)

    def _on_candidate_scored(self, event: Progress) -> Line:
        self._counts["programs"] += 1
        level, score = event.data["level"], event.data["score"]
        self._best[level] = max(score, self._best.get(level, score))
        status = "" if event.data["status"] == "ok" else f" ({event.data['status']})"
        return Line(f"{_what(level)} scored {score:.4f}{status}", detail=True)

    def _on_counted(self, event: Progress) -> Line:
        self._where = f"{event.text}: {event.data['done']} of {event.data['total']}"
        return Line(self._where, detail=True)

    def _on_budget(self, event: Progress) -> None:
        data = event.data
        resource = data["resource"].replace("_", " ")
        self._tightest = f"{data['share']:.0%} of the {data['level']}'s {resource}"

    def _on_security(self, event: Progress) -> Line:
        self._counts["events"] += 1
        return Line(f"security event, level {event.data['level']}: {event.text}")


def default_listener() -> ProgressListener:
    """Returns the listener of those who named none: a notebook shows progress, others are quiet."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return NotebookProgress(ipython) if hasattr(shell, "kernel") else ignore_progress


class NotebookProgress:
    """Shows the last events, and where the work stands, in one output that is rewritten.

    Args:
        ipython: the module.
    """

    def __init__(self, ipython: Any) -> None:
        self._watched = Watched()
        self._lines: list[str] = []
        self._handle = ipython.display.display(self, display_id=True)
        self._shown = 0.0

    def __call__(self, event: Progress) -> None:
        line = self._watched.see(event)
        told = line is not None and not line.detail
        if line is not None and told:
            self._lines.append(f"[{self._watched.age()}] {line.text}")
        recent = time.monotonic() - self._shown < _UPDATE_SECONDS
        if recent and not told and event.kind != "run_finished":
            return
        self._shown = time.monotonic()
        self._handle.update(self)

    def __repr__(self) -> str:
        return clean("\n".join([*self._lines[-_LINES_SHOWN:], *self._watched.standing()]))


def _what(level: str) -> str:
    return "improver" if level == "meta" else "program"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
