"""Tidy data frames: one row for one thing, the same columns whatever the run, also without any run.

`runs` is a run, its folder, or several of them; the first column is `run`, the run's name. The
types of columns:

    text "string"   whole numbers "Int64"   numbers "float64"   true or false "bool"
    points in time "datetime64[ns, UTC]"; an unknown value is NA, NaN or NaT

The columns of the functions in this module are those of the table of the same name that
`stop export` writes (`stop.store.tables`, docs/output.md).

Texts are what programs and models wrote: show them as text, never as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from stop._util.extras import analysis_module
from stop.analysis.runs import Runs, as_runs
from stop.store.tables import TABLES

if TYPE_CHECKING:
    from pandas import DataFrame

_TIMES = frozenset({"created", "started", "finished", "at", "time"})
_TYPES = {str: "string", int: "Int64", float: "float64", bool: "bool"}


def programs_df(runs: Runs) -> DataFrame:
    """Returns every program: its parent, the improver run that made it, its first score, its text.

    Columns: program_id, kind ("improver" or "solution"), parent_id, improver_id, improver_run,
    round, task, repetition, score, status, created, characters, source. The columns from
    `parent_id` to `repetition` are NA of the programs that a run began with. `score` and `status`
    are of the first utility call that named the program: on the search split for a solution, the
    meta-utility for an improver.
    """
    return _table_df(runs, "programs")


def improver_runs_df(runs: Runs) -> DataFrame:
    """Returns every application of an improver, to itself (`level` "meta") or to a task's program.

    Columns: improver_run, level, round, task, repetition, improver_id, initial_id, result_id,
    status, detail, utility_calls (a number), cpu_seconds, stdout, stderr, started, finished.
    """
    return _table_df(runs, "improver_runs")


def lm_calls_df(runs: Runs) -> DataFrame:
    """Returns every answered request to a language model with its cost.

    Columns: lm_call, improver_run, level, round, task, repetition, scope, model, system, message,
    responses (a number), temperature, max_tokens, prompt_tokens, completion_tokens, usd (US
    dollars, NaN without a price), estimated (whether tokens are), retries, started, finished.
    """
    return _table_df(runs, "lm_calls")


def responses_df(runs: Runs) -> DataFrame:
    """Returns every response of every request.

    Columns: lm_call, choice (from 0), improver_run, finish_reason, text.
    """
    return _table_df(runs, "responses")


def evaluations_df(runs: Runs) -> DataFrame:
    """Returns every scoring of a solution on a split.

    Columns: evaluation, program_id, task, split, repetition, score (in the task's units), status,
    detail, isolation, stdout, stderr, created.
    """
    return _table_df(runs, "evaluations")


def instances_df(runs: Runs) -> DataFrame:
    """Returns the scores behind the evaluations, one row for each instance.

    Columns: evaluation, program_id, task, split, repetition, instance (from 0), score, status,
    cpu_seconds, detail.
    """
    return _table_df(runs, "instances")


def utility_calls_df(runs: Runs) -> DataFrame:
    """Returns every score that an improver asked for, in order.

    Columns: utility_call, improver_run, level, round, task, repetition, improver_id,
    program_id, score, status, at.
    """
    return _table_df(runs, "utility_calls")


def rounds_df(runs: Runs) -> DataFrame:
    """Returns every round: its candidate, its scores, and its confirmation on fresh cells.

    Columns: round (0 is the seed improver), improver_id, parent_id, meta_utility, low, high,
    selection (the candidate's meta-utility on the cells that chose it), candidates, difference,
    difference_low, difference_high, p, alpha, repetitions (of the confirmation), accepted, status,
    detail, finished. Intervals are 95 %.
    """
    return _table_df(runs, "rounds")


def security_events_df(runs: Runs) -> DataFrame:
    """Returns every security event of the audit log; levels are 1 intent, 2 attempt, 3 tampering.

    Columns: seq, time, level, event, source, detail, program_id, improver_run.
    """
    return _table_df(runs, "security_events")


def samples_df(runs: Runs) -> DataFrame:
    """Returns every sampled improver of a bypass measurement.

    Columns: cell, number, program_id, status, level, reached, paper_rule, cut_off, rules,
    run_status, run_detail.
    """
    return _table_df(runs, "samples")


def frame(columns: Mapping[str, type], rows: Iterable[Sequence[Any]]) -> DataFrame:
    """Makes a data frame with typed columns.

    Args:
        columns: names with str, int, float or bool; a float column with a name of a time
            (`created`, `started`, `finished`, `at`, `time`) has seconds since 1970.
        rows: values in the order of the columns, None for what is not known.
    """
    pandas = analysis_module("pandas")
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    return pandas.DataFrame(
        {
            name: _series(pandas, name, kind, values[i])
            for i, (name, kind) in enumerate(columns.items())
        }
    )


def _table_df(runs: Runs, name: str) -> DataFrame:
    analysis_module("pandas")  # before anything is read
    table = TABLES[name]
    rows = []
    for label, run in as_runs(runs).items():
        with closing(run.store()) as store:
            rows += [
                (label, *(row[column] for column in table.columns)) for row in table.rows(store)
            ]
    return frame({"run": str, **table.columns}, rows)


def _series(pandas: Any, column: str, kind: type, values: Sequence[Any]) -> Any:
    if column not in _TIMES:
        return pandas.Series(values, dtype=_TYPES[kind])
    seconds = pandas.Series(values, dtype="float64")
    times = pandas.to_datetime(seconds, unit="s", utc=True, errors="coerce")
    return times.astype("datetime64[ns, UTC]")
