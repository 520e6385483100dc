"""Measures what the static rules see and what they miss, on the corpora of tests/audit/corpus.

    python benchmarks/detection.py [--json | --markdown [FILE] | --list misses|alarms]

For comparison it applies the paper's literal rule (`use_sandbox=False` or `exec(`) as well.
Intervals are Wilson's, 95 %; they cover the size of the corpus, not how far the world is like it.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

# The corpora belong to the tests, which are not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stop._util.statistics import wilson_interval
from tests.audit.corpus.attempts import Attempt, attempts
from tests.audit.corpus.benign import FAMILIES, WRITTEN, Sample, benign
from tests.audit.corpus.held_out import held_out_attempts, held_out_honest

if TYPE_CHECKING:
    from stop.audit.rules import Scan

HELD_OUT = "held out"
MARKS = ("<!-- measured -->", "<!-- end -->")


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate, `hits` of `n`, with its 95 % interval."""

    hits: int
    n: int
    low: float
    high: float

    @classmethod
    def of(cls, found: Iterable[bool]) -> Rate:
        values = list(found)
        return cls(sum(values), len(values), *wilson_interval(sum(values), len(values)))

    def __str__(self) -> str:
        share = 100 * self.hits / self.n if self.n else 0.0
        return (
            f"{self.hits}/{self.n} = {share:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """A group of attempts: the share seen by any rule, by the labelled one, by the paper's."""

    group: str
    any_rule: Rate
    labelled: Rate
    paper: Rate


@dataclass(frozen=True, slots=True)
class Alarms:
    """A family of benign programs: the share with any finding, the number at level 2 or more."""

    family: str
    any_rule: Rate
    loud: int
    paper: Rate
    by_rule: dict[str, int]


@dataclass(frozen=True, slots=True)
class Report:
    """The whole measurement. `misses` and `alarms` name programs; alarms also what was found."""

    python: str
    attempts: tuple[Seen, ...]
    benign: tuple[Alarms, ...]
    misses: tuple[str, ...]
    alarms: tuple[str, ...]


def measure() -> Report:
    from stop.audit.rules import scan  # noqa: PLC0415

    held = [Attempt(*given) for given in _held_out_attempts()]
    unseen = [Sample(name, HELD_OUT, source) for name, source in held_out_honest()]
    tried = [(attempt, scan(attempt.source)) for attempt in [*attempts(), *held]]
    honest = [(sample, scan(sample.source)) for sample in [*benign(), *unseen]]
    return Report(
        platform.python_version(), _seen(tried), _alarms(honest), _misses(tried), _found(honest)
    )


def _held_out_attempts() -> Iterable[tuple[str, str, str, str]]:
    return ((f"held-out/{name}", HELD_OUT, rule, text) for name, rule, text in held_out_attempts())


def _seen(tried: Sequence[tuple[Attempt, Scan]]) -> tuple[Seen, ...]:
    rules = dict.fromkeys(attempt.rule for attempt, _ in tried)
    groups: list[tuple[str, Callable[[Attempt], bool]]] = [
        (rule, lambda a, rule=rule: a.rule == rule and a.family not in ("hidden", HELD_OUT))
        for rule in rules
    ]
    groups += [
        ("all but hidden", lambda a: a.family not in ("hidden", HELD_OUT)),
        ("hidden", lambda a: a.family == "hidden"),
        ("all", lambda a: a.family != HELD_OUT),
        (HELD_OUT, lambda a: a.family == HELD_OUT),
    ]
    table = []
    for name, belongs in groups:
        chosen = [(attempt, result) for attempt, result in tried if belongs(attempt)]
        table.append(
            Seen(
                name,
                Rate.of(bool(result.findings) for _, result in chosen),
                Rate.of(_by_its_rule(attempt, result) for attempt, result in chosen),
                Rate.of(result.paper_rule for _, result in chosen),
            )
        )
    return tuple(table)


def _by_its_rule(attempt: Attempt, result: Scan) -> bool:
    return any(finding.rule == attempt.rule for finding in result.findings)


def _alarms(honest: Sequence[tuple[Sample, Scan]]) -> tuple[Alarms, ...]:
    groups = [(family, {family}) for family in FAMILIES]
    groups.insert(len(WRITTEN), ("all of these", set(WRITTEN)))
    groups.append((HELD_OUT, {HELD_OUT}))
    table = []
    for name, families in groups:
        chosen = [result for sample, result in honest if sample.family in families]
        by_rule: dict[str, int] = {}
        for result in chosen:
            for rule in sorted({finding.rule for finding in result.findings}):
                by_rule[rule] = by_rule.get(rule, 0) + 1
        table.append(
            Alarms(
                name,
                Rate.of(bool(result.findings) for result in chosen),
                sum(result.level >= 2 for result in chosen),
                Rate.of(result.paper_rule for result in chosen),
                by_rule,
            )
        )
    return tuple(table)


def _misses(tried: Sequence[tuple[Attempt, Scan]]) -> tuple[str, ...]:
    found = []
    for attempt, result in tried:
        if not result.findings:
            found.append(f"{attempt.name} ({attempt.family}): nothing seen")
        elif not _by_its_rule(attempt, result):
            others = ", ".join(sorted({finding.rule for finding in result.findings}))
            found.append(f"{attempt.name} ({attempt.family}): seen as {others} only")
    return tuple(found)


def _found(honest: Sequence[tuple[Sample, Scan]]) -> tuple[str, ...]:
    return tuple(
        f"{sample.family}/{sample.name}:{finding.line}: {finding.rule}: {finding.evidence[:100]}"
        for sample, result in honest
        for finding in result.findings
    )


def _rows(report: Report) -> tuple[list[list[str]], list[list[str]]]:
    """Returns both tables, each with its heading."""
    seen = [["attempts", "seen by any rule", "by the labelled rule", "by the paper's rule"]]
    seen += [[s.group, str(s.any_rule), str(s.labelled), str(s.paper)] for s in report.attempts]
    alarms = [["benign family", "false alarms", "level 2 or 3", "the paper's rule", "by rule"]]
    for row in report.benign:
        rules = ", ".join(f"{rule} {n}" for rule, n in sorted(row.by_rule.items())) or "none"
        alarms.append([row.family, str(row.any_rule), str(row.loud), str(row.paper), rules])
    return seen, alarms


def markdown(report: Report) -> str:
    """Returns the rules and the two tables, as docs/detection.md has them."""
    from stop.audit.rules import RULES  # noqa: PLC0415

    rules = [["rule", "what the text does"], *([f"`{n}`", about] for n, about in RULES.items())]
    parts = [f"Measured with Python {report.python}; 95 % intervals of Wilson in parentheses."]
    for table in (rules, *_rows(report)):
        heading, *rows = table
        lines = [heading, ["---"] * len(heading), *rows]
        parts.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
    return "\n\n".join(parts) + "\n"


def renew(page: Path, table: str) -> None:
    """Replaces the text between the marks of a page."""
    before, first, rest = page.read_text("utf-8").partition(MARKS[0])
    _, second, after = rest.partition(MARKS[1])
    if not (first and second):
        raise SystemExit(f"{page} has no lines {MARKS[0]!r} and {MARKS[1]!r}")
    page.write_text(f"{before}{first}\n\n{table}\n{second}{after}", "utf-8")


def plain(report: Report) -> str:
    parts = [f"Python {report.python}"]
    for table in _rows(report):
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in table)
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true")
    form.add_argument(
        "--markdown", nargs="?", const="-", metavar="FILE", help="print it, or renew it in FILE"
    )
    form.add_argument("--list", choices=("misses", "alarms"), help="which programs they are")
    options = parser.parse_args()
    report = measure()
    if options.json:
        print(json.dumps(asdict(report), indent=2))
    elif options.markdown == "-":
        print(markdown(report), end="")
    elif options.markdown:
        renew(Path(options.markdown), markdown(report))
    elif options.list:
        print("\n".join(report.misses if options.list == "misses" else report.alarms))
    else:
        print(plain(report), end="")


if __name__ == "__main__":
    main()
