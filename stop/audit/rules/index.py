"""One pass over a syntax tree: who binds what in which scope, and the nodes that rules look at.

No recursion: the tree is an adversary's. Children are visited in the order of the text, so that
bindings are listed in that order too.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from stop.audit.rules.scopes import (
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

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)
_BUILDERS = {"join", "format", "replace", "sub", "subn", "decode", "b64decode", "dedent", "loads"}
_WORTH_A_LOOK = {
    *("exec", "eval", "compile", "__import__", "import_module", "__subclasses__", "tb_frame"),
    *("f_back", "f_globals", "f_locals", "f_builtins", "f_code", "__globals__", "__closure__"),
    *("cell_contents", "gi_frame", "cr_frame", "ag_frame", "gi_code", "cr_code", "__code__"),
    *("__base__", "__bases__", "__mro__", "mro", "PROT_EXEC", "InteractiveInterpreter"),
    *("InteractiveConsole", "runsource", "runcode", "exec_module", "load_module"),
}
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


def build(tree: ast.Module) -> Index:
    """The index of a program."""
    return _Builder().run(tree)


class _Builder:
    def __init__(self) -> None:
        self.index = Index()
        self.stack: list[tuple[ast.AST, Scope]] = []
        self.parts: set[ast.AST] = set()  # of longer expressions that are looked at as a whole

    def run(self, tree: ast.Module) -> Index:
        stack, index = self.stack, self.index
        words = index.words
        node: Any
        stack.append((tree, index.module))
        while stack:
            node, scope = stack.pop()
            cls = node.__class__
            if cls is ast.Name:
                words.add(node.id)
                if node.id in _WORTH_A_LOOK:
                    index.mentions.append((node, scope))
                continue
            if cls is ast.Attribute:
                words.add(node.attr)
                if node.attr in _WORTH_A_LOOK:
                    index.mentions.append((node, scope))
                stack.append((node.value, scope))
                continue
            if cls is ast.Call:
                self._call(node, scope)
                continue
            if cls is ast.Expr:
                if node.value.__class__ is not ast.Constant:  # a docstring
                    stack.append((node.value, scope))
                continue
            handler = _HANDLERS.get(cls)
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
                self._bind(scope, target.id, Binding("value", value, scope, path))
            elif isinstance(target, ast.Tuple | ast.List):
                if len(path) < 4:
                    pending.extend((e, (*path, i)) for i, e in enumerate(target.elts))
            elif isinstance(target, ast.Starred):
                pending.append((target.value, (*path[:-1], ANY)))
            elif isinstance(target, ast.Attribute):
                self.index.stores.append(Store(target, value, scope, path))
                binding = Binding("value", value, scope, path)
                self.index.attributes.setdefault(target.attr, []).append(binding)
            elif isinstance(target, ast.Subscript):
                self.index.stores.append(Store(target, value, scope, path))

    # --- handlers: see _HANDLERS

    def _call(self, node: ast.Call, scope: Scope) -> None:
        self.index.calls.append((node, scope))
        func, stack = node.func, self.stack
        if func.__class__ is ast.Attribute and func.attr in _BUILDERS:
            self.index.strings.append((node, scope))
        for keyword in reversed(node.keywords):
            stack.append((keyword.value, scope))
        for argument in reversed(node.args):
            stack.append((argument, scope))
        stack.append((func, scope))

    def _comprehension(self, node: Any, scope: Scope) -> bool:
        inner = self.index.inner[node] = Scope(scope)
        # The generators bind what the element uses.
        self._push(inner, getattr(node, "elt", None), getattr(node, "key", None))
        self._push(inner, getattr(node, "value", None), *reversed(node.generators))
        return True

    def _subscript(self, node: ast.Subscript, scope: Scope) -> bool:
        if isinstance(node.ctx, ast.Load):
            self.index.mentions.append((node, scope))
        return False

    def _constant(self, node: ast.Constant, scope: Scope) -> bool:
        value = node.value
        if value.__class__ is str:
            if node not in self.parts:
                self.index.strings.append((node, scope))
            if ("/" in value or "%c" in value) and len(value) < MAX_PATH:
                self.index.slashes = True
        elif value.__class__ is bytes:
            self.index.slashes = True
        return True

    def _joined(self, node: ast.JoinedStr, scope: Scope) -> bool:
        if node not in self.parts:
            self.index.strings.append((node, scope))
        self.parts.update(v for v in node.values if isinstance(v, ast.Constant))
        return False

    def _operation(self, node: ast.BinOp, scope: Scope) -> bool:
        if isinstance(node.op, ast.Add | ast.Mod):
            if node not in self.parts:
                self.index.strings.append((node, scope))
            if isinstance(node.op, ast.Add):
                self.parts.update((node.left, node.right))
        return False

    def _assign(self, node: ast.Assign, scope: Scope) -> bool:
        for target in node.targets:
            self._target(target, node.value, scope)
        return False

    def _annotated(self, node: ast.AnnAssign, scope: Scope) -> bool:
        if node.value is not None:
            self._target(node.target, node.value, scope)
        return False

    def _augmented(self, node: ast.AugAssign, scope: Scope) -> bool:
        if isinstance(node.target, ast.Name):
            kind = "added" if isinstance(node.op, ast.Add) else "other"
            self._bind(scope, node.target.id, Binding(kind, node.value, scope))
        else:
            self.index.stores.append(Store(node.target, node.value, scope))
        self.index.merges.append((node, scope))
        return False

    def _walrus(self, node: ast.NamedExpr, scope: Scope) -> bool:
        self._target(node.target, node.value, scope)
        return False

    def _delete(self, node: ast.Delete, scope: Scope) -> bool:
        for target in node.targets:
            if isinstance(target, ast.Attribute | ast.Subscript):
                self.index.stores.append(Store(target, None, scope))
        return False

    def _loop(self, node: ast.For | ast.AsyncFor | ast.comprehension, scope: Scope) -> bool:
        self._target(node.target, node.iter, scope, (EACH,))
        self._whole(node.iter, scope)
        return False

    def _whole(self, node: ast.expr, scope: Scope) -> None:
        if node.__class__ in _WHOLES:
            self.index.wholes.append((node, scope))

    def _formatted(self, node: ast.FormattedValue, scope: Scope) -> bool:
        self._whole(node.value, scope)
        return False

    def _dict(self, node: ast.Dict, scope: Scope) -> bool:
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                self._whole(value, scope)
        return False

    def _compare(self, node: ast.Compare, scope: Scope) -> bool:
        if isinstance(node.ops[-1], ast.In | ast.NotIn):
            self.index.tests.append((node, scope))
        return False

    def _with(self, node: ast.withitem, scope: Scope) -> bool:
        if node.optional_vars is not None:
            self._target(node.optional_vars, node.context_expr, scope)
        return False

    def _except(self, node: ast.ExceptHandler, scope: Scope) -> bool:
        if node.name:
            self._bind(scope, node.name, Binding("other", node, scope))
        return False

    def _import(self, node: ast.Import, scope: Scope) -> bool:
        for alias in node.names:
            self.index.imports.append((node, alias.name))
            self.index.words.update(alias.name.split(".", 5))
            bound = alias.asname or alias.name.split(".")[0]
            full = alias.name if alias.asname else bound
            self._bind(scope, bound, Binding("import", node, scope, text=full))
        return True

    def _import_from(self, node: ast.ImportFrom, scope: Scope) -> bool:
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            full = f"{module}.{alias.name}"
            self.index.imports.append((node, full))
            self.index.words.update(full.split(".", 5))
            binding = Binding("import", node, scope, text=full)
            self._bind(scope, alias.asname or alias.name, binding)
        return True

    def _global(self, node: ast.Global, scope: Scope) -> bool:
        scope.declared.update(dict.fromkeys(node.names, self.index.module))
        return True

    def _nonlocal(self, node: ast.Nonlocal, scope: Scope) -> bool:
        scope.declared.update(dict.fromkeys(node.names, scope.parent or scope))
        return True

    def _return(self, node: ast.Return, scope: Scope) -> bool:
        if node.value is not None:
            scope.returns.append(node.value)
            self._whole(node.value, scope)
        return False

    def _class(self, node: ast.ClassDef, scope: Scope) -> bool:
        self.index.classes[node.name] = node
        self._bind(scope, node.name, Binding("class", node, scope))
        inner = Scope(scope, is_class=True)
        self.index.class_names[inner] = node.name
        self.index.bases.extend((base, scope) for base in node.bases)
        self._push(inner, *reversed(node.body))
        self._push(scope, *node.keywords, *node.bases, *node.decorator_list)
        return True

    def _function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: Scope
    ) -> bool:
        inner = Scope(scope)
        function = Function(node, "", inner, scope)
        self.index.functions[node] = function
        arguments = node.args
        if isinstance(node, ast.Lambda):
            inner.returns.append(node.body)
            self._push(inner, node.body)
        else:
            function.name = node.name
            self._bind(scope, node.name, Binding("function", node, scope))
            self._push(inner, *reversed(node.body))
            self._push(scope, node.returns, *node.decorator_list)
            if scope.is_class:
                self.index.methods.add(node.name)
                names = {d.id for d in node.decorator_list if isinstance(d, ast.Name)}
                function.bound = "staticmethod" not in names
        parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        parameters += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
        for parameter in parameters:
            binding = Binding("parameter", node, scope, text=parameter.arg)
            self._bind(inner, parameter.arg, binding)
            self._push(scope, parameter.annotation)
        self._push(scope, *arguments.defaults, *arguments.kw_defaults)
        return True


_HANDLERS: dict[type, Callable[[_Builder, Any, Scope], bool]] = {
    ast.Subscript: _Builder._subscript,
    ast.Constant: _Builder._constant,
    ast.JoinedStr: _Builder._joined,
    ast.BinOp: _Builder._operation,
    ast.Assign: _Builder._assign,
    ast.AnnAssign: _Builder._annotated,
    ast.AugAssign: _Builder._augmented,
    ast.NamedExpr: _Builder._walrus,
    ast.Delete: _Builder._delete,
    ast.For: _Builder._loop,
    ast.AsyncFor: _Builder._loop,
    ast.comprehension: _Builder._loop,
    ast.withitem: _Builder._with,
    ast.ExceptHandler: _Builder._except,
    ast.Import: _Builder._import,
    ast.ImportFrom: _Builder._import_from,
    ast.Global: _Builder._global,
    ast.Nonlocal: _Builder._nonlocal,
    ast.Return: _Builder._return,
    ast.ClassDef: _Builder._class,
    **dict.fromkeys(_COMPREHENSIONS, _Builder._comprehension),
    ast.FunctionDef: _Builder._function,
    ast.AsyncFunctionDef: _Builder._function,
    ast.Lambda: _Builder._function,
    ast.FormattedValue: _Builder._formatted,
    ast.Dict: _Builder._dict,
    ast.Compare: _Builder._compare,
}
"""True when the children need no visit."""
