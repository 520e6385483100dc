"""The rule `environment`, where it is about reading: telling variables, or all of them at once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from stop.audit.rules.flow import Flow
from stop.audit.rules.names import WAYS
from stop.audit.rules.scopes import Scope
from stop.audit.rules.values import NOTHING
from stop.audit.rules.writes import ENVIRONMENT, telling

_WORDS = {"environ", "environb", "getenv", "getenvb", *WAYS}
_GETTERS = {"os.getenv", "os.getenvb"}
_LOOK_UPS = {"get", "__getitem__", "__contains__"}
_COPIES = {"items", "keys", "values", "copy", "__iter__"}
_SECRET = re.compile(
    r"(^|_)(api_?)?(key|secret|token|passw(or)?d|credential|auth)s?(_|$)"
    r"|openai|anthropic|^(aws|github|azure)_"
)


class Environment:
    """Looks at the places of one program where environment variables are read."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._index = flow.index
        self._names = flow.names

    def places(self) -> Iterator[tuple[str, ast.AST]]:
        """The rule and the nodes that show it."""
        if self._index.words.isdisjoint(_WORDS):
            return
        for node in self._nodes():
            yield "environment", node

    def _nodes(self) -> Iterator[ast.AST]:
        for node, scope in self._index.mentions:
            if not isinstance(node, ast.Subscript) or not self._is(node.value, scope):
                continue
            if self._tells(node.slice, scope):
                yield node
        for call, scope in self._index.calls:
            if self._call(call, scope):
                yield call
        for node, scope in self._index.wholes:
            if self._is(node, scope):
                yield node
        for test, scope in self._index.tests:
            if self._is(test.comparators[-1], scope) and self._tells(test.left, scope):
                yield test

    def _call(self, call: ast.Call, scope: Scope) -> bool:
        func, args = call.func, call.args
        if isinstance(func, ast.Attribute) and self._is(func.value, scope):
            if func.attr in _LOOK_UPS:
                return any(self._tells(a, scope) for a in args[:1])
            return func.attr in _COPIES
        if self._names.full(func, scope) in _GETTERS:
            return any(self._tells(a, scope) for a in args[:1])
        given = [*args[:20], *(k.value for k in call.keywords[:20])]
        return any(self._is(a.value if isinstance(a, ast.Starred) else a, scope) for a in given)

    def _is(self, node: ast.expr, scope: Scope) -> bool:
        return self._names.full(node, scope) in ENVIRONMENT

    def _tells(self, key: ast.expr, scope: Scope) -> bool:
        value = self._flow.folder.fold(key, scope)
        if value is not NOTHING:
            return _reveals(value)
        leaves = self._flow.trace(key, scope)[:20] if isinstance(key, ast.Name) else []
        return any(_reveals(self._flow.folder.fold(leaf.node, leaf.scope)) for leaf in leaves)


def _reveals(key: object) -> bool:
    if isinstance(key, bytes):
        key = key.decode("latin-1")
    return telling(key) or (isinstance(key, str) and _SECRET.search(key.lower()) is not None)
