"""Live progress on stderr; plain lines where no terminal watches."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from stop._util.sheet import clean, interval, number, short
from stop.cli.output import is_terminal, note
from stop.events import Progress


class RunProgress:
    """Counts what happens in a run and shows it. A context manager; call it with events."""

    def __init__(self) -> None:
        self._live: Any = None
        self._started = time.monotonic()
        self._where = "starting"
        self._calls_open = 0
        self._calls_since = 0.0
        self._counts = {"calls": 0, "responses": 0, "tokens": 0, "programs": 0, "events": 0}
        self._usd = 0.0
        self._usd_known = True
        self._best: dict[str, float] = {}
        self._tightest = ""
        self._waiting_until = 0.0

    def __enter__(self) -> RunProgress:
        if is_terminal():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                get_renderable=self._panel, console=Console(stderr=True), refresh_per_second=4,
                transient=True,
            )  # fmt: skip
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: Progress) -> None:
        handler = getattr(self, f"_on_{event.kind}", None)
        if handler is not None:
            handler(event)

    # --- events

    def _on_message(self, event: Progress) -> None:
        self._where = event.text
        self._line(event.text)

    def _on_round_started(self, event: Progress) -> None:
        number_, rounds = event.data["round"], event.data["rounds"]
        what = "measuring the improver to begin with" if number_ == 0 else "improving the improver"
        self._where = f"round {number_} of {rounds}: {what}"
        self._best.clear()
        self._line(self._where)

    def _on_round_finished(self, event: Progress) -> None:
        data = event.data
        score = f"meta-utility {number(data['meta_utility'])} {interval(data['interval'])}".strip()
        if data["meta_utility"] is None:
            what = "no score" if data["improver_id"] else "no improver"
            score = f"{what} ({data['status']}: {data['detail'][:120]})"
        verdict = "accepted" if data["accepted"] else "not accepted"
        name = f"round {data['round']}" if data["round"] else "seed improver"
        self._line(f"{name}: {short(data['improver_id'])} {score}, {verdict}")

    def _on_lm_call_started(self, event: Progress) -> None:
        if self._calls_open == 0:
            self._calls_since = time.monotonic()
        self._calls_open += 1
        self._line(f"asking the language model for {event.data['n']} response(s)", detail=True)

    def _on_lm_call_finished(self, event: Progress) -> None:
        data = event.data
        self._calls_open -= 1
        self._counts["calls"] += 1
        self._counts["responses"] += data["n"]
        self._counts["tokens"] += data["prompt_tokens"] + data["completion_tokens"]
        self._usd += data["usd"] or 0.0
        self._usd_known = self._usd_known and data["usd"] is not None
        tokens = f"{data['prompt_tokens']} + {data['completion_tokens']} tokens"
        self._line(
            f"language model: {data['n']} response(s), {tokens}{self._spent(', ')}", detail=True
        )

    def _on_candidate_scored(self, event: Progress) -> None:
        self._counts["programs"] += 1
        level, score = event.data["level"], event.data["score"]
        self._best[level] = max(score, self._best.get(level, score))
        what = "improver" if level == "meta" else "program"
        status = "" if event.data["status"] == "ok" else f" ({event.data['status']})"
        self._line(f"{what} scored {score:.4f}{status}", detail=True)

    def _on_counted(self, event: Progress) -> None:
        self._where = f"{event.text}: {event.data['done']} of {event.data['total']}"
        self._line(self._where, detail=True)

    def _on_lm_call_failed(self, event: Progress) -> None:
        self._calls_open -= 1
        self._line(f"language model: {event.text}", detail=True)

    def _on_lm_waiting(self, event: Progress) -> None:
        self._waiting_until = time.monotonic() + event.data["seconds"]
        self._line(event.text)

    def _on_lm_answers(self, event: Progress) -> None:
        self._waiting_until = 0.0
        self._line(event.text)

    def _on_budget(self, event: Progress) -> None:
        data = event.data
        self._tightest = f"{data['share']:.0%} of the {data['level']}'s {data['resource']}"

    def _on_security(self, event: Progress) -> None:
        self._counts["events"] += 1
        self._line(f"security event, level {event.data['level']}: {event.text}")

    # --- showing

    def _spent(self, lead: str = "") -> str:
        """How much of the tightest limit is spent or under way."""
        return lead + self._tightest.replace("_", " ") if self._tightest else ""

    def _line(self, text: str, detail: bool = False) -> None:
        text = clean(text)
        if self._live is not None:
            if not detail:
                self._live.console.print(text, markup=False, highlight=False)
            return
        note(f"[{_clock(time.monotonic() - self._started)}] {text}")

    def _panel(self) -> Any:
        from rich.text import Text

        counts = self._counts
        money = f"${self._usd:.4f}" if self._usd_known else "price unknown"
        parts = [
            f"{counts['calls']} LM call(s)",
            f"{counts['tokens']} tokens",
            money,
            f"{counts['programs']} candidates",
            f"{counts['events']} security events",
        ]
        if self._tightest:
            parts.append(self._spent())
        if self._calls_open:
            waiting = _clock(time.monotonic() - self._calls_since)
            parts.insert(0, f"{self._calls_open} LM call(s) in flight for {waiting}")
        left = self._waiting_until - time.monotonic()
        if left > 0:
            parts.insert(0, f"the model server does not answer: next try in {_clock(left)}")
        best = ", ".join(
            f"best {'improver' if level == 'meta' else 'program'} {score:.4f}"
            for level, score in self._best.items()
        )
        head = f"{_clock(time.monotonic() - self._started)}  {self._where}"
        text = Text(head, style="bold", no_wrap=True, overflow="ellipsis")
        text.append("\n" + " · ".join(parts) + (f"\n{best}" if best else ""), style="default")
        return text


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
