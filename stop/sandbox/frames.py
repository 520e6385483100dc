"""Frames: how host and guest exchange data. Never pickle, never code.

Used on both sides: the host imports this module, and its text is sent into the sandbox, so it
needs nothing but the standard library (numpy only when an array is met).

    ┌──────────────┬──────────────┬─────────────────────┬───────────────┐
    │ header bytes │ blob bytes   │ header: JSON, UTF-8 │ blobs, as is  │
    │ (4, network) │ (4, network) │                     │ (array data)  │
    └──────────────┴──────────────┴─────────────────────┴───────────────┘

A value is None, bool, int, float, str, list, tuple, dict (str or int keys) or an array of
bool, int, uint or float. In JSON a tuple is {"t": [...]}, a dict {"d": [[key, value], ...]} and
an array {"a": [dtype, shape, offset, length]}: every JSON object is such a node, so no text of a
guest can be taken for one.
"""

from __future__ import annotations

import json
import math
import re
import struct
from typing import Any

PREFIX = struct.Struct("!II")
MAX_DEPTH = 64
MAX_NODES = 2_000_000
"""Values in one header: each may take 64 bytes of memory where it took three on the way."""

MAX_EMPTY = 10_000
"""Largest extent of an array that has no elements."""

_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")


class FrameError(Exception):
    """Bytes that are no frame, or a value that no frame can hold."""


def encode(header: dict[str, Any], blobs: bytes = b"") -> bytes:
    """One frame. `header` must be plain JSON; use `pack` for values."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return PREFIX.pack(len(text), len(blobs)) + text + blobs


def decode_header(text: bytes) -> dict[str, Any]:
    """The header of a frame; `FrameError` for anything that is not a JSON object."""
    if text.count(b",") + text.count(b"[") + text.count(b"{") > MAX_NODES:
        raise FrameError(f"frame header: more than {MAX_NODES} values")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"frame header: {type(error).__name__}") from None
    if type(header) is not dict:
        raise FrameError("frame header is not an object")
    return header


def pack(value: Any) -> tuple[Any, bytes]:
    """`value` as plain JSON plus array bytes; `FrameError` names the type that does not fit.

    Subclasses and numpy scalars are sent as the plain value that they hold.
    """
    blobs = bytearray()
    return _pack(value, blobs, 0), bytes(blobs)


def _pack(value: Any, blobs: bytearray, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise FrameError(f"nested deeper than {MAX_DEPTH} levels")
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, list):
        return [_pack(item, blobs, depth + 1) for item in list.__iter__(value)]
    if isinstance(value, tuple):
        return {"t": [_pack(item, blobs, depth + 1) for item in tuple.__iter__(value)]}
    if isinstance(value, dict):
        return {"d": [_pack_pair(k, v, blobs, depth) for k, v in dict.items(value)]}
    return _pack_numpy(value, blobs)


def _pack_pair(key: Any, value: Any, blobs: bytearray, depth: int) -> list[Any]:
    if not isinstance(key, str | int) and not hasattr(key, "dtype"):
        raise FrameError(f"dict key of type {type(key).__name__}")
    return [_pack(key, blobs, MAX_DEPTH), _pack(value, blobs, depth + 1)]


def _pack_numpy(value: Any, blobs: bytearray) -> Any:
    import numpy as np  # noqa: PLC0415 - only where an array is met

    if isinstance(value, np.bool_ | np.integer | np.floating):
        item = value.item()
        return item if isinstance(item, bool | int | float) else float(item)
    if not isinstance(value, np.ndarray):
        raise FrameError(f"a value of type {type(value).__name__} cannot be exchanged")
    if not _DTYPE.fullmatch(value.dtype.str):
        raise FrameError(f"an array of dtype {value.dtype} cannot be exchanged")
    data = np.ascontiguousarray(value).tobytes()
    node = {"a": [value.dtype.str, list(value.shape), len(blobs), len(data)]}
    blobs += data
    return node


def unpack(node: Any, blobs: bytes = b"") -> Any:
    """The inverse of `pack`, for bytes from an adversary: exact builtin types or `FrameError`."""
    try:
        return _unpack(node, memoryview(blobs), 0)
    except (TypeError, ValueError, OverflowError, MemoryError) as error:
        raise FrameError(f"malformed value: {type(error).__name__}") from None


def _unpack(node: Any, blobs: memoryview, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise FrameError(f"nested deeper than {MAX_DEPTH} levels")
    if type(node) is list:
        return [_unpack(item, blobs, depth + 1) for item in node]
    if type(node) is not dict:
        return node
    if len(node) != 1:
        raise FrameError("malformed value: unknown node")
    ((tag, body),) = node.items()
    if tag == "t":
        return tuple(_unpack(item, blobs, depth + 1) for item in body)
    if tag == "d":
        return {_key(k): _unpack(v, blobs, depth + 1) for k, v in body}
    if tag == "a":
        return _array(body, blobs)
    raise FrameError("malformed value: unknown node")


def _key(key: Any) -> str | int:
    if type(key) is not str and type(key) is not int:
        raise FrameError("malformed value: dict key")
    return key


def _array(body: Any, blobs: memoryview) -> Any:
    import numpy as np  # noqa: PLC0415 - only where an array is met

    dtype, shape, offset, length = body
    if type(dtype) is not str or not _DTYPE.fullmatch(dtype):
        raise FrameError("malformed value: dtype")
    good = type(shape) is list and len(shape) <= 8
    if not good or any(type(n) is not int or n < 0 for n in (*shape, offset, length)):
        raise FrameError("malformed value: array bounds")
    kind = np.dtype(dtype)
    if kind.itemsize * math.prod(shape) != length or offset + length > len(blobs):
        raise FrameError("malformed value: array bounds")
    if 0 in shape and max(shape) > MAX_EMPTY:  # no bytes, and yet endless once it is a list
        raise FrameError("malformed value: a huge array without elements")
    array = np.frombuffer(blobs[offset : offset + length], dtype=kind).reshape(shape)
    if kind.kind == "b":  # a byte that is neither 0 nor 1 is no bool
        array = array.view(np.uint8) != 0
    return array.astype(kind.newbyteorder("="), copy=True)
