"""Strategies by rules over the syntax tree, against improvers whose strategy is known.

Four corpora: one that the rules were made with, one that was put aside before, the improvers of
tests/audit, written for another purpose by others, and those that a model wrote in a recorded run.
docs/analysis.md has the confusion tables.
"""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stop.analysis.strategy import STRATEGIES, strategies
from stop.improvers import load_improver
from stop.lineage import Lineage
from tests.analysis.strategies.held_out import HELD_OUT
from tests.analysis.strategies.recorded import RECORDED, SHAPES
from tests.analysis.strategies.tuning import TUNING
from tests.audit.corpus.improvers import improvers
from tests.helpers.places import REPOSITORY
from tests.helpers.programs import GREEDY

ALL = TUNING | HELD_OUT


def labels(source):
    return {found.label for found in strategies(source)}


@pytest.mark.parametrize("name", TUNING)
def test_improvers_that_the_rules_were_made_with(name):
    expected, source = TUNING[name]
    assert labels(source) == expected


@pytest.mark.parametrize("name", HELD_OUT)
def test_improvers_that_were_put_aside(name):
    expected, source = HELD_OUT[name]
    assert labels(source) == expected


@pytest.mark.parametrize("label", STRATEGIES)
def test_there_are_enough_examples_of_each(label):
    for corpus, least in ((ALL, 7), (HELD_OUT, 3), (TUNING, 4)):
        assert sum(label in expected for expected, _ in corpus.values()) >= least


OTHERS = {
    "beam": "beam", "genetic": "genetic", "one-part": "decomposition", "bandit": "bandit",
    "annealing": "annealing", "tree": "tree_search", "voting": "voting", "cache": "caching",
    "decompose": "decomposition",
}  # fmt: skip
CACHING = {"memo", "lru-cache", "class", "mean", "thrifty", "locked", "tuple"}


def test_improvers_that_others_wrote():
    """180, of a strategy, a way to score and a way to ask each. One way to keep scores is missed:
    the dictionary gets a name that was computed before, not a call."""
    wrong, count = [], 0
    for name, source in improvers():
        strategy, scorer, _ = name.split("+")
        expected = {OTHERS[strategy]} if strategy in OTHERS else set()
        expected |= {"caching"} if scorer in CACHING else set()
        count += 1
        if labels(source) != (expected or {"other"}):
            wrong.append(name)
    assert count == 180
    assert {name.split("+")[1] for name in wrong} <= {"tuple"}
    assert len(wrong) <= 9


def test_improvers_that_a_model_wrote():
    """Labels were given by reading; the rules were mended after they had met these."""
    lineage = Lineage(REPOSITORY / "notebooks" / "runs" / "larger-model")
    written = [node.program_id for node in lineage.nodes("improver") if node.parent_id is not None]
    shown = {program[:10]: labels(lineage.source(program)) for program in written}
    assert shown == RECORDED


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_that_were_met_in_it_under_other_names(name):
    expected, source = SHAPES[name]
    assert labels(source) == expected


@pytest.mark.parametrize("name", ["seed", "flagged", "flagged_warning"])
def test_the_improvers_that_come_with_the_project_ask_once(name):
    assert labels(load_improver(name).source) == {"other"}


def test_a_solution_is_no_strategy():
    assert labels(GREEDY) == {"other"}


@pytest.mark.parametrize("name", ALL)
def test_the_evidence_is_a_line_of_the_text(name):
    _, source = ALL[name]
    for found in strategies(source):
        if found.label != "other":
            assert source.splitlines()[found.line - 1].strip().startswith(found.evidence)


@pytest.mark.parametrize("name", list(ALL)[::4])
def test_the_names_of_the_parameters_do_not_matter(name):
    expected, source = ALL[name]
    renamed = source.replace("language_model", "client").replace("initial_solution", "begin")
    assert labels(renamed.replace("utility", "metric")) == expected


HOSTILE = {
    "long": "x=1\n" * 64_000,
    "loops": "for x in y:\n f(x)\n" * 14_000,
    "cuts": "def f():\n for a in b: x.prompt(a); " + "c=sorted(a)[:3];" * 15_000,
    "nested loops": "".join(" " * i + f"for a{i} in b:\n" for i in range(90))
    + (" " * 90 + "c=d.pop(); d.append(x.prompt(c))\n") * 2000,
    "functions": "".join(f"def f{i}():\n for t in b:\n  f{i + 1}()\n" for i in range(3000))
    + "def f3000(): x.prompt(1)\n",
    "words": "'" + "a b " * 60_000 + "'",
    "identifier": "a_b" * 80_000 + "=1",
    "votes": "votes[1]+=1\n" * 20_000,
    "draws": "if random()<x:\n y=random.choice(a)\n" * 7000,
    "tries": "try:\n a[b]\nexcept KeyError:\n a[b]=c()\n" * 6000,
    "temperatures": "t=t*u\n" * 30_000 + "for t in y:\n t.prompt(x)\n",
    "messages": "x.prompt(1)\ndef f(a, b):\n"
    + " x.prompt('combine' + a + b)\n" * 3000
    + "a, b = sorted(c)[:2]\n"
    + "f(a, 1)\n" * 3000,
    "joins": "x.prompt('merge ' + '-'.join(p for p in sorted(c)[:3]))\n" * 4000,
    "unrolled": "x.prompt(a)\n" + "b = sorted(c)[:3]\nx.prompt(b[0])\n" * 5000,
    "open": "(" * 256_000,
    "half a character": "x = '\ud800'",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_read_in_time(text):
    started = time.process_time()
    found = strategies(text)
    assert time.process_time() - started < 4  # less than one where nothing else runs
    assert {each.label for each in found} <= set(STRATEGIES)


@given(st.text(max_size=300))
def test_no_text_is_too_odd(text):
    assert all(found.label in STRATEGIES for found in strategies(text))


def test_what_is_no_python_has_no_strategy():
    assert strategies("def (") == ()
