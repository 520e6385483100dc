"""Programs in strings: whole ones, fenced ones, and pieces that are put before or into others."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from stop.audit.rules.folding import Folder, Fuel
from stop.audit.rules.scopes import Index, Scope
from stop.audit.rules.sites import last_name

_SHORTEST = 7  # exec(x)
_MAX_PAYLOADS = 400
_MAX_TERMS = 200
_PERCENT = re.compile(r"%[sdrf]")
_FIELD = re.compile(r"\{\w{0,40}\}")
_ONE_LINE = re.compile(r"^\s*(import|from)\s[^;]+;\s*\S")
_FLAG_OFF = re.compile(r"use_sandbox\s*[=:]\s*(False|0|None|not\b)")
_UNKNOWN = "_"


def payloads(
    index: Index, folder: Folder, fuel: Fuel, shows: Callable[[str, bool], bool]
) -> Iterator[ast.expr]:
    """The expressions that are, make or change programs of which `shows(text, fenced)` is true."""
    left = _MAX_PAYLOADS
    seen: set[str] = set()
    for node, scope in index.strings:
        if _replaces(node, scope, folder):
            yield node
            continue
        text = _text(node, scope, folder)
        if text in seen or not ("\n" in text or "def " in text or _is_line(text)):
            continue
        seen.add(text)
        for program, fenced in _programs(text):
            if len(program) < _SHORTEST:
                continue
            left -= 1
            fuel.burn(len(program) >> 4)
            if left < 0:
                return
            if shows(program, fenced):
                yield node
                break


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


def _text(node: ast.expr, scope: Scope, folder: Folder) -> str:
    """The text, with a name in the place of whatever nobody can tell."""
    text = folder.text(node, scope)
    if text is not None:
        return text
    if isinstance(node, ast.JoinedStr):
        parts = [folder.text(v, scope) for v in node.values]
        return "".join(_UNKNOWN if part is None else part for part in parts)
    if isinstance(node, ast.BinOp):
        return _sum(node, scope, folder)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _made(node, node.func, scope, folder)
    return ""


def _sum(node: ast.BinOp, scope: Scope, folder: Folder) -> str:
    if isinstance(node.op, ast.Mod):
        return _PERCENT.sub(_UNKNOWN, folder.text(node.left, scope) or "")
    parts: list[str | None] = []
    at: ast.expr = node
    while isinstance(at, ast.BinOp) and isinstance(at.op, ast.Add) and len(parts) < _MAX_TERMS:
        parts.append(folder.text(at.right, scope))
        at = at.left
    parts.append(folder.text(at, scope))
    known = any(part for part in parts)
    return "".join(_UNKNOWN if p is None else p for p in reversed(parts)) if known else ""


def _made(node: ast.Call, func: ast.Attribute, scope: Scope, folder: Folder) -> str:
    base = folder.text(func.value, scope)
    if func.attr == "format" and base:
        return _FIELD.sub(_UNKNOWN, base)
    if func.attr == "join" and base and node.args:
        rows = node.args[0]
        if isinstance(rows, ast.List | ast.Tuple):
            parts = [folder.text(e, scope) for e in rows.elts[:_MAX_TERMS]]
            if any(parts):
                return base.join(_UNKNOWN if p is None else p for p in parts)
    return ""


def _replaces(node: ast.expr, scope: Scope, folder: Folder) -> bool:
    """`program.replace("utility(p)", "utility(p, use_sandbox=False)")`."""
    if not isinstance(node, ast.Call) or last_name(node.func) not in ("replace", "sub", "subn"):
        return False
    texts = [folder.text(a, scope) or "" for a in node.args[:2]]
    return len(texts) == 2 and _FLAG_OFF.search(texts[1][:2000]) is not None
