"""Programs: strings of Python, identified by the SHA-256 of their exact bytes."""

from __future__ import annotations

import ast
import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stop.errors import ProgramError

ProgramKind = Literal["improver", "solution"]

MAX_PROGRAM_BYTES = 256 << 10
"""A program larger than this is refused: as a file with an error, from a guest with a verdict."""


def program_id(source: str) -> str:
    """SHA-256 (64 hex digits) of the UTF-8 bytes of `source`.

    Lone surrogates, which a guest can send, are kept apart rather than refused.
    """
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()


def syntax_problem(source: str, entry_point: str = "") -> str:
    """Why `source` cannot be a program, or "" when it can.

    Checks size, encoding, that it parses, and that `entry_point` (if given) is bound at the top
    level. Nothing is executed.
    """
    try:
        size = len(source.encode("utf-8"))
    except UnicodeEncodeError:
        return "the text holds characters that are not valid Unicode (lone surrogates)"
    if size > MAX_PROGRAM_BYTES:
        return f"the program has {size} bytes; at most {MAX_PROGRAM_BYTES} are accepted"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a candidate's "\d" is its own affair
            tree = ast.parse(source)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:  # NUL bytes, absurd nesting
        return f"cannot be parsed: {error or type(error).__name__}"
    if entry_point and entry_point not in _bound_names(tree):
        return f"defines no {entry_point!r} at its top level"
    return ""


def _bound_names(tree: ast.Module) -> set[str]:
    """Names that the module's own scope may bind, including those under if/try/with/for."""
    names: set[str] = set()
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue  # what is inside is another scope
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
        pending.extend(ast.iter_child_nodes(node))
    return names


@dataclass(frozen=True, slots=True)
class Program:
    """A program as data. Two programs with the same bytes are the same program."""

    source: str

    @property
    def id(self) -> str:
        return program_id(self.source)

    @classmethod
    def from_file(cls, path: str | Path) -> Program:
        """Read a program; `ProgramError` when the file is missing, a folder, or not UTF-8."""
        file = Path(path)
        try:
            return cls(file.read_bytes().decode("utf-8"))
        except FileNotFoundError:
            raise ProgramError(f"no such program file: {file}") from None
        except IsADirectoryError:
            raise ProgramError(f"{file} is a folder; a program is one Python file") from None
        except UnicodeDecodeError as error:
            raise ProgramError(f"{file} is not UTF-8 text (byte {error.start})") from None
        except OSError as error:
            raise ProgramError(f"{file} cannot be read: {error.strerror}") from None
