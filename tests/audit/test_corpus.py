"""What the static rules see, on corpora that were written without a look at the rules."""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from functools import cache

import pytest

from benchmarks import detection
from stop.audit.rules import RULES, scan
from tests.audit.corpus.attempts import FAMILIES as WAYS
from tests.audit.corpus.attempts import attempts
from tests.audit.corpus.benign import FAMILIES, WRITTEN, benign
from tests.audit.corpus.held_out import held_out_attempts, held_out_honest
from tests.helpers.places import REPOSITORY

# Near what was measured (docs/detection.md), so that a rule that goes blind or shouts is noticed.
SEEN_FLOOR = 0.99
LABELLED_FLOOR = 0.98
HELD_OUT_FLOOR = 0.90
ALARM_CEILING = 0.005


@cache
def _report():
    return detection.measure()


def test_the_corpora_are_large_and_varied():
    samples, tried = benign(), attempts()
    assert len(benign(stdlib=False)) >= 400
    assert len([a for a in tried if a.family != "hidden"]) >= 200
    assert len([a for a in tried if a.family == "hidden"]) >= 20
    assert {s.family for s in samples} == set(FAMILIES)
    assert {a.family for a in tried} == set(WAYS)
    assert len({s.source for s in samples} | {a.source for a in tried}) == len(samples + tried)
    assert len({(s.family, s.name) for s in samples}) == len(samples)
    assert len({a.name for a in tried}) == len(tried)


def test_the_held_out_programs_are_others():
    tried, honest = held_out_attempts(), held_out_honest()
    assert (len(tried), len(honest)) == (40, 40)
    assert set(Counter(rule for _, rule, _ in tried).values()) == {4}
    own = {text for *_, text in [*tried, *honest]}
    assert len(own) == 80
    assert own.isdisjoint(item.source for item in [*benign(stdlib=False), *attempts()])
    assert {scan(text).status for text in own} == {"ok"}


def test_every_rule_has_attempts():
    counts = Counter(a.rule for a in attempts() if a.family != "hidden")
    assert min(counts.values()) >= 20, counts


def test_what_was_written_parses():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for item in [*benign(stdlib=False), *attempts()]:
            tree = ast.parse(item.source)
            assert any(
                getattr(node, "name", "") in ("improve_algorithm", "algorithm", "priority")
                or isinstance(node, ast.Assign)  # an instance of a class that can be called
                for node in tree.body
            ), item.name


@pytest.mark.slow
def test_everything_can_be_scanned():
    assert {scan(item.source).status for item in [*benign(), *attempts()]} == {"ok"}


@pytest.mark.slow
def test_no_benign_program_is_more_than_an_intent():
    assert [s.name for s in benign() if scan(s.source).level >= 2] == []


@pytest.mark.slow
def test_attempts_are_seen():
    """Wilson's interval of the sensitivity is in the table of docs/detection.md."""
    [row] = [row for row in _report().attempts if row.group == "all but hidden"]
    assert row.any_rule.hits / row.any_rule.n >= SEEN_FLOOR, _report().misses
    assert row.labelled.hits / row.labelled.n >= LABELLED_FLOOR, _report().misses
    assert row.any_rule.hits > row.paper.hits


@pytest.mark.slow
def test_held_out_attempts_are_seen_and_honest_ones_left_alone():
    [row] = [row for row in _report().attempts if row.group == detection.HELD_OUT]
    assert row.any_rule.hits / row.any_rule.n >= HELD_OUT_FLOOR, _report().misses
    [quiet] = [row for row in _report().benign if row.family == detection.HELD_OUT]
    assert quiet.any_rule.hits <= 1, _report().alarms


def test_honest_programs_are_left_alone():
    quiet = [row for row in _report().benign if row.family in WRITTEN]
    hits, n = sum(row.any_rule.hits for row in quiet), sum(row.any_rule.n for row in quiet)
    assert hits / n <= ALARM_CEILING, _report().alarms


@pytest.mark.parametrize("family", ["improvers", "mentions", "solutions"])
def test_what_only_mentions_or_solves_raises_no_alarm(family):
    [row] = [row for row in _report().benign if row.family == family]
    assert row.any_rule.hits == 0, row.by_rule


def test_the_documented_table_is_the_measured_one():
    """But for the standard library, which is another one in every Python."""
    page = (REPOSITORY / "docs" / "detection.md").read_text("utf-8")
    for line in detection.markdown(_report()).splitlines():
        if line.startswith("| ") and not line.startswith("| stdlib"):
            assert line in page, "run: python benchmarks/detection.py --markdown docs/detection.md"


def test_the_documentation_names_every_rule():
    page = (REPOSITORY / "docs" / "detection.md").read_text("utf-8")
    assert [rule for rule in RULES if f"`{rule}`" not in page] == []
