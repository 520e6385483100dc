"""Which arguments a function takes by name, also where they are `**options: Unpack[...]`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from inspect import Parameter
from typing import Any, Unpack, get_args, get_origin


def signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature with each key of an unpacked TypedDict as a parameter of its own.

    Raises:
        AssertionError: the function takes keyword arguments that nothing names.
    """
    plain = inspect.signature(function)
    parameters = [p for p in plain.parameters.values() if p.kind is not Parameter.VAR_KEYWORD]
    for rest in set(plain.parameters.values()) - set(parameters):
        home = inspect.unwrap(function).__globals__
        hint = eval(rest.annotation, home) if isinstance(rest.annotation, str) else rest.annotation  # noqa: S307
        assert get_origin(hint) is Unpack, f"{function.__name__} does not name its **{rest.name}"
        (options,) = get_args(hint)
        parameters += [
            Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for name, kind in options.__annotations__.items()
        ]
    return plain.replace(parameters=parameters)
