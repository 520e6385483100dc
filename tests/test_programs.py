"""Programs: identity, syntax, and code taken out of answers."""

from __future__ import annotations

import importlib.util
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stop.errors import ProgramError
from stop.programs import MAX_PROGRAM_BYTES, Program, program_id, syntax_problem
from tests.helpers.places import REPOSITORY


def _guest_module(name):
    path = REPOSITORY / "sandbox" / "guest" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"guest_{name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[f"guest_{name}"] = module
    spec.loader.exec_module(module)
    return module


extract_code = _guest_module("helpers").extract_code


def test_identity_is_the_bytes():
    assert program_id("a") == Program("a").id
    assert program_id("a") != program_id("a\n")
    assert len(program_id("\ud800")) == 64


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("def algorithm(): pass", ""),
        ("algorithm = lambda: 0", ""),
        ("from x import y as algorithm", ""),
        ("if True:\n    def algorithm(): pass", ""),
        ("class A:\n    def algorithm(self): pass", "defines no 'algorithm'"),
        ("def f(:", "line 1"),
        ("x = '\x00'", "null bytes"),
        ("(" * 5000 + ")" * 5000, ""),
        ("#" * (MAX_PROGRAM_BYTES + 1), "at most"),
        ("'\ud800'", "Unicode"),
    ],
)
def test_syntax(source, problem):
    said = syntax_problem(source, "algorithm")
    assert problem in said if problem else (said == "" or source[0] == "(")


@given(st.text())
def test_syntax_never_raises(text):
    assert isinstance(syntax_problem(text, "algorithm"), str)


def test_files(tmp_path):
    with pytest.raises(ProgramError, match="no such"):
        Program.from_file(tmp_path / "x.py")
    with pytest.raises(ProgramError, match="folder"):
        Program.from_file(tmp_path)
    (tmp_path / "b.py").write_bytes(b"\xff\xfe")
    with pytest.raises(ProgramError, match="UTF-8"):
        Program.from_file(tmp_path / "b.py")


A = "def algorithm(x):\n    return x"
IMPROVER = '''def improve_algorithm(initial_solution, utility, language_model):
    message = f"""Improve this:
```python
{initial_solution}
```
Answer with one block."""
    return language_model.prompt("", message)[0]'''


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (f"```python\n{A}\n```", A),
        (f"text\n```\n{A}\n```\nmore", A),
        (f"```py\nprint(1)\n```\nthen\n```python\n{A}\n```", A),
        (f"```python\n{IMPROVER}\n```\nThat is all.", IMPROVER),
        (f"```python\n{A}\n", A),
        (f"1. do this:\n   ```python\n   {A.replace(chr(10), chr(10) + '   ')}\n   ```", A),
        (f"~~~python\n{A}\n~~~", A),
        ("no code here", None),
        ("", None),
        (None, None),
        ("```\nnot python at all (\n```", "not python at all ("),
    ],
)
def test_extract_code(answer, code):
    assert extract_code(answer) == code


def test_extract_code_of_a_list():
    assert extract_code([f"```\n{A}\n```", "none"]) == [A, None]


@given(st.text(alphabet="`~\n pyd:x=()#\"'", max_size=300))
def test_extract_code_never_raises(text):
    assert extract_code(text) is None or isinstance(extract_code(text), str)
