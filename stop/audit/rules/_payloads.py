"""The rule `payload`: programs in strings, whole, fenced, or put before or into others."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from stop.audit.rules._flow import Fuel, Program, last_name

_SHORTEST = 7  # exec(x)
_MAX_PAYLOADS = 400
_MAX_TERMS = 200
_PERCENT = re.compile(r"%[sdrf]")
_FIELD = re.compile(r"\{\w{0,40}\}")
_ONE_LINE = re.compile(r"^\s*(import|from)\s[^;]+;\s*\S")
_FLAG_OFF = re.compile(r"use_sandbox\s*[=:]\s*(False|0|None|not\b)")
_BUILDERS = {"join", "format", "replace", "sub", "subn", "decode", "b64decode", "dedent", "loads"}
_UNKNOWN = "_"
"""A name in the place of a part of a text that cannot be known."""


def payloads(
    program: Program, fuel: Fuel, shows: Callable[[str, bool], bool]
) -> Iterator[ast.expr]:
    """Yields the expressions that are, make or change programs.

    Args:
        program: whose strings are looked at.
        fuel: the work that this may cause.
        shows: called with a text and whether it was fenced; says whether it shows a rule.
    """
    left = _MAX_PAYLOADS
    seen: set[str] = set()
    calls = [c for c in program.index.calls if getattr(c.func, "attr", "") in _BUILDERS]
    yield from (call for call in calls if _replaces(call, program))
    for node, text in _texts(program, calls):
        if text in seen or not ("\n" in text or "def " in text or _is_line(text)):
            continue
        seen.add(text)
        for inner, fenced in _programs(text):
            if len(inner) < _SHORTEST:
                continue
            left -= 1
            fuel.burn(len(inner) >> 4)
            if left < 0:
                return
            if shows(inner, fenced):
                yield node
                break


def _texts(program: Program, calls: list[ast.Call]) -> Iterator[tuple[ast.expr, str]]:
    """Texts and what makes them; not the parts of sums and of f-strings."""
    index = program.index
    sums = [n for n in index.nodes[ast.BinOp] if isinstance(n.op, ast.Add | ast.Mod)]
    joined = index.nodes[ast.JoinedStr]
    parts = {p for n in sums if isinstance(n.op, ast.Add) for p in (n.left, n.right)}
    parts.update(value for node in joined for value in node.values)
    for node in index.nodes[ast.Constant]:
        if node not in parts and isinstance(node.value, str):
            yield node, node.value
    yield from ((node, _text(node, program)) for node in (*joined, *sums) if node not in parts)
    yield from ((call, _text(call, program)) for call in calls)


def _programs(text: str) -> Iterator[tuple[str, bool]]:
    """The fenced blocks of a text, or all of it; and whether it was fenced."""
    blocks = text.split("```")
    if len(blocks) > 2:
        for block in blocks[1::2]:
            first, newline, rest = block.partition("\n")
            yield (rest if newline and not first.strip().partition(" ")[2] else block), True
    else:
        yield text, False


def _is_line(text: str) -> bool:
    """An import and more on one line; the import alone may be a word that is looked for."""
    return ";" in text and len(text) < 2000 and _ONE_LINE.search(text) is not None


def _text(node: ast.expr, program: Program) -> str:
    text = program.text(node)
    if text is not None:
        return text
    if isinstance(node, ast.JoinedStr):
        return _joined("", node.values, program)
    if isinstance(node, ast.BinOp):
        return _sum(node, program)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _made(node, node.func, program)
    return ""


def _joined(gap: str, nodes: list[ast.expr], program: Program) -> str:
    """The known parts, "" where there is none."""
    parts = [program.text(node) for node in nodes]
    return gap.join(_UNKNOWN if p is None else p for p in parts) if any(parts) else ""


def _sum(node: ast.BinOp, program: Program) -> str:
    if isinstance(node.op, ast.Mod):
        return _PERCENT.sub(_UNKNOWN, program.text(node.left) or "")
    terms: list[ast.expr] = []
    at: ast.expr = node
    while isinstance(at, ast.BinOp) and isinstance(at.op, ast.Add) and len(terms) < _MAX_TERMS:
        terms.append(at.right)
        at = at.left
    return _joined("", [at, *reversed(terms)], program)


def _made(node: ast.Call, func: ast.Attribute, program: Program) -> str:
    base = program.text(func.value)
    if func.attr == "format" and base:
        return _FIELD.sub(_UNKNOWN, base)
    if func.attr == "join" and base and node.args:
        rows = node.args[0]
        if isinstance(rows, ast.List | ast.Tuple):
            return _joined(base, rows.elts[:_MAX_TERMS], program)
    return ""


def _replaces(call: ast.Call, program: Program) -> bool:
    """`program.replace("utility(p)", "utility(p, use_sandbox=False)")`."""
    if last_name(call.func) not in ("replace", "sub", "subn"):
        return False
    texts = [program.text(a) or "" for a in call.args[:2]]
    return len(texts) == 2 and _FLAG_OFF.search(texts[1][:2000]) is not None
