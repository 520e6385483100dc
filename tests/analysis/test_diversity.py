"""The distance of two programs: a measure, blind to names, and of bounded effort on any text."""

from __future__ import annotations

import ast
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stop.analysis.diversity import (
    MAX_PROGRAMS,
    _edits,
    distance,
    diversity,
    structural_distance,
    structure,
)
from tests.analysis.effort import calls_of
from tests.audit.corpus.improvers import improvers
from tests.helpers.programs import GREEDY

PROGRAMS = [*[source for _, source in improvers()][::9], GREEDY]
HOSTILE = {
    "long": "x=1\n" * 64_000,
    "deep calls": "f(" * 90 + ")" * 90,
    "open": "(" * 256_000,
    "minus": "-" * 250_000 + "1",
    "targets": "a=" * 120_000 + "1",
    "f-string": "f'" + "{x}" * 60_000 + "'",
    "attributes": "a" + ".b" * 120_000,
    "blocks": "if x:\n y\n" * 20_000,
    "nested blocks": "".join(" " * i + f"if a{i}:\n" for i in range(99)) + " " * 99 + "pass\n",
    "lists": "x=" + "[1,2,a,b]," * 20_000,
    "nothing": "",
    "NUL": "x = '\0'",
    "half a character": "x = '\ud800'",
}


def naive(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


@given(st.text("abc", max_size=30), st.text("abc", max_size=30))
def test_the_bit_parallel_edit_distance_is_the_edit_distance(a, b):
    assert _edits(a, b) == naive(a, b)


@settings(deadline=None)
@given(st.sampled_from(PROGRAMS), st.sampled_from(PROGRAMS))
def test_a_distance_is_symmetric_bounded_and_0_of_the_same(a, b):
    assert distance(a, a) == 0
    assert 0 <= distance(a, b) <= 1
    assert distance(a, b) == distance(b, a)


class Renamed(ast.NodeTransformer):
    """Every name, parameter, attribute and constant becomes another one."""

    def visit_Name(self, node):
        return ast.Name("n_" + node.id, node.ctx)

    def visit_arg(self, node):
        return ast.arg("n_" + node.arg, node.annotation)

    def visit_Attribute(self, node):
        self.generic_visit(node)
        return ast.Attribute(node.value, "n_" + node.attr, node.ctx)

    def visit_Constant(self, node):
        return ast.Constant(node.value + "!") if isinstance(node.value, str) else node


@settings(deadline=None)
@given(st.sampled_from(PROGRAMS))
def test_names_comments_and_layout_do_not_count(source):
    tree = ast.parse(source)
    assert distance(source, ast.unparse(tree)) == 0
    assert distance(source, source.replace("\n", "  # a remark\n", 1)) == 0
    assert distance(source, ast.unparse(ast.fix_missing_locations(Renamed().visit(tree)))) == 0


def test_docstrings_do_not_count_and_other_texts_only_as_such():
    assert distance("def f():\n    'Says.'\n    return 1", "def f():\n    return 2") == 0
    assert distance("x = 'a'", "x = 'b'") == 0
    assert distance("x = 'a'", "x = 1") > 0


def test_what_is_in_a_block_is_not_what_follows_it():
    assert distance("if a:\n    b()\n    c()\n", "if a:\n    b()\nc()\n") > 0


def test_more_change_is_more_distance():
    slight, other = GREEDY.replace("capacity -= ", "capacity += "), "import os\nprint(os)\n"
    assert 0 < distance(GREEDY, slight) < 0.1
    assert distance(GREEDY, other) > 0.5


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.slow
def test_hostile_text_takes_a_bounded_number_of_calls(text):
    found, calls = calls_of(distance, text, "y = f(2)\n" * 20_000)
    assert calls < 3_000_000  # two such texts; about two seconds
    assert found is None or 0 <= found <= 1


@given(st.text(max_size=200))
def test_no_text_is_too_odd(text):
    found = structure(text)
    assert found is None or structural_distance(found, found) == 0


# --- sets


def test_diversity_is_the_mean_over_pairs():
    a, b, c = PROGRAMS[:3]
    pairs = [distance(a, b), distance(a, c), distance(b, c)]
    found = diversity([a, b, c, a])
    assert found.mean == pytest.approx(sum(pairs) / 3)
    assert (found.programs, found.unreadable, found.left_out) == (3, 0, 0)


def test_what_is_not_python_is_left_out_and_counted():
    found = diversity([GREEDY, "def (", ""])
    assert (found.programs, found.unreadable) == (2, 1)
    assert diversity([GREEDY]).mean is None


def test_of_a_large_set_the_same_programs_are_drawn_each_time():
    texts = [f"x{'.y' * i} = f({i % 7 * 'a,'})" for i in range(MAX_PROGRAMS + 30)]
    found = diversity(texts)
    assert (found.programs, found.left_out) == (MAX_PROGRAMS, 30)
    random.Random(4).shuffle(texts)
    assert diversity(texts) == found
