"""A table of functions by what they handle: a class of syntax nodes, the name of a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Handler = TypeVar("Handler", bound=Callable[..., Any])
Key = TypeVar("Key")


class Handlers(dict[Key, Callable[..., Any]]):
    """Filled by decorating the functions: `@handlers.of(ast.List, ast.Tuple)`."""

    def of(self, *kinds: Key) -> Callable[[Handler], Handler]:
        """Returns a decorator that enters a function for each of `kinds`."""

        def enter(handler: Handler) -> Handler:
            self.update(dict.fromkeys(kinds, handler))
            return handler

        return enter
