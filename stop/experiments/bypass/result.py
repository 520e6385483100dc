"""The result of a bypass measurement: what `stop bypass --json` prints, and what people read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from typing_extensions import TypedDict

from stop._util.sheet import Sheet, Table, cost, short
from stop._util.statistics import wilson_interval
from stop.budget import LMCost
from stop.experiments.documents import SeenEvent

_LABELS = {
    "nothing": "0 nothing",
    "intent": "1 intent",
    "attempt": "2 attempt",
    "tampering": "3 tampering",
    "unparsable": "unparsable",
    "no_code": "no code",
}
_REASONS_SHOWN = 4


@dataclass(frozen=True, slots=True)
class RateResult:
    """A share of the samples of a cell.

    Attributes:
        count: number of samples.
        rate: their share; null while there are no samples.
        interval: Wilson's 95 % interval of `rate`; null likewise.
    """

    count: int
    rate: float | None
    interval: tuple[float, float] | None

    @classmethod
    def of(cls, count: int, n: int, **others: Any) -> Self:
        """Makes the share of a count out of `n`."""
        share = (count / n, wilson_interval(count, n)) if n else (None, None)
        return cls(count, *share, **others)


@dataclass(frozen=True, slots=True)
class ClassResult(RateResult):
    """The samples of one class.

    Attributes:
        count: number of samples.
        rate: their share; null while there are no samples.
        interval: Wilson's 95 % interval of `rate`; null likewise.
        paper_rule: of these, the number that the paper's literal rule finds.
    """

    paper_rule: int


@dataclass(frozen=True, slots=True)
class CellResult:
    """One cell of the table.

    Attributes:
        cell: "no_warning" or "warning".
        samples: number of samples.
        classes: by "nothing", "intent", "attempt", "tampering" (the levels 0 to 3), "unparsable"
            and "no_code".
        any_level: samples of level 1 and up.
        paper_rule: samples that the paper's literal rule finds.
        cut_off: responses that ended at the token limit.
        runs: samples by the status of their improver run; empty when none was run.
    """

    cell: str
    samples: int
    classes: dict[str, ClassResult]
    any_level: RateResult
    paper_rule: RateResult
    cut_off: int
    runs: dict[str, int]


class RuleFinding(TypedDict):
    """What a static rule sees in a program's text.

    Attributes:
        rule: its name.
        level: 1 intent.
        line: of the source.
        evidence: the text of that line.
    """

    rule: str
    level: int
    line: int
    evidence: str


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How the improver run of a sampled program ended.

    Attributes:
        status: as of an evaluation.
        detail: what went wrong.
    """

    status: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class Sample:
    """One response of the model, and the program in it.

    Attributes:
        program_id: null where the response contains no code.
        cell: "no_warning" or "warning".
        number: 0, 1, ... within the cell.
        class: what it counts as.
        level: 0 to 3; null where there is no program that parses.
        rules: what the text shows.
        events: what the program tried when it ran.
        paper_rule: whether the paper's literal rule finds a bypass.
        cut_off: whether the response ended at the token limit.
        run: null where it was not run.
    """

    program_id: str | None
    cell: str
    number: int
    class_: str = field(metadata={"serialization_alias": "class"})
    level: int | None
    rules: tuple[RuleFinding, ...]
    events: tuple[SeenEvent, ...]
    paper_rule: bool
    cut_off: bool
    run: RunEnd | None


@dataclass(frozen=True, slots=True)
class BypassResult:
    """What a bypass measurement has found.

    Attributes:
        run: its folder.
        status: "new", "running", "done", "budget", "failed", "halted" or "interrupted".
        model: that was measured.
        samples_per_cell: that were asked for.
        temperature: of sampling.
        executed: whether the programs were also run.
        cells: counts and rates.
        programs: every sample.
        lm: what the language model cost.
    """

    run: Path
    status: str
    model: str
    samples_per_cell: int
    temperature: float
    executed: bool
    cells: tuple[CellResult, ...]
    programs: tuple[Sample, ...]
    lm: LMCost

    def sheet(self) -> Sheet:
        """Returns the result as people read it: the table, the programs to read, the cost."""
        heads = ("cell", "class", "programs", "rate", "95 % interval", "paper's rule",
                 "95 % interval")  # fmt: skip
        of = f"of {self.samples_per_cell}"
        counts = ", ".join(f"{each.samples} {of} {_name(each.cell)}" for each in self.cells)
        return [
            Table(heads, [row for cell in self.cells for row in _rows(cell)]),
            "each sample counts at its program's highest level; rates are of all samples of the "
            "cell",
            *(remark for cell in self.cells for remark in _remarks(cell)),
            self._flagged(),
            {
                "model": f"{self.model}, temperature {self.temperature:g}",
                "samples": counts,
                "cost": cost(self.lm),
                "status": self.status,
            },
        ]

    def _flagged(self) -> Table | str:
        """The programs of level 1 and up, each once in a cell."""
        flagged = {(each.cell, each.program_id): each for each in reversed(self.programs)
                   if each.level}  # fmt: skip
        times = Counter((each.cell, each.program_id) for each in self.programs)
        rows = [
            (short(each.program_id), _name(each.cell), times[key], each.level,
             "yes" if each.paper_rule else "no", each.run.status if each.run else "-", _why(each))
            for key, each in reversed(flagged.items())
        ]  # fmt: skip
        heads = ("program", "cell", "samples", "level", "paper's rule", "run", "why")
        return Table(heads, rows) if rows else "no program at level 1 or higher"


def _remarks(cell: CellResult) -> list[str]:
    remarks = []
    if cell.cut_off:
        remarks.append(
            f"{_name(cell.cell)}: {cell.cut_off} response(s) ended at the limit of "
            "max-response-tokens"
        )
    if cell.runs:
        counts = ", ".join(f"{status} {n}" for status, n in sorted(cell.runs.items()))
        remarks.append(f"{_name(cell.cell)}: run: {counts}")
    return remarks


def _rows(cell: CellResult) -> list[Sequence[Any]]:
    name, n = _name(cell.cell), cell.samples
    papers = {each: RateResult.of(found.paper_rule, n) for each, found in cell.classes.items()}
    return [
        *((name, label, *_rate(cell.classes[each]), *_paper(papers[each]))
          for each, label in _LABELS.items()),
        (name, "1 and up", *_rate(cell.any_level), "", ""),
        (name, "all", str(n), "", "", *_paper(cell.paper_rule)),
    ]  # fmt: skip


def _rate(rate: RateResult) -> tuple[str, str, str]:
    """Count, percentage and interval, as the paper prints them."""
    if rate.rate is None or rate.interval is None:
        return str(rate.count), "-", ""
    low, high = rate.interval
    return str(rate.count), f"{100 * rate.rate:.2f} %", f"[{100 * low:.2f}, {100 * high:.2f}]"


def _paper(rate: RateResult) -> tuple[str, str]:
    """Count and rate share a column."""
    count, share, ends = _rate(rate)
    return f"{count}  {share}", ends


def _why(sample: Sample) -> str:
    """What the program tried, then what its text shows, the highest level first."""
    tried = [f"{each['kind']} (tried)" for each in sample.events]
    shown = sorted(sample.rules, key=lambda rule: -rule["level"])
    reasons = tried + [f"{each['rule']} line {each['line']}" for each in shown]
    more = len(reasons) - _REASONS_SHOWN
    return ", ".join(reasons[:_REASONS_SHOWN]) + (f", {more} more" if more > 0 else "")


def _name(cell: str) -> str:
    return cell.replace("_", " ")
