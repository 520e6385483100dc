"""Who wrote the programs, what they did that they should not, and whether the log of it is whole.

In the words of the report (`stop.report`), as data frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stop._util.extras import analysis_module
from stop.analysis.runs import Runs, as_runs
from stop.audit.keys import parse_key
from stop.audit.whole import verify_run
from stop.recorded_run import Run
from stop.report import words
from stop.report.models import billed, specs, what
from stop.report.text import one_line
from stop.runs.provenance import read_provenance

if TYPE_CHECKING:
    from pandas import DataFrame

_ABOUT = 600
_NAMES: dict[type, str] = {str: "string", int: "Int64", float: "float64", bool: "bool"}


def models_df(runs: Runs) -> DataFrame:
    """The models of each run by level, as the newest session of its provenance.json has them.

    `what` says what such a spec stands for, `about` who answered where somebody wrote it down,
    `served_as` what the server called it. `usd_prompt` and `usd_completion` are US dollars for a
    million tokens, NaN where no price is on record; with `billed` False nobody writes a bill.
    """
    rows = []
    for label, run in as_runs(runs).items():
        recorded = _models(run)
        for level, spec in specs(run.config).items():
            facts = recorded.get(level)
            facts = facts if isinstance(facts, Mapping) else {}
            prices = facts.get("prices")
            prices = prices if isinstance(prices, Mapping) else {}
            rows.append((label, level, one_line(spec), what(spec), _text(facts.get("about")),
                         _text(facts.get("served_as")), billed(run.config, level),
                         _number(prices.get("prompt")),
                         _number(prices.get("completion"))))  # fmt: skip
    columns = {
        "run": str, "level": str, "spec": str, "what": str, "about": str, "served_as": str,
        "billed": bool, "usd_prompt": float, "usd_completion": float,
    }  # fmt: skip
    return _frame(rows, columns)


def attempts_df(runs: Runs) -> DataFrame:
    """Programs with security events: one row for each program and topic, gravest first.

    `level` says how grave it is (1 intent, 2 attempt, 3 tampering), `seen` whether it was in the
    program's text, seen at run time, or both, and `effect` what came of it. `text` and `deeds` are
    what was seen, one line each; `events` says how many lines of the log this was made of.
    """
    rows = []
    for label, run in as_runs(runs).items():
        for attempt in run.security_summary().attempts:
            seen = attempt.evidence
            rows.append((label, seen.program_id, int(seen.level), words.HOW[seen.join],
                         words.topic(seen.topic), _lines(seen.text), _lines(seen.deeds),
                         words.effect(seen.kinds, bool(seen.deeds)), seen.events))  # fmt: skip
    columns = {
        "run": str, "program_id": str, "level": int, "seen": str, "topic": str, "text": str,
        "deeds": str, "effect": str, "events": int,
    }  # fmt: skip
    return _frame(rows, columns)


def logs_df(runs: Runs, *, keys: Iterable[str | Path] = ()) -> DataFrame:
    """Whether the security log of each run is as it was written: "intact", or what is wrong.

    Args:
        runs: one or several.
        keys: files with public keys of other machines whose signatures count.
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
    return _frame(rows, columns)


def _models(run: Run) -> Mapping[str, Any]:
    sessions = read_provenance(run.folder).get("sessions", [])
    newest = sessions[-1] if sessions else None
    found = newest.get("models") if isinstance(newest, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _text(value: Any) -> str | None:
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return one_line(str(value), _ABOUT) if value else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _lines(texts: Iterable[str]) -> str:
    return "\n".join(map(one_line, texts))


def _frame(rows: list[tuple[Any, ...]], columns: Mapping[str, type]) -> DataFrame:
    pandas = analysis_module("pandas")
    return pandas.DataFrame(
        {
            name: pandas.Series([row[i] for row in rows], dtype=_NAMES[kind])
            for i, (name, kind) in enumerate(columns.items())
        }
    )
