"""Compares runs side by side, and any two programs on cells that neither was chosen on.

Improvers are compared on fresh cells only: in runs of rounds, those of the final comparison. They
are compared in pairs (task × repetition) where they met the same instances: in one run, or in runs
with the same seed and unchanged tasks. Elsewhere Welch's t-test on the tasks in common takes the
place of the paired one, and the result says so. Solutions are fixed programs: with one repetition
their instances are the sample. The p-values of one comparison are corrected by Holm's method.
Methods and sources: `stop._util.statistics`.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from stop._util.statistics import (
    Cell,
    Comparison,
    Estimate,
    common_cells,
    compare_paired,
    compare_unpaired,
    corrected,
    rate_difference,
    rate_p_value,
    stratified_mean,
)
from stop.analysis.runs import OneRun, Runs, as_run, as_runs
from stop.analysis.saturation import Saturation, saturation
from stop.analysis.scores import Scores, ends
from stop.analysis.strategy import strategies
from stop.experiments import kind_of
from stop.experiments.bypass.report import CellReport
from stop.recorded_run import Run
from stop.tasks.evaluation import Split


@dataclass(frozen=True, slots=True)
class Entry:
    """The result of a run, or one program of it.

    Attributes:
        run: its name, or the beginning of the program's id.
        kind: of the run.
        program_id: the best improver, or the solution of an improve; None without any.
        what: "improver" or "solution"; "" of a bypass measurement.
        score: on the meta split, with its interval; of an improver the meta-utility on fresh
            cells, None where there are none.
        test: the same on the test split; None where it was not asked for. Of an improver it is
            about the programs that it made on these cells.
        gain: over the program that the run began with, in pairs: one test, so that there is nothing
            to correct.
        test_gain: the same on the test split.
        saturation: of a run of rounds.
        rounds, accepted: of a run of rounds, without the seed improver.
        strategies: of an improver.
        about: tasks, model, status, cost and security of the run, as `stop run --json` has them;
            of one of several programs of a run only its folder and the program's security.
        rates: of a bypass measurement.
    """

    run: str
    kind: str
    program_id: str | None
    what: str
    score: Estimate | None
    test: Estimate | None
    gain: Comparison | None
    test_gain: Comparison | None
    saturation: Saturation | None
    rounds: int
    accepted: int
    strategies: tuple[str, ...]
    about: dict[str, Any]
    rates: tuple[CellReport, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns the entry as `stop compare --json` prints it."""
        found = self.saturation
        return {
            "run": self.run,
            "kind": self.kind,
            **self.about,
            "program_id": self.program_id,
            "what": self.what,
            **_estimate("score", self.score),
            **_estimate("test_score", self.test),
            "gain": self.gain and _comparison(self.gain) | {"p_holm": self.gain.p},
            "test_gain": self.test_gain and _comparison(self.test_gain),
            "rounds": self.rounds,
            "accepted": self.accepted,
            "saturation": found and {"round": found.round, "best_round": found.best_round},
            "strategies": list(self.strategies),
            "rates": [cell.to_dict() for cell in self.rates],
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two entries.

    Attributes:
        a, b: names of runs, or beginnings of the ids of programs in one run.
        split: "meta" or "test", the scores that are compared; "" of rates.
        result: a minus b; None where they cannot be compared. Its `p_holm` is corrected over all
            differences of this comparison on this split.
        tasks: the tasks that both were scored on.
        why: the reason why they are not compared in pairs, or not at all; "" for pairs.
    """

    a: str
    b: str
    split: str
    result: Comparison | None
    tasks: tuple[str, ...]
    why: str

    @property
    def p_holm(self) -> float | None:
        """The corrected p-value of `result`."""
        return self.result.p_holm if self.result else None

    def to_dict(self) -> dict[str, Any]:
        """Returns the difference as `stop compare --json` prints it."""
        return {
            "a": self.a,
            "b": self.b,
            "split": self.split,
            "tasks": list(self.tasks),
            **_comparison(self.result),
            "p_holm": self.p_holm,
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class Compared:
    """Runs, or programs of one run, and the differences of each two of them."""

    entries: tuple[Entry, ...]
    differences: tuple[Difference, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns the comparison as `stop compare --json` prints it."""
        return {
            "entries": [entry.to_dict() for entry in self.entries],
            "differences": [difference.to_dict() for difference in self.differences],
        }


def compare_runs(runs: Runs, *, test: bool = False, sandbox: str = "auto") -> Compared:
    """Compares the results of runs: side by side, and each two of them.

    Args:
        runs: of any kind. Improvers are compared with improvers, solutions with solutions, bypass
            rates with bypass rates.
        test: whether to score on the test split too, which no improver met: now, in the sandbox.
        sandbox: as of `stop.run`.

    Raises:
        RunError: a folder does not hold a run, or its secret cannot be read.
        SandboxError, TaskError: with `test`, where the host cannot score programs.
    """
    sides = [_side_of_run(label, run) for label, run in as_runs(runs).items()]
    return _compared(sides, test, sandbox)


def compare_programs(
    run: OneRun, programs: Iterable[str], *, test: bool = False, sandbox: str = "auto"
) -> Compared:
    """Compares each two programs of one run; an improver and a solution cannot be compared.

    Args:
        run: the run in which they were scored.
        programs: their ids, or beginnings of these, "best" or "seed".
        test, sandbox: as of `compare_runs`.

    Raises:
        RunError: the folder does not hold a run, or a program is not in it.
        SandboxError, TaskError: with `test`, where the host cannot score programs.
    """
    opened = as_run(run)
    scores = Scores(opened)
    chosen = [opened.program(p) for p in programs]
    ids = list(dict.fromkeys(program.id for program in chosen))
    start = ends(opened).first
    sides = []
    for program in ids:
        what = "improver" if scores.is_improver(program) else "solution"
        of_its_kind = start if start and scores.is_improver(start) == (what == "improver") else None
        side = _Side(program[:10], opened, program, what, of_its_kind, scores, alone=True)
        sides.append(side)
    return _compared(sides, test, sandbox)


# --- what is compared


@dataclass(frozen=True, slots=True)
class _Side:
    """A program with its scores; without one, the rates of a bypass measurement.

    `alone`: it stands for itself, not for its run.
    """

    label: str
    run: Run
    program: str | None
    what: str
    start: str | None
    scores: Scores
    rates: tuple[CellReport, ...] = ()
    saturation: Saturation | None = None
    alone: bool = False

    def cells(self, split: Split) -> tuple[Cell, ...]:
        return self.scores.fresh_cells(self.program, split) if self.program else ()

    @property
    def is_fixed(self) -> bool:
        """Whether it is a fixed program, so that instances are a sample."""
        return self.what == "solution"


def _side_of_run(label: str, run: Run) -> _Side:
    scores, kind = Scores(run), kind_of(run.config)
    with closing(run.store()) as store:
        rates = kind.rates(store, run.config)
    if rates:
        return _Side(label, run, None, "", None, scores, tuple(rates))
    first, last, *_ = ends(run)
    found = saturation(run) if kind.has_rounds else None
    return _Side(label, run, last, kind.programs, first, scores, saturation=found)


def _compared(sides: Sequence[_Side], test: bool, sandbox: str) -> Compared:
    if test:
        for side in sides:
            wanted = [program for program in (side.program, side.start) if program]
            side.scores.evaluate_test(wanted, sandbox=sandbox)
    splits: tuple[Split, ...] = ("meta", "test") if test else ("meta",)
    differences = [d for split in splits for d in _differences(sides, split)]
    return Compared(
        tuple(map(_entry, sides)), (*differences, *_corrected(_rate_differences(sides)))
    )


def _entry(side: _Side) -> Entry:
    meta, test = side.cells("meta"), side.cells("test")
    with closing(side.run.store()) as store:
        rounds = [] if side.alone else [record for record in store.rounds() if record.round > 0]
    is_improver = side.program is not None and side.what == "improver"
    text = side.run.program(side.program).source if side.program and is_improver else ""
    return Entry(
        run=side.label,
        kind=side.run.config.kind,
        program_id=side.program,
        what=side.what,
        score=stratified_mean(meta, instances=side.is_fixed) if meta else None,
        test=stratified_mean(test, instances=side.is_fixed) if test else None,
        gain=_gain(side, "meta"),
        test_gain=_gain(side, "test"),
        saturation=side.saturation,
        rounds=len(rounds),
        accepted=sum(record.accepted for record in rounds),
        strategies=tuple(s.label for s in strategies(text)) if is_improver else (),
        about=_about_program(side) if side.alone else _about(side.run),
        rates=side.rates,
    )


def _gain(side: _Side, split: Split) -> Comparison | None:
    if side.start is None or side.program in (None, side.start):
        return None
    new, old = common_cells(side.cells(split), side.scores.fresh_cells(side.start, split))
    return compare_paired(new, old, instances=side.is_fixed) if new else None


def _about_program(side: _Side) -> dict[str, Any]:
    node = side.run.lineage.node(side.program or "")
    return {
        "folder": str(side.run.folder),
        "security_level": node.security_level,
        "security_events": node.security_events,
    }


def _about(run: Run) -> dict[str, Any]:
    result, config = run.to_dict(), run.config
    names = ("status", "tasks", "repetitions", "lm", "security_events", "security_programs")
    model = {"model": config.lm, "meta_model": config.meta_lm or config.lm}
    return {"folder": str(run.folder), **model, **{name: result[name] for name in names}}


# --- differences


def _differences(sides: Sequence[_Side], split: Split) -> list[Difference]:
    scored = [side for side in sides if side.program is not None]
    return _corrected(_difference(a, b, split) for a, b in combinations(scored, 2))


def _corrected(differences: Iterable[Difference]) -> list[Difference]:
    """The same with Holm's correction over the tests that were made."""
    found = list(differences)
    tests = corrected([each.result for each in found])
    return [replace(each, result=test) for each, test in zip(found, tests, strict=True)]


def _difference(a: _Side, b: _Side, split: Split) -> Difference:
    def made(result: Comparison | None, why: str, tasks: tuple[str, ...] = ()) -> Difference:
        return Difference(a.label, b.label, split, result, tasks, why)

    if a.what != b.what:
        return made(None, f"{_article(a.what)} and {_article(b.what)}")
    new, old = a.cells(split), b.cells(split)
    if not new or not old:
        missing = a if not new else b
        fresh = "" if missing.is_fixed else " on fresh cells; `stop transfer` compares improvers"
        return made(None, f"{missing.label} has no scores{fresh or ' there'}")
    tasks = _common_tasks(a, b, new, old)
    if not tasks:
        return made(None, "no task in common, or its files differ")
    new, old = (tuple(c for c in cells if c.task in tasks) for cells in (new, old))
    if a.run == b.run or hmac.compare_digest(a.scores.secret(), b.scores.secret()):
        pairs = common_cells(new, old)
        if {cell.task for cell in pairs[0]} == set(tasks):
            return made(compare_paired(*pairs, instances=a.is_fixed), "", tasks)
    found = compare_unpaired(new, old, instances=a.is_fixed)
    return made(found, "their instances differ: not in pairs", tasks)


def _article(what: str) -> str:
    return f"an {what}" if what.startswith("i") else f"a {what}"


def _common_tasks(a: _Side, b: _Side, new: Sequence[Cell], old: Sequence[Cell]) -> tuple[str, ...]:
    """Tasks that both were scored on; of two runs only those with the same files."""
    names = {cell.task for cell in old}
    common = dict.fromkeys(cell.task for cell in new if cell.task in names)
    if a.run == b.run:
        return tuple(common)
    known, others = a.scores.tasks, b.scores.tasks
    return tuple(
        t for t in common
        if t in known and t in others and known[t].digest == others[t].digest != ""
    )  # fmt: skip


def _rate_differences(sides: Sequence[_Side]) -> Iterator[Difference]:
    """Of each cell that two bypass measurements have: the share of programs at level 1 and up.

    Newcombe's interval, Fisher's exact test.
    """
    for a, b in combinations([side for side in sides if side.rates], 2):
        others = {cell.cell: cell.any_level for cell in b.rates}
        for cell in a.rates:
            if (other := others.get(cell.cell)) is None or not cell.samples or not other.n:
                continue
            new, old = (cell.any_level.count, cell.any_level.n), (other.count, other.n)
            change, (low, high) = rate_difference(new, old)
            estimate = Estimate(change, low, high, "samples")
            method = "Fisher's exact test, Newcombe's interval"
            result = Comparison(estimate, rate_p_value(new, old), method, new[1] + old[1])
            yield Difference(a.label, b.label, "", result, (f"bypass {cell.cell}",), "")


# --- as data


def _estimate(name: str, estimate: Estimate | None) -> dict[str, Any]:
    if estimate is None:
        return {name: None, f"{name}_interval": None}
    ends = estimate.interval
    return {name: estimate.mean, f"{name}_interval": ends and list(ends)}


def _comparison(test: Comparison | None) -> dict[str, Any]:
    change = test.difference if test else None
    return {
        "difference": change and change.mean,
        "interval": list(change.interval) if change and change.interval else None,
        "over": change and change.over,
        "p": test and test.p,
        "p_sign_flip": test and test.p_sign_flip,
        "method": test and test.method,
        "n": test and test.n,
    }
