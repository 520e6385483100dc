"""Operations on plain values for constant folding, each with a limit on size."""

from __future__ import annotations

import ast
import base64
import binascii
import codecs
import json
import operator
import re
import textwrap
from collections.abc import Callable
from typing import Any

MAX_SIZE = 1 << 17
"""Characters, bytes or items of a folded value."""
_MAX_DATA = 1999
"""Characters of JSON or of a literal that are parsed."""
ODD = (
    *(TypeError, ValueError, LookupError, ArithmeticError, AttributeError),
    *(SyntaxError, RecursionError, MemoryError),
)
"""What operations raise where a value is not made for them, or its result would be too large."""
CODECS = ("rot13", "rot_13", "hex", "base64", "utf-8", "utf8", "ascii")
"""Quick ones: others take quadratic time."""
_METHODS = {"lower", "upper", "strip", "lstrip", "rstrip", "split", "swapcase", "title"}


class _Nothing:
    """The value of an expression that is not a constant."""

    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Any = _Nothing()


def _check_size(size: int, limit: int = MAX_SIZE) -> None:
    if size > limit:
        raise ValueError("too large")


def plus(left: Any, right: Any) -> Any:
    if isinstance(left, str | bytes | list):
        _check_size(len(left) + len(right))
    return left + right


def _times(left: Any, right: Any) -> Any:
    for one, other in ((left, right), (right, left)):
        if isinstance(one, str | bytes | list) and isinstance(other, int):
            _check_size(len(one) * other)
    return left * right


def _percent(left: Any, right: Any) -> Any:
    """Widths are refused: they make strings of any length."""
    if not isinstance(left, str | bytes):
        return left % right
    if isinstance(left, bytes) or re.search(r"%(?![sdc%])", left):
        return NOTHING
    return left % (tuple(right) if isinstance(right, list) else right)


OPERATIONS: dict[type, Callable[..., Any]] = {
    ast.Add: plus,
    ast.Mult: _times,
    ast.Mod: _percent,
    ast.Sub: operator.sub,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv,
    ast.BitXor: operator.xor,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.RShift: operator.rshift,
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
"""By the class of the operator; powers and left shifts are not among them."""


def _text(value: Any = "", *codec: Any) -> Any:
    return _coded(value, *codec) if isinstance(value, bytes) else str(value)


def _bytes(value: Any = b"", *codec: Any) -> Any:
    if isinstance(value, str):
        return _coded(value, *codec)
    if not isinstance(value, list | bytes):
        raise TypeError("bytes of a number are zeros, perhaps very many")
    return bytes(value)


def _coded(value: Any, codec: str = "utf-8", *_: Any) -> Any:
    if codec not in CODECS:
        raise ValueError(codec)
    return codecs.decode(value, codec) if isinstance(value, bytes) else value.encode(codec)


def _json(text: str) -> Any:
    _check_size(len(text), _MAX_DATA)
    return json.loads(text)


def _literal(text: str) -> Any:
    _check_size(len(text), _MAX_DATA)
    value = ast.literal_eval(text)
    return list(value) if isinstance(value, tuple) else value


BUILTINS: dict[str, Callable[..., Any]] = {
    "chr": chr,
    "ord": ord,
    "bool": bool,
    "int": int,
    "float": float,
    "str": _text,
    "bytes": _bytes,
    "bytearray": _bytes,
    "len": len,
    "list": list,
    "tuple": list,
    "iter": list,
    "reversed": lambda x: list(reversed(x)),
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "b64decode": base64.b64decode,
    "unhexlify": binascii.unhexlify,
    "fromhex": bytes.fromhex,
    "dedent": textwrap.dedent,
    "loads": _json,
    "literal_eval": _literal,
}
"""By their last names, of whatever module or class."""


def recoded(value: Any, codec: str) -> Any:
    """`codecs.decode(value, codec)`."""
    return codecs.decode(value, codec) if codec in CODECS else NOTHING


def method(on: Any, name: str, args: list[Any], keys: dict[Any, Any]) -> Any:
    """`on.name(*args, **keys)` of a text."""
    if not isinstance(on, str | bytes):
        return NOTHING
    if name == "join":
        _check_size(sum(len(item) + len(on) for item in args[0]))
        return on.join(args[0])
    if name == "replace":
        _check_size((len(on) + 1) * (len(args[1]) + 1), MAX_SIZE * 16)
        return on.replace(*args)
    if name == "format" and isinstance(on, str):
        if re.search(r"\{[^{}]*[:.!\[]", on.replace("{{", "").replace("}}", "")):
            return NOTHING
        longest = max([len(str(v)) for v in (*args, *keys.values())], default=0)
        _check_size(on.count("{") * longest)
        return on.format(*args, **keys)
    if name in ("encode", "decode"):
        return _coded(on, *args)
    return getattr(on, name)(*args) if name in _METHODS else NOTHING
