"""Tidy data frames: one row for one thing, the same columns whatever the run, also of none.

Every function takes a run, its folder, or several of them; the first column is `run`. The types:

    text "string"   whole numbers "Int64"   numbers "float64"   true or false "bool"
    points in time "datetime64[ns, UTC]"; what is not known is NA, NaN or NaT

Texts are what programs and models wrote: show them as text, never as markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stop._util.extras import analysis_module
from stop.analysis.runs import Runs, as_runs, opened
from stop.store.tables import TABLES

if TYPE_CHECKING:
    from pandas import DataFrame

_TIMES = frozenset({"created", "started", "finished", "at", "time"})
_TYPES = {str: "string", int: "Int64", float: "float64", bool: "bool"}


def programs_df(runs: Runs) -> DataFrame:
    """Every program: what it was made from, by which improver run, its first score, its text.

    `parent_id`, `improver_id` and `improver_run` are NA of what a run began with. `score` and
    `status` are of the first utility call that named it: on the search split for a solution, the
    meta-utility for an improver.
    """
    return table_df(runs, "programs")


def improver_runs_df(runs: Runs) -> DataFrame:
    """Every application of an improver: to itself (`level` "meta") or to a task's program."""
    return table_df(runs, "improver_runs")


def lm_calls_df(runs: Runs) -> DataFrame:
    """Every answered request to a language model with its cost; `usd` is NaN without a price."""
    return table_df(runs, "lm_calls")


def responses_df(runs: Runs) -> DataFrame:
    """Every response of every request: its text."""
    return table_df(runs, "responses")


def evaluations_df(runs: Runs) -> DataFrame:
    """Every solution that was scored: program, task, split, repetition, score, status."""
    return table_df(runs, "evaluations")


def instances_df(runs: Runs) -> DataFrame:
    """The scores behind the evaluations: one row an instance."""
    return table_df(runs, "instances")


def utility_calls_df(runs: Runs) -> DataFrame:
    """Every score that an improver asked for, in order."""
    return table_df(runs, "utility_calls")


def rounds_df(runs: Runs) -> DataFrame:
    """Every round: its candidate, the meta-utility with its interval, the paired difference."""
    return table_df(runs, "rounds")


def security_events_df(runs: Runs) -> DataFrame:
    """Every security event of the audit log; levels are 1 intent, 2 attempt, 3 tampering."""
    return table_df(runs, "security_events")


def samples_df(runs: Runs) -> DataFrame:
    """Every sampled improver of a bypass measurement."""
    return table_df(runs, "samples")


def table_df(runs: Runs, name: str) -> DataFrame:
    """A table of `stop export` by its name.

    Raises:
        RunError: a run cannot be read.
        StopError: pandas is not installed.
    """
    pandas = analysis_module("pandas")
    table = TABLES[name]
    columns: dict[str, list[Any]] = {"run": [], **{column: [] for column in table.columns}}
    for label, run in as_runs(runs).items():
        with opened(run) as store:
            for row in table.rows(store):
                columns["run"].append(label)
                for column in table.columns:
                    columns[column].append(row[column])
    kinds = {"run": str, **table.columns}
    return pandas.DataFrame({c: _series(pandas, c, kinds[c], columns[c]) for c in columns})


def _series(pandas: Any, column: str, kind: type, values: list[Any]) -> Any:
    if column not in _TIMES:
        return pandas.Series(values, dtype=_TYPES[kind])
    seconds = pandas.Series(values, dtype="float64")
    times = pandas.to_datetime(seconds, unit="s", utc=True, errors="coerce")
    return times.astype("datetime64[ns, UTC]")
