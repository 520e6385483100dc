"""Options of commands, derived from where they are declared: the configuration and the budgets.

Type, choices, bounds, default and help text stand with the field; see `stop.config`,
`stop.experiments.*.config` and `stop.budget`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import click
from annotated_types import Ge, Le
from click.core import ParameterSource

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]

_METAVARS = {
    "base_url": "URL", "image": "NAME", "lm": "SPEC", "lm_patience": "SECONDS",
    "meta_base_url": "URL", "meta_lm": "SPEC", "tasks": "A,B", "holdout": "A,B",
}  # fmt: skip
_FLAGS = {"execute": ("--run", "execute"), "random_seed": ("--random-seed", "--seed")}
_SCOPES = {
    "max_": "for the whole run.",
    "round_max_": "for each round; past it the round ends without a result.",
    "improver_max_": "for each improver run; past it the model refuses.",
}


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options that the user gave. For the others presets and the configuration have
    values."""
    source = click.get_current_context().get_parameter_source
    return {n: v for n, v in options.items() if source(n) is not ParameterSource.DEFAULT}


def option(declared: Any, field: str, name: str = "", **changes: Any) -> Decorator:
    """Makes a click option of a field.

    Args:
        declared: a pydantic model or a dataclass, or an instance of one with other defaults.
        field: the field's name.
        name: of the option, if it is not the field's.
        changes: what click is called with instead, e.g. `help`.
    """
    name = name or field
    found = _declaration(declared, field)
    settings = {
        "type": _type(found.annotation, found.bounds),
        "default": None if found.default == () else found.default,
        "show_default": not ("Default" in found.help or found.default in (None, False, ())),
        "metavar": _METAVARS.get(name) or {int: "N", float: "X"}.get(found.annotation),
        "is_flag": found.annotation is bool,
        "help": found.help,
    }
    wanted = {key: value for key, value in (settings | changes).items() if value is not None}
    return click.option(*_FLAGS.get(name, (_dashed(name),)), **wanted)


def several(declared: Any, *names: str) -> Decorator:
    """Makes one decorator of the options of several fields, in reading order."""
    return together(*(option(declared, name) for name in names))


def together(*decorators: Decorator) -> Decorator:
    """Makes one decorator of several, in reading order."""

    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def limit_options(limits: Any) -> Decorator:
    """Makes options of the limits in a TypedDict of `stop.budget.limits`."""
    from stop.budget import Budget

    found = []
    for prefix, scope in _SCOPES.items():
        for name in limits.__annotations__:
            if name.startswith(prefix):
                field = name.removeprefix(prefix)
                text = f"{_declaration(Budget, field).help} {scope}"
                found.append(option(Budget, field, name, help=text))
    return together(*found)


def improver_run_options(config: Any) -> Decorator:
    """Makes options of an improver run; `config` is the class of a kind of run."""
    from stop.budget.limits import IMPROVER_RUN

    budget = config.model_fields["task_budget"].default
    return together(*(option(budget, field, name) for name, field in IMPROVER_RUN.items()))


def sandbox_options(command: Command) -> Command:
    """Where programs run: `--sandbox`, `--isolation`, `--image`."""
    from stop.config import RunConfig

    return several(RunConfig, "sandbox", "isolation", "image")(command)


def improver_option(help_text: str, name: str = "improver") -> Decorator:
    """Makes an option that names an improver: a built-in one, a file, or a run."""
    return click.option(
        f"--{name}", metavar="FILE|RUN", default="seed", show_default=True, help=help_text
    )


task_option = click.option("--task", required=True, metavar="T", help="A task's name or folder.")
runs_dir_option = click.option(
    "--runs-dir",
    metavar="DIR",
    envvar="STOP_RUNS_DIR",
    default="runs",
    show_default=True,
    help="Where runs are kept.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document to stdout, nothing else."
)


def limit_option(default: int) -> Decorator:
    """`--limit` of a listing."""
    return click.option(
        "--limit",
        type=click.IntRange(min=1),
        default=default,
        show_default=True,
        help="Rows to show.",
    )


def work_options(config: Any) -> Decorator:
    """Makes options that say how the work of a run is done, and where the run is kept."""
    names = ("policy", "policy_level", "halt_after", "random_seed", "concurrency")
    return together(sandbox_options, several(config, *names), runs_dir_option)


# --- what a field says


@dataclasses.dataclass(frozen=True, slots=True)
class _Declaration:
    annotation: Any
    bounds: tuple[Any, ...]
    default: Any
    help: str


def _declaration(declared: Any, name: str) -> _Declaration:
    fields = getattr(declared, "model_fields", None)
    if fields is not None:
        field = fields[name]
        default = None if field.is_required() else field.default
        annotation, help_text, bounds = field.annotation, field.description or "", field.metadata
    else:
        kind = declared if isinstance(declared, type) else type(declared)
        (found,) = (each for each in dataclasses.fields(kind) if each.name == name)
        default = found.default if declared is kind else getattr(declared, name)
        annotation = get_type_hints(kind, include_extras=True)[name]
        help_text, bounds = found.metadata.get("description", ""), ()
    annotation, more = _bare(annotation)
    return _Declaration(annotation, (*bounds, *more), default, help_text)


def _bare(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """Returns a type without `None` and `Annotated`, and the bounds that it was annotated with."""
    if get_origin(annotation) is Annotated:
        inner, *bounds = get_args(annotation)
        return inner, tuple(bounds)
    arms = [arm for arm in get_args(annotation) if arm is not NoneType]
    if NoneType in get_args(annotation) and len(arms) == 1:
        return _bare(arms[0])
    return annotation, ()


def _type(annotation: Any, bounds: Iterable[Any]) -> Any:
    """Returns the click type of a Python type with bounds; None where click may guess it."""
    if get_origin(annotation) is Literal:
        return click.Choice(get_args(annotation))
    low: Any = next((bound.ge for bound in bounds if isinstance(bound, Ge)), None)
    high: Any = next((bound.le for bound in bounds if isinstance(bound, Le)), None)
    if low is None and high is None:
        return annotation if annotation in (int, float) else None
    return click.IntRange(low, high) if annotation is int else click.FloatRange(low, high)


def _dashed(name: str) -> str:
    return "--" + name.replace("_", "-")
