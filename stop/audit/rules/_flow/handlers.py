"""A table of functions by the class of the syntax node that they handle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Handler = TypeVar("Handler", bound=Callable[..., Any])


class Handlers(dict[type, Callable[..., Any]]):
    """Filled by decorating the functions: `@handlers.of(ast.List, ast.Tuple)`."""

    def of(self, *kinds: type) -> Callable[[Handler], Handler]:
        """Returns a decorator that enters a function for each of `kinds`."""

        def enter(handler: Handler) -> Handler:
            self.update(dict.fromkeys(kinds, handler))
            return handler

        return enter
