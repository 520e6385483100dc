"""One pass over a syntax tree: who binds what in which scope, and the nodes that rules look at.

No recursion: the tree is an adversary's. Children are visited in the order of the text, so that
bindings are listed in that order too.
"""

from __future__ import annotations

import ast
from typing import Any

from stop.audit.rules._flow.handlers import Handlers
from stop.audit.rules._flow.scopes import (
    ANY,
    EACH,
    MAX_PATH,
    Binding,
    Function,
    Index,
    Path,
    Scope,
    Store,
)
from stop.audit.rules._tables import TABLES

_BUILDERS = {"join", "format", "replace", "sub", "subn", "decode", "b64decode", "dedent", "loads"}
_MENTIONED = {"__code__"}.union(
    *(TABLES.words("attributes", k) for k in ("frames", "innards", "bases", "runners", "named"))
)
_WHOLES = {ast.Name, ast.Attribute}
_NO_NODES = {
    *("ctx", "op", "ops", "id", "attr", "arg", "name", "names", "module", "level", "kind", "rest"),
    *("type_comment", "kwd_attrs", "asname", "is_async", "simple", "conversion", "type_ignores"),
}
_CHILDREN: dict[type, tuple[str, ...]] = {
    cls: tuple(f for f in reversed(cls._fields) if f not in _NO_NODES)
    for cls in vars(ast).values()
    if isinstance(cls, type) and issubclass(cls, ast.AST)
}
_CHILDREN[ast.MatchSingleton] = ()
_handlers = Handlers()
"""What is done at a node; True when its children need no visit."""


class Builder:
    """Makes the index of one program."""

    def __init__(self) -> None:
        self.index = Index()
        self.stack: list[tuple[ast.AST, Scope]] = []
        self.parts: set[ast.AST] = set()  # of longer expressions that are looked at as a whole

    def run(self, tree: ast.Module) -> Index:
        """Returns the index of a tree."""
        stack, index = self.stack, self.index
        words, homes, mentions = index.words, index.homes, index.mentions
        node: Any
        stack.append((tree, index.module))
        while stack:
            node, scope = stack.pop()
            cls = node.__class__
            if cls is ast.Name:
                homes[node] = scope
                words.add(node.id)
                if node.id in _MENTIONED:
                    mentions.append(node)
                continue
            if cls is ast.Attribute:
                words.add(node.attr)
                if node.attr in _MENTIONED:
                    mentions.append(node)
                stack.append((node.value, scope))
                continue
            handler = _handlers.get(cls)
            if handler is not None and handler(self, node, scope):
                continue
            for name in _CHILDREN[cls]:
                child = getattr(node, name)
                if child.__class__ is list:
                    stack.extend([(item, scope) for item in reversed(child) if item is not None])
                elif child is not None:
                    stack.append((child, scope))
        return index

    def _push(self, scope: Scope, *nodes: ast.AST | None) -> None:
        self.stack.extend((node, scope) for node in nodes if node is not None)

    def _bind(self, scope: Scope, name: str, binding: Binding) -> None:
        owner = scope.declared.get(name, scope) if scope.declared else scope
        self.index.bound.add(name)
        owner.bindings.setdefault(name, []).append(binding)
        if owner.is_class:
            self.index.attributes.setdefault(name, []).append(binding)

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
                    binding = Binding("value", value, path)
                    self.index.attributes.setdefault(target.attr, []).append(binding)

    def _whole(self, node: ast.expr) -> None:
        if node.__class__ in _WHOLES:
            self.index.wholes.append(node)

    # --- expressions

    @_handlers.of(ast.Call)
    def _call(self, node: ast.Call, scope: Scope) -> bool:
        self.index.calls.append(node)
        func, stack = node.func, self.stack
        if func.__class__ is ast.Attribute and func.attr in _BUILDERS:  # type: ignore[attr-defined]
            self.index.strings.append(node)
        for keyword in reversed(node.keywords):
            stack.append((keyword.value, scope))
        for argument in reversed(node.args):
            stack.append((argument, scope))
        stack.append((func, scope))
        return True

    @_handlers.of(ast.Expr)
    def _statement(self, node: ast.Expr, _scope: Scope) -> bool:
        return node.value.__class__ is ast.Constant  # a docstring

    @_handlers.of(ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)
    def _comprehension(self, node: Any, scope: Scope) -> bool:
        inner = Scope(scope)
        # The generators bind what the element uses.
        self._push(inner, getattr(node, "elt", None), getattr(node, "key", None))
        self._push(inner, getattr(node, "value", None))
        for generator in reversed(node.generators):
            self._push(inner, *reversed(generator.ifs))
            self._push(scope if generator is node.generators[0] else inner, generator.iter)
            self._push(inner, generator.target)
        for generator in node.generators:
            self._loop(generator, inner)
        return True

    @_handlers.of(ast.Subscript)
    def _subscript(self, node: ast.Subscript, _scope: Scope) -> bool:
        if isinstance(node.ctx, ast.Load):
            self.index.mentions.append(node)
        return False

    @_handlers.of(ast.Constant)
    def _constant(self, node: ast.Constant, _scope: Scope) -> bool:
        value = node.value
        if value.__class__ is str:
            if node not in self.parts:
                self.index.strings.append(node)
            if ("/" in value or "%c" in value) and len(value) < MAX_PATH:
                self.index.slashes = True
        elif value.__class__ is bytes:
            self.index.slashes = True
        return True

    @_handlers.of(ast.JoinedStr)
    def _joined(self, node: ast.JoinedStr, _scope: Scope) -> bool:
        if node not in self.parts:
            self.index.strings.append(node)
        self.parts.update(v for v in node.values if isinstance(v, ast.Constant))
        return False

    @_handlers.of(ast.FormattedValue)
    def _formatted(self, node: ast.FormattedValue, _scope: Scope) -> bool:
        self._whole(node.value)
        return False

    @_handlers.of(ast.BinOp)
    def _operation(self, node: ast.BinOp, _scope: Scope) -> bool:
        if isinstance(node.op, ast.Add | ast.Mod):
            if node not in self.parts:
                self.index.strings.append(node)
            if isinstance(node.op, ast.Add):
                self.parts.update((node.left, node.right))
        return False

    @_handlers.of(ast.Dict)
    def _dict(self, node: ast.Dict, _scope: Scope) -> bool:
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                self._whole(value)
        return False

    @_handlers.of(ast.Compare)
    def _compare(self, node: ast.Compare, _scope: Scope) -> bool:
        if isinstance(node.ops[-1], ast.In | ast.NotIn):
            self.index.tests.append(node)
        return False

    # --- what binds names

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
        self.index.merges.append(node)
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
        self._whole(node.iter)
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
            self._whole(node.value)
        return False

    @_handlers.of(ast.ClassDef)
    def _class(self, node: ast.ClassDef, scope: Scope) -> bool:
        self.index.classes.add(node.name)
        self._bind(scope, node.name, Binding("class", node))
        inner = Scope(scope, is_class=True)
        self.index.class_names[inner] = node.name
        self.index.bases.extend(node.bases)
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
