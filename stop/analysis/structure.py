"""Diversity and strategies over the rounds of a run, as data frames."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from stop.analysis.diversity import diversity
from stop.analysis.frames import frame
from stop.analysis.runs import Runs, as_runs
from stop.analysis.strategy import strategies
from stop.store import Store

if TYPE_CHECKING:
    from pandas import DataFrame


def diversity_df(runs: Runs) -> DataFrame:
    """Returns how much the programs of each round differ: their mean syntax-tree distance.

    One row for the improvers that were tried in a round, and one for each task with the solutions
    that the round's improver tried. Columns: round, kind ("improver" or "solution"), task ("" of
    improvers), mean (0 to 1, over all pairs; NaN of fewer than two programs), programs (compared),
    unreadable (not Python), left_out (not drawn of a large set). See `stop.analysis.diversity`.

    Args:
        runs: one or several.
    """
    rows = []
    for label, run in as_runs(runs).items():
        with closing(run.store()) as store:
            for round_, kind, task, programs in _tried(store):
                found = diversity(store.program(program).source for program in programs)
                rows.append((label, round_, kind, task, found.mean, found.programs,
                             found.unreadable, found.left_out))  # fmt: skip
    columns = {
        "run": str, "round": int, "kind": str, "task": str, "mean": float, "programs": int,
        "unreadable": int, "left_out": int,
    }  # fmt: skip
    return frame(columns, rows)


def strategies_df(runs: Runs) -> DataFrame:
    """Returns the strategies that the improvers tried in each round show, by rules over their text.

    One row for each improver and strategy. Columns: round, improver_id, candidate (whether it is
    the round's result), accepted, strategy (one of `STRATEGIES`), line (that shows it, from 1; 0 of
    "unclear"), evidence (the line's text). docs/analysis.md says how often the rules are right.

    Args:
        runs: one or several.
    """
    rows = []
    for label, run in as_runs(runs).items():
        with closing(run.store()) as store:
            results = {r.round: (r.improver_id, r.accepted) for r in store.rounds()}
            tried = {n: ids for n, kind, _, ids in _tried(store) if kind == "improver"}
            for round_ in sorted(results.keys() | tried.keys()):
                candidate, accepted = results.get(round_, (None, False))
                ids = dict.fromkeys([*tried.get(round_, []), *([candidate] if candidate else [])])
                for program in ids:
                    own = program == candidate
                    for found in strategies(store.program(program).source):
                        rows.append((label, round_, program, own, own and accepted, found.label,
                                     found.line, found.evidence))  # fmt: skip
    columns = {
        "run": str, "round": int, "improver_id": str, "candidate": bool, "accepted": bool,
        "strategy": str, "line": int, "evidence": str,
    }  # fmt: skip
    return frame(columns, rows)


def _tried(store: Store) -> list[tuple[int, str, str, list[str]]]:
    """(round, kind, task, programs): improvers by round, solutions by the round's improver."""
    found: dict[tuple[int, str, str], list[str]] = {}
    improvers = store.query(
        "SELECT DISTINCT r.round, u.program_id FROM utility_calls u "
        "JOIN improver_runs r ON r.key = u.improver_run "
        "WHERE r.level = 'meta' AND r.round IS NOT NULL AND u.program_id IS NOT NULL"
    )
    for round_, program in improvers:
        found.setdefault((round_, "improver", ""), []).append(program)
    solutions = store.query(
        "SELECT DISTINCT o.round, r.task, u.program_id FROM rounds o "
        "JOIN improver_runs r ON r.improver_id = o.improver_id AND r.level = 'task' "
        "JOIN utility_calls u ON u.improver_run = r.key WHERE u.program_id IS NOT NULL"
    )
    for round_, task, program in solutions:
        found.setdefault((round_, "solution", task or ""), []).append(program)
    return [(*place, programs) for place, programs in sorted(found.items())]
