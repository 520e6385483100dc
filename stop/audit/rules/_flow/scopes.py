"""Scopes, bindings and the index of a program that the rules work on."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

EACH = "each element of"
ANY = "any value of"
"""Steps of a path; the others are the keys and positions of subscripts."""

Path = tuple[object, ...]
Step = tuple[ast.AST, Path, bool | None]
"""Where to look next for a value: an expression, a path into it, and the truth it must have."""
MAX_PATH = 300
"""A text of so many characters or more is not taken for a path of a file."""
_HOPS = 30
"""Scopes upwards that are looked through; the module's own comes after them."""


@dataclass(slots=True)
class Binding:
    """What a name stands for at one place: `path` into the value of `node`.

    `kind` is value, import (`text` is the full name), function, class, parameter, added (`+=`) or
    other.
    """

    kind: str
    node: ast.AST
    path: Path = ()
    text: str = ""


class Scope:
    """The names of a module, class, function or comprehension."""

    __slots__ = ("bindings", "declared", "is_class", "parent", "returns")

    def __init__(self, parent: Scope | None = None, is_class: bool = False) -> None:
        self.parent = parent
        self.is_class = is_class
        self.bindings: dict[str, list[Binding]] = {}
        self.declared: dict[str, Scope] = {}
        self.returns: list[ast.expr] = []


@dataclass(slots=True)
class Function:
    """A function or lambda with what is needed to follow arguments into it."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    name: str
    scope: Scope
    outer: Scope
    bound: bool = False  # its first parameter is given by the object
    positions: dict[str, int] = field(default_factory=dict)
    defaults: dict[str, ast.expr] = field(default_factory=dict)
    overwritten: set[str] = field(default_factory=set)
    """Parameters that get a constant before anything else happens: what callers give is lost."""

    def __post_init__(self) -> None:
        arguments = self.node.args
        names = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
        self.positions = {name: i for i, name in enumerate(names)}
        late = names[len(names) - len(arguments.defaults) :]
        self.defaults = dict(zip(late, arguments.defaults, strict=True))
        for parameter, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            if value is not None:
                self.defaults[parameter.arg] = value
        for statement in () if isinstance(self.node, ast.Lambda) else self.node.body:
            if not isinstance(statement, ast.Assign | ast.Expr):
                break
            if not isinstance(statement.value, ast.Constant):
                break
            if isinstance(statement, ast.Assign):
                self.overwritten |= {t.id for t in statement.targets if isinstance(t, ast.Name)}


@dataclass(slots=True)
class Store:
    """An assignment to (or deletion of) an attribute or a subscript."""

    target: ast.Attribute | ast.Subscript
    value: ast.expr | None
    path: Path = ()


@dataclass(slots=True)
class Index:
    """What one pass over a program finds."""

    module: Scope = field(default_factory=Scope)
    homes: dict[ast.AST, Scope] = field(default_factory=dict)
    """The scope of each place where a name stands."""
    bound: set[str] = field(default_factory=set)
    calls: list[ast.Call] = field(default_factory=list)
    imports: list[tuple[ast.Import | ast.ImportFrom, str]] = field(default_factory=list)
    mentions: list[ast.expr] = field(default_factory=list)
    """Subscripts that are read, and names and attributes that rules look for."""
    stores: list[Store] = field(default_factory=list)
    merges: list[ast.AugAssign] = field(default_factory=list)
    strings: list[ast.expr] = field(default_factory=list)
    wholes: list[ast.expr] = field(default_factory=list)
    """Names that are gone through, copied or shown as a whole: `for x in y`, `{**y}`, `f"{y}"`."""
    tests: list[ast.Compare] = field(default_factory=list)
    """`x in y`."""
    slashes: bool = False
    """Whether a text is short enough for a path and could be one, or part of one."""
    bases: list[ast.expr] = field(default_factory=list)
    words: set[str] = field(default_factory=set)
    """Every name, attribute and part of an imported name."""
    functions: dict[ast.AST, Function] = field(default_factory=dict)
    classes: set[str] = field(default_factory=set)
    class_names: dict[Scope, str] = field(default_factory=dict)
    methods: set[str] = field(default_factory=set)
    attributes: dict[str, list[Binding]] = field(default_factory=dict)

    def lookup(self, node: ast.Name) -> list[Binding] | None:
        """Returns what a name may stand for; None when the program does not bind it."""
        name = node.id
        if name not in self.bound:
            return None
        scope = self.homes.get(node, self.module)
        at: Scope | None = scope
        for _ in range(_HOPS):
            if at is None:
                return None
            found = at.bindings.get(name)
            if found is not None and (at is scope or not at.is_class):
                return found
            at = at.parent
        return self.module.bindings.get(name)
