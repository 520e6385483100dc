"""The rule `environment`: variables that tell of the sandbox or of keys, or all of them at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from stop.audit.rules._flow import NOTHING, WAYS, Store, last_name
from stop.audit.rules._rule import Place, Rule
from stop.audit.rules._tables import TABLES, Patterns, Words

_SETS: Words = TABLES.environment
_PATTERNS: Patterns = TABLES.environment.patterns
ENVIRONMENT: frozenset[str] = TABLES.environment.mappings
"""Full names of the mapping of the environment variables."""
_WORDS = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv", *WAYS}
_PUTTERS = {"os.putenv", "os.unsetenv"}
_DELETES = {"pop", "__delitem__", "unsetenv"}
_CHANGES = {"setdefault", "__setitem__", *_DELETES}


class Environment(Rule):
    """Looks at the places where environment variables are read or changed."""

    def places(self) -> Iterator[Place]:
        if not self._index.words.isdisjoint(_WORDS):
            yield from (("environment", node) for node in self._nodes())

    def _nodes(self) -> Iterator[ast.AST]:
        for node in self._index.nodes[ast.Subscript]:
            read = isinstance(node.ctx, ast.Load) and self._is(node.value)
            if read and self._can_be(node.slice, _reveals):
                yield node
        for store in self._index.stores:
            if self._changed(store):
                yield store.target
        for merge in self._index.nodes[ast.AugAssign]:
            if self._is(merge.target) and any(map(telling, self._keys(merge.value))):
                yield merge
        for call in self._index.calls:
            if self._called(call):
                yield call
        yield from (node for node in self._index.wholes if self._is(node))
        for test in self._index.nodes[ast.Compare]:
            contains = isinstance(test.ops[-1], ast.In | ast.NotIn)
            if contains and self._is(test.comparators[-1]) and self._can_be(test.left, _reveals):
                yield test

    def _is(self, node: ast.expr) -> bool:
        return self._full(node) in ENVIRONMENT

    def _changed(self, store: Store) -> bool:
        target = store.target
        if not isinstance(target, ast.Subscript) or not self._is(target.value):
            return False
        unknown = store.value is None and self._fold(target.slice) is NOTHING
        return unknown or self._can_be(target.slice, telling)

    def _called(self, call: ast.Call) -> bool:
        func, args, name = call.func, call.args, last_name(call.func)
        if isinstance(func, ast.Attribute) and self._is(func.value):
            if name in _SETS.look_ups:
                return any(self._can_be(a, _reveals) for a in args[:1])
            if name == "update":
                given = [*args, *(k.value for k in call.keywords if k.arg is None)]
                names = {k.arg for k in call.keywords if k.arg} | self._keys(*given)
                return any(map(telling, names))
            changed = name in _CHANGES and self._names_one(call)
            return name in _SETS.copies or name == "clear" or changed
        full = self._full(func)
        if full in _PUTTERS:
            return self._names_one(call)
        if full in _SETS.getters:
            return any(self._can_be(a, _reveals) for a in args[:1])
        given = [*args[:20], *(k.value for k in call.keywords[:20])]
        return any(self._is(a.value if isinstance(a, ast.Starred) else a) for a in given)

    def _names_one(self, call: ast.Call) -> bool:
        """A telling variable; where it is to be deleted, also one that the program works out."""
        deletes = last_name(call.func) in _DELETES
        return any(
            (deletes and self._fold(a) is NOTHING) or self._can_be(a, telling)
            for a in call.args[:1]
        )


def _small(key: object) -> str:
    text = key.decode("latin-1") if isinstance(key, bytes) else key
    return text.lower() if isinstance(text, str) else ""


def telling(key: object) -> bool:
    """Returns whether the name of an environment variable tells of the sandbox."""
    plain = _small(key)
    return _PATTERNS.telling.search(plain) is not None and _PATTERNS.tuning.search(plain) is None


def _reveals(key: object) -> bool:
    return telling(key) or _PATTERNS.secret.search(_small(key)) is not None
