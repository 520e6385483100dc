"""The index of a program: its scopes and bindings, and its nodes by their class.

One pass over the tree, without recursion: the tree is an adversary's. Children are visited in the
order of the text, so that bindings are listed in that order too.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from stop.audit.rules._flow.handlers import Handlers

EACH = "each element of"
ANY = "any value of"
"""Steps of a path; the others are the keys and positions of subscripts."""

Path = tuple[object, ...]
Step = tuple[ast.AST, Path, bool | None]
"""Where to look next for a value: an expression, a path into it, and the truth it must have."""
MAX_PATH = 300
"""Characters; a longer text is not taken for the path of a file."""
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


def sole_value(bindings: list[Binding] | None) -> ast.AST | None:
    """Returns the expression that is the whole value, if there is one binding and it is that."""
    if not bindings or len(bindings) > 1 or bindings[0].kind != "value" or bindings[0].path:
        return None
    return bindings[0].node


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


class Index:
    """What one pass over a program finds.

    Attributes:
        nodes: those that rules look at, by class; docstrings are left out.
        homes: the scope of each place where a name stands.
        words: every name, attribute and part of an imported name.
        bound: names that are bound anywhere.
        imports: statements, each with the full name of one thing that it imports.
        stores: assignments to attributes and subscripts.
        functions: by their nodes.
        classes: names of classes, by the scopes of their bodies.
        methods: names of functions that are defined in classes.
        attributes: what is assigned to attributes of a name, of whatever object.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.module = Scope()
        self.nodes: defaultdict[type, list[Any]] = defaultdict(list)
        self.homes: dict[ast.AST, Scope] = {}
        self.words: set[str] = set()
        self.bound: set[str] = set()
        self.imports: list[tuple[ast.Import | ast.ImportFrom, str]] = []
        self.stores: list[Store] = []
        self.functions: dict[ast.AST, Function] = {}
        self.classes: dict[Scope, str] = {}
        self.methods: set[str] = set()
        self.attributes: defaultdict[str, list[Binding]] = defaultdict(list)
        _Builder(self).run(tree)
        self.calls: list[ast.Call] = self.nodes[ast.Call]

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

    @cached_property
    def wholes(self) -> list[ast.expr]:
        """Names that are gone through, returned or shown: `for x in y`, `{**y}`, `f"{y}"`."""
        of = self.nodes
        found = [n.iter for kind in (ast.For, ast.AsyncFor, ast.comprehension) for n in of[kind]]
        found += [n.value for kind in (ast.Return, ast.FormattedValue) for n in of[kind]]
        for node in of[ast.Dict]:
            found += [v for k, v in zip(node.keys, node.values, strict=True) if k is None]
        return [node for node in found if isinstance(node, ast.Name | ast.Attribute)]


_NO_NODES = {
    *("ctx", "op", "ops", "id", "attr", "arg", "name", "names", "module", "level", "kind", "rest"),
    *("type_comment", "kwd_attrs", "asname", "is_async", "simple", "conversion", "type_ignores"),
}
_NO_CHILDREN = {ast.MatchSingleton, ast.Constant}
_KEPT = {
    *(ast.AugAssign, ast.BinOp, ast.Call, ast.ClassDef, ast.Compare, ast.Constant),
    *(ast.Dict, ast.For, ast.AsyncFor, ast.FormattedValue, ast.JoinedStr, ast.Return),
    ast.Subscript,
}
_handlers = Handlers[type]()
"""What is done at a node; True when its children need no visit."""


class _Builder:
    """Fills an index."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.stack: list[tuple[ast.AST, Scope]] = []

    def run(self, tree: ast.Module) -> None:
        stack, index = self.stack, self.index
        push, pop = stack.append, stack.pop  # local names: this is where most of the time goes
        homes, words, nodes = index.homes, index.words, index.nodes
        node: Any
        push((tree, index.module))
        while stack:
            node, scope = pop()
            cls = node.__class__
            if cls is ast.Name:
                homes[node] = scope
                words.add(node.id)
                continue
            if cls is ast.Attribute:
                nodes[cls].append(node)
                words.add(node.attr)
                push((node.value, scope))
                continue
            kept, handler, children = _PLAN[cls]
            if kept:
                nodes[cls].append(node)
            if handler is not None and handler(self, node, scope):
                continue
            for name in children:
                child = getattr(node, name)
                if child.__class__ is list:
                    for item in reversed(child):
                        if item is not None:
                            push((item, scope))
                elif child is not None:
                    push((child, scope))

    def _push(self, scope: Scope, *nodes: ast.AST | None) -> None:
        for node in nodes:
            if node is not None:
                self.stack.append((node, scope))

    def _bind(self, scope: Scope, name: str, binding: Binding) -> None:
        owner = scope.declared.get(name, scope) if scope.declared else scope
        self.index.bound.add(name)
        owner.bindings.setdefault(name, []).append(binding)
        if owner.is_class:
            self.index.attributes[name].append(binding)

    def _target(self, target: ast.expr, value: ast.expr, scope: Scope, path: Path = ()) -> None:
        pending = [(target, path)]
        while pending:
            target, path = pending.pop()
            if isinstance(target, ast.Name):
                self._bind(scope, target.id, Binding("value", value, path))
            elif isinstance(target, ast.Tuple | ast.List):
                if len(path) < 4:
                    pending.extend((e, (*path, i)) for i, e in enumerate(target.elts))
            elif isinstance(target, ast.Starred):
                pending.append((target.value, (*path[:-1], ANY)))
            elif isinstance(target, ast.Attribute | ast.Subscript):
                self.index.stores.append(Store(target, value, path))
                if isinstance(target, ast.Attribute):
                    self.index.attributes[target.attr].append(Binding("value", value, path))

    @_handlers.of(ast.Expr)
    def _statement(self, node: ast.Expr, _scope: Scope) -> bool:
        return node.value.__class__ is ast.Constant  # a docstring

    @_handlers.of(ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)
    def _comprehension(self, node: Any, scope: Scope) -> bool:
        inner = Scope(scope)
        # The generators bind what the element uses.
        self._push(inner, getattr(node, "elt", None), getattr(node, "key", None))
        self._push(inner, getattr(node, "value", None))
        self.index.nodes[ast.comprehension] += node.generators
        for generator in reversed(node.generators):
            self._push(inner, *reversed(generator.ifs))
            self._push(scope if generator is node.generators[0] else inner, generator.iter)
            self._push(inner, generator.target)
        for generator in node.generators:
            self._loop(generator, inner)
        return True

    @_handlers.of(ast.Assign)
    def _assign(self, node: ast.Assign, scope: Scope) -> bool:
        for target in node.targets:
            self._target(target, node.value, scope)
        return False

    @_handlers.of(ast.AnnAssign, ast.NamedExpr)
    def _annotated(self, node: ast.AnnAssign | ast.NamedExpr, scope: Scope) -> bool:
        if node.value is not None:
            self._target(node.target, node.value, scope)
        return False

    @_handlers.of(ast.AugAssign)
    def _augmented(self, node: ast.AugAssign, scope: Scope) -> bool:
        if isinstance(node.target, ast.Name):
            kind = "added" if isinstance(node.op, ast.Add) else "other"
            self._bind(scope, node.target.id, Binding(kind, node.value))
        else:
            self.index.stores.append(Store(node.target, node.value))
        return False

    @_handlers.of(ast.Delete)
    def _delete(self, node: ast.Delete, _scope: Scope) -> bool:
        for target in node.targets:
            if isinstance(target, ast.Attribute | ast.Subscript):
                self.index.stores.append(Store(target, None))
        return False

    @_handlers.of(ast.For, ast.AsyncFor)
    def _loop(self, node: ast.For | ast.AsyncFor | ast.comprehension, scope: Scope) -> bool:
        self._target(node.target, node.iter, scope, (EACH,))
        return False

    @_handlers.of(ast.withitem)
    def _with(self, node: ast.withitem, scope: Scope) -> bool:
        if node.optional_vars is not None:
            self._target(node.optional_vars, node.context_expr, scope)
        return False

    @_handlers.of(ast.ExceptHandler)
    def _except(self, node: ast.ExceptHandler, scope: Scope) -> bool:
        if node.name:
            self._bind(scope, node.name, Binding("other", node))
        return False

    @_handlers.of(ast.Import, ast.ImportFrom)
    def _import(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> bool:
        module = ""
        if isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "") + "."
        for alias in node.names:
            name = alias.name
            full, bound = module + name, alias.asname or name
            self.index.imports.append((node, full))
            self.index.words.update(full.split(".", 5))
            if not module and not alias.asname:  # `import os.path` binds os
                full = bound = name.partition(".")[0]
            self._bind(scope, bound, Binding("import", node, text=full))
        return True

    @_handlers.of(ast.Global, ast.Nonlocal)
    def _declared(self, node: ast.Global | ast.Nonlocal, scope: Scope) -> bool:
        outer = self.index.module if isinstance(node, ast.Global) else scope.parent or scope
        scope.declared.update(dict.fromkeys(node.names, outer))
        return True

    @_handlers.of(ast.Return)
    def _return(self, node: ast.Return, scope: Scope) -> bool:
        if node.value is not None:
            scope.returns.append(node.value)
        return False

    @_handlers.of(ast.ClassDef)
    def _class(self, node: ast.ClassDef, scope: Scope) -> bool:
        self._bind(scope, node.name, Binding("class", node))
        inner = Scope(scope, is_class=True)
        self.index.classes[inner] = node.name
        self._push(inner, *reversed(node.body))
        self._push(scope, *node.keywords, *node.bases, *node.decorator_list)
        return True

    @_handlers.of(ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    def _function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: Scope
    ) -> bool:
        inner = Scope(scope)
        function = self.index.functions[node] = Function(node, "", inner, scope)
        arguments = node.args
        if isinstance(node, ast.Lambda):
            inner.returns.append(node.body)
            self._push(inner, node.body)
        else:
            function.name = node.name
            self._bind(scope, node.name, Binding("function", node))
            self._push(inner, *reversed(node.body))
            self._push(scope, node.returns, *node.decorator_list)
            if scope.is_class:
                self.index.methods.add(node.name)
                names = {d.id for d in node.decorator_list if isinstance(d, ast.Name)}
                function.bound = "staticmethod" not in names
        parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        parameters += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
        for parameter in parameters:
            self._bind(inner, parameter.arg, Binding("parameter", node, text=parameter.arg))
            self._push(scope, parameter.annotation)
        self._push(scope, *arguments.defaults, *arguments.kw_defaults)
        return True


_PLAN: dict[type, tuple[bool, Callable[..., bool] | None, tuple[str, ...]]] = {
    cls: (
        cls in _KEPT,
        _handlers.get(cls),
        tuple(f for f in reversed(cls._fields) if f not in _NO_NODES and cls not in _NO_CHILDREN),
    )
    for cls in vars(ast).values()
    if isinstance(cls, type) and issubclass(cls, ast.AST)
}
"""By class: whether it is kept, its handler, and the fields with its children, last first."""
