"""Answers of programs as they reach a task: plain data, or invalid."""

from __future__ import annotations


class InvalidAnswer(ValueError):
    """The answer of a solution cannot be scored; the text says why and may be shown to it."""


def plain_data_problem(value: object) -> str:
    """Why `value` cannot travel between host and guest, or "". Exact types, no subclasses."""
    if value is None or type(value) in (bool, int, float, str):
        return ""
    if type(value) is list or type(value) is tuple:
        return next(filter(None, map(plain_data_problem, value)), "")
    if type(value) is dict:
        for key, item in value.items():
            if type(key) not in (str, int):
                return f"a dict key of type {type(key).__name__}"
            if problem := plain_data_problem(item):
                return problem
        return ""
    import numpy as np  # noqa: PLC0415 - only where the value is not of a builtin type

    if type(value) is np.ndarray:
        return "" if value.dtype.kind in "biuf" else f"an array of {value.dtype}"
    return f"a value of type {type(value).__name__}"
