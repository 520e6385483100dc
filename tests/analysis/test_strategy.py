"""Strategies by rules over the syntax tree, against improvers whose strategy is known.

Improvers that models wrote in the recorded runs, improvers of tests/audit, which were written for
another purpose, and improvers written for these rules. docs/analysis.md has the numbers.
"""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stop.analysis.strategy import STRATEGIES, strategies
from stop.improvers import load_improver
from stop.lineage import Lineage
from tests.analysis.effort import calls_of
from tests.analysis.strategies.recorded import LARGER, SMALLER
from tests.analysis.strategies.written import WRITTEN
from tests.audit.corpus.improvers import improvers
from tests.helpers.places import REPOSITORY
from tests.helpers.programs import GREEDY


def labels(source):
    return {found.label for found in strategies(source)}


def written_in(run):
    """The improvers that a model wrote in a recorded run, by the beginnings of their ids."""
    lineage = Lineage(REPOSITORY / "notebooks" / "runs" / run)
    written = [node.program_id for node in lineage.nodes("improver") if node.parent_id is not None]
    return {program[:10]: lineage.source(program) for program in written}


def test_improvers_that_a_larger_model_wrote():
    assert {name: labels(text) for name, text in written_in("larger-model").items()} == LARGER


def test_improvers_that_small_models_wrote_have_no_strategy():
    found = [labels(text) for run in SMALLER for text in written_in(run).values()]
    assert len(found) == 18
    assert found.count(set()) == 3  # not Python
    assert found.count({"unclear"}) == 15


def renamed(source):
    """The same program with other names for its own functions, parameters and variables."""
    tree = ast.parse(source)
    own = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    own |= {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    numbers = {name: f"name_{i}" for i, name in enumerate(sorted(own - {"improve_algorithm"}))}
    for node in ast.walk(tree):
        for field in ("id", "arg", "name"):
            if isinstance(getattr(node, field, None), str):
                setattr(node, field, numbers.get(getattr(node, field), getattr(node, field)))
    return ast.unparse(tree)


@pytest.mark.parametrize("name", LARGER)
def test_names_and_layout_do_not_matter(name):
    source = written_in("larger-model")[name]
    changed = renamed(source)
    assert changed != source
    assert labels(changed) == LARGER[name]


@pytest.mark.parametrize("name", WRITTEN)
def test_improvers_written_for_the_rules(name):
    expected, source = WRITTEN[name]
    compile(source, name, "exec")
    assert labels(source) == expected


@pytest.mark.parametrize("label", STRATEGIES)
def test_there_are_several_examples_of_each(label):
    assert sum(label in expected for expected, _ in WRITTEN.values()) >= 2


CACHING = {"memo", "lru-cache", "class", "mean", "thrifty", "locked", "tuple"}


def test_improvers_that_others_wrote():
    """180, of a strategy, a way to score and a way to ask each. One way to keep scores is missed:
    `setdefault` and a tuple."""
    missed, count = [], 0
    for name, source in improvers():
        strategy, scorer, _ = name.split("+")
        expected = {"beam"} if strategy == "beam" else set()
        expected |= {"caching"} if scorer in CACHING or strategy == "cache" else set()
        found = labels(source) - {"unclear"}
        count += 1
        assert found <= expected, name
        if found != expected:
            missed.append(name)
    assert count == 180
    assert {name.split("+")[1] for name in missed} <= {"tuple"}
    assert len(missed) <= 9


@pytest.mark.parametrize("name", ["seed", "flagged", "flagged_warning"])
def test_the_improvers_that_come_with_the_project_ask_once(name):
    assert labels(load_improver(name).source) == {"unclear"}


def test_a_solution_has_no_strategy():
    assert labels(GREEDY) == {"unclear"}


@pytest.mark.parametrize("name", WRITTEN)
def test_the_evidence_is_a_line_of_the_text(name):
    _, source = WRITTEN[name]
    for found in strategies(source):
        if found.label != "unclear":
            assert found.evidence
            assert source.splitlines()[found.line - 1].strip().startswith(found.evidence)


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
    "tries": "try:\n a[b]\nexcept KeyError:\n a[b]=c()\n" * 6000,
    "lists": "".join(f"a{i}=sorted(b)[:2]\n" for i in range(2500))
    + "for x in c:\n d.append(a[x])\n" * 900
    + "e.prompt(d)\n",
    "carriers": "a0='-'.join(sorted(b)[:2])\n"
    + "".join(f"a{i + 1}=a{i}\n" for i in reversed(range(3000)))
    + "x.prompt(c)\n",
    "caches": "if a in b: b[a]=f(a)\n" * 8000 + "a=a\n" * 8000,
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
@pytest.mark.slow
def test_hostile_text_takes_a_bounded_number_of_calls(text):
    found, calls = calls_of(strategies.__wrapped__, text)
    assert calls < 3_000_000  # one or two seconds
    assert {each.label for each in found} <= set(STRATEGIES)


@given(st.text(max_size=300))
def test_no_text_is_too_odd(text):
    assert all(found.label in STRATEGIES for found in strategies(text))


def test_what_is_not_python_has_no_strategy():
    assert strategies("def (") == ()
