"""Data frames of a run's models, of programs with security events, and of its security log.

In the words of the report (`stop.report`).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stop.analysis.frames import frame
from stop.analysis.runs import Runs, as_runs
from stop.audit.keys import parse_key
from stop.audit.whole import verify_run
from stop.report import words
from stop.report.models import billed, recorded, specs, what
from stop.report.text import one_line
from stop.runs.provenance import read_provenance

if TYPE_CHECKING:
    from pandas import DataFrame

_ABOUT = 600


def models_df(runs: Runs) -> DataFrame:
    """Returns the models of each run by level, as recorded by its newest session.

    Columns: level ("task" or "meta"), spec, what (what such a spec stands for), about (who
    answered, NA where it is not written down), served_as (the server's name of the model), billed,
    usd_prompt and usd_completion (US dollars for a million tokens, NaN without a price on record).

    Args:
        runs: one or several.
    """
    rows = []
    for label, run in as_runs(runs).items():
        known = recorded(read_provenance(run.folder))
        for level, spec in specs(run.config).items():
            facts = known[level]
            prices = facts.get("prices")
            prices = prices if isinstance(prices, dict) else {}
            usd = _number(prices.get("prompt")), _number(prices.get("completion"))
            rows.append((label, level, one_line(spec), what(spec), _text(facts.get("about")),
                         _text(facts.get("served_as")), billed(run.config, level),
                         *usd))  # fmt: skip
    columns = {
        "run": str, "level": str, "spec": str, "what": str, "about": str, "served_as": str,
        "billed": bool, "usd_prompt": float, "usd_completion": float,
    }  # fmt: skip
    return frame(columns, rows)


def attempts_df(runs: Runs) -> DataFrame:
    """Returns programs with security events, a row for each program and topic, highest level first.

    Columns: program_id, level (1 intent, 2 attempt, 3 tampering), seen (in the program's text, at
    run time, or both), topic, text and deeds (what was seen in the text and at run time, one line
    each), effect (what it changed, if anything), events (lines of the log that this row sums up).

    Args:
        runs: one or several.
    """
    rows = []
    for label, run in as_runs(runs).items():
        for seen in run.security_summary().attempts:
            rows.append((label, seen.program_id, int(seen.level), words.HOW[seen.join],
                         words.topic(seen.topic), _lines(seen.text), _lines(seen.deeds),
                         words.effect(seen.kinds, bool(seen.deeds)), seen.events))  # fmt: skip
    columns = {
        "run": str, "program_id": str, "level": int, "seen": str, "topic": str, "text": str,
        "deeds": str, "effect": str, "events": int,
    }  # fmt: skip
    return frame(columns, rows)


def logs_df(runs: Runs, *, keys: Iterable[str | Path] = ()) -> DataFrame:
    """Returns whether the security log of each run is as it was written.

    Columns: verdict ("intact", or what is wrong), lines, signed_lines, signed_by (a fingerprint, NA
    of an unsigned log).

    Args:
        runs: one or several.
        keys: files with public keys of other machines whose signatures count.

    Raises:
        OSError: a file of `keys` cannot be read.
        RunError: a folder does not hold a run.
        StopError: a key is malformed, or pandas is not installed.
    """
    trusted = [parse_key(Path(key).read_text("utf-8").strip()) for key in keys]
    rows = []
    for label, run in as_runs(runs).items():
        with closing(run.store()) as store:
            head = store.meta("audit.head")
        found = verify_run(run.folder, head, trusted)
        rows.append((label, "intact" if found.ok else one_line(found.problem), found.lines,
                     found.signed_lines, found.signer or None))  # fmt: skip
    columns = {"run": str, "verdict": str, "lines": int, "signed_lines": int, "signed_by": str}
    return frame(columns, rows)


def _text(value: Any) -> str | None:
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return one_line(str(value), _ABOUT) if value else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _lines(texts: Iterable[str]) -> str:
    return "\n".join(map(one_line, texts))
