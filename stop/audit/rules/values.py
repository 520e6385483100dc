"""Operations on plain values for constant folding, each with a limit on size."""

from __future__ import annotations

import ast
import base64
import binascii
import codecs
import operator
import re
import textwrap
from collections.abc import Callable
from typing import Any

MAX_SIZE = 1 << 17
"""Of a folded string or list."""


class _Nothing:
    """The value of what is no constant."""

    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Any = _Nothing()


ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Sub: operator.sub,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv,
    ast.BitXor: operator.xor,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.RShift: operator.rshift,
}
COMPARE: dict[type, Callable[[Any, Any], Any]] = {
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
_METHODS = {"lower", "upper", "strip", "lstrip", "rstrip", "split", "swapcase", "title"}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "chr": chr,
    "ord": ord,
    "bool": bool,
    "int": int,
    "float": float,
    "str": lambda x="", *e: _coded(x, *e) if isinstance(x, bytes) else str(x),
    "bytes": lambda x=b"", *e: _coded(x, *e) if isinstance(x, str) else _as_bytes(x),
    "bytearray": lambda x=b"", *e: _coded(x, *e) if isinstance(x, str) else _as_bytes(x),
    "len": len,
    "list": list,
    "tuple": list,
    "iter": list,
    "reversed": lambda x: list(reversed(x)),
    "b64decode": base64.b64decode,
    "unhexlify": binascii.unhexlify,
    "fromhex": bytes.fromhex,
    "dedent": textwrap.dedent,
}
BUILTIN = {"chr", "ord", "bool", "int", "float", "str", "bytes", "bytearray", "len"}
BUILTIN |= {"list", "tuple", "iter", "reversed"}


def _as_bytes(value: Any) -> bytes:
    if not isinstance(value, list | bytes):
        raise TypeError("bytes of a number are zeros, perhaps very many")
    return bytes(value)


def _coded(value: Any, codec: str = "utf-8", *_: Any) -> Any:
    """Only codecs that are quick: others take quadratic time."""
    if codec not in CODECS:
        raise ValueError(codec)
    return codecs.decode(value, codec) if isinstance(value, bytes) else value.encode(codec)


ODD = (
    *(TypeError, ValueError, LookupError, ArithmeticError, AttributeError),
    *(SyntaxError, RecursionError, MemoryError),
)
"""What a value cannot do, it raises: an odd argument, an overflow, a missing key."""
CODECS = ("rot13", "rot_13", "hex", "base64", "utf-8", "utf8", "ascii")


def listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def plus(left: Any, right: Any) -> Any:
    if isinstance(left, str | bytes | list) and len(left) + len(right) > MAX_SIZE:
        return NOTHING
    return NOTHING if NOTHING in (left, right) else left + right


def percent(left: Any, right: Any) -> Any:
    """Widths are refused: they make strings of any length."""
    if not isinstance(left, str):
        return NOTHING if isinstance(left, bytes) else left % right
    if re.search(r"%(?![sdc%])", left):
        return NOTHING
    return left % (tuple(right) if isinstance(right, list) else right)


def method(on: Any, name: str, args: list[Any], keys: dict[Any, Any]) -> Any:
    if not isinstance(on, str | bytes):
        return NOTHING
    if name == "join":
        return on.join(args[0]) if _total(args[0], len(on)) <= MAX_SIZE else NOTHING
    if name == "replace":
        size = (len(on) + 1) * (len(args[1]) + 1)
        return on.replace(*args) if size <= MAX_SIZE * 16 else NOTHING
    if name == "format" and isinstance(on, str):
        fields = on.replace("{{", "").replace("}}", "")
        if re.search(r"\{[^{}]*[:.!\[]", fields):
            return NOTHING
        size = on.count("{") * max([len(str(v)) for v in (*args, *keys.values())], default=0)
        return on.format(*args, **keys) if size <= MAX_SIZE else NOTHING
    if name in ("encode", "decode"):
        return _coded(on, *args)
    return getattr(on, name)(*args) if name in _METHODS else NOTHING


def _total(items: Any, gap: int) -> int:
    return sum(len(item) + gap for item in items)
