"""The files of a task folder: task.toml, the digest, the loading of utility.py, the scaffold."""

from __future__ import annotations

import builtins
import hashlib
import importlib.machinery
import importlib.util
import math
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import CodeType, ModuleType
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stop.errors import TaskError

_PositiveSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Limits(_Section):
    """What one instance may cost a solution, in the sandbox."""

    cpu_seconds: _PositiveSeconds
    wall_seconds: _PositiveSeconds = 0.0  # the validator below puts the real default
    memory_mb: int = Field(default=512, ge=16)
    output_kb: int = Field(default=1024, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _default_wall(cls, data: Any) -> Any:
        if isinstance(data, dict) and "wall_seconds" not in data:
            cpu = data.get("cpu_seconds")
            if isinstance(cpu, int | float):
                return {**data, "wall_seconds": max(10.0 * cpu, cpu + 5.0)}
        return data

    @property
    def alone_wall_seconds(self) -> float:
        """The limit by the clock of an instance that is run again because a first one was met."""
        return max(3 * self.wall_seconds, 30 * self.cpu_seconds)

    @model_validator(mode="after")
    def _wall_holds_cpu(self) -> Self:
        if self.wall_seconds < self.cpu_seconds:
            raise ValueError("wall_seconds must not be below cpu_seconds")
        return self


class InstanceCounts(_Section):
    """How many instances a split has when nobody asks for another number."""

    search: int = Field(ge=1)
    meta: int = Field(ge=1)
    test: int = Field(ge=1)


class Source(_Section):
    """Where a task comes from."""

    citation: str


class TaskFile(_Section):
    """task.toml. A key that is not known is an error: it is most often a misspelt one."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    description: str
    entry_point: str = "algorithm"
    score_range: tuple[float, float]
    limits: Limits
    instances: InstanceCounts
    packages: tuple[str, ...] = ()
    source: Source | None = None

    @model_validator(mode="before")
    @classmethod
    def _lists_to_tuples(cls, data: Any) -> Any:  # TOML has lists only; strict wants tuples
        if not isinstance(data, dict):
            return data
        return {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}

    @model_validator(mode="after")
    def _sane(self) -> Self:
        low, high = self.score_range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError("score_range must be [low, high], two finite numbers with low < high")
        if not self.entry_point.isidentifier():
            raise ValueError(f"entry_point {self.entry_point!r} is not a Python name")
        return self


def read_text(file: Path) -> str:
    """The exact text of `file` (line ends untouched); TaskError when there is none."""
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise TaskError(
            f"{file.parent} has no {file.name}",
            hint="a task folder holds task.toml, seed.py and utility.py",
        ) from None
    except UnicodeDecodeError as error:
        raise TaskError(f"{file} is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise TaskError(f"{file} cannot be read: {error.strerror}") from None


def read_task_file(file: Path) -> TaskFile:
    """Parse and check task.toml; the TaskError names the key."""
    try:
        return TaskFile.model_validate(tomllib.loads(read_text(file)))
    except tomllib.TOMLDecodeError as error:
        raise TaskError(f"{file} is not valid TOML: {error}") from None
    except ValidationError as error:
        problems = [
            ": ".join(filter(None, [".".join(map(str, item["loc"])), item["msg"]]))
            for item in error.errors(include_url=False)
        ]
        raise TaskError(f"{file}: " + "; ".join(problems)) from None


def folder_digest(folder: Path) -> str:
    """SHA-256 over names and bytes of the folder's files; notes, caches, hidden files excepted."""
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*"), key=lambda f: f.relative_to(folder).as_posix()):
        inside = file.relative_to(folder)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in inside.parts)
        if hidden or file.suffix in (".md", ".pyc") or not file.is_file():
            continue
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(f"{inside.as_posix()}\0{content}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


class _FreshLoader(importlib.machinery.SourceFileLoader):
    """Compiles every time: a cached .pyc can be older than an edit within the same second."""

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code


def load_utility(folder: Path, key: str) -> ModuleType:
    """Run the folder's utility.py as a module of its own and return it.

    `import reference` in it finds the folder's reference.py, and nobody else's: the modules of
    the folder get an `__import__` of their own and names that hold `key`, so that neither
    `sys.path` nor another task's `reference` is touched, also when an import runs late or two
    tasks are loaded at once.
    """
    siblings: dict[str, ModuleType] = {}

    def load(stem: str) -> ModuleType:
        if stem not in siblings:
            name = f"_stop_task_{key}_{stem}"
            file = folder / f"{stem}.py"
            spec = importlib.util.spec_from_loader(name, _FreshLoader(name, str(file)))
            assert spec is not None and spec.loader is not None  # a file loader always has both
            module = importlib.util.module_from_spec(spec)
            vars(module)["__builtins__"] = {**vars(builtins), "__import__": import_}
            siblings[stem] = sys.modules[name] = module  # dataclasses look themselves up there
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del siblings[stem], sys.modules[name]
                raise
        return siblings[stem]

    def import_(name: str, *args: Any, **kwargs: Any) -> Any:
        level = kwargs.get("level", args[3] if len(args) > 3 else 0)
        if level == 0 and name.isidentifier() and (folder / f"{name}.py").is_file():
            return load(name)
        return original(name, *args, **kwargs)

    original: Callable[..., Any] = builtins.__import__
    return load("utility")


def new_task(folder: str | Path) -> list[Path]:
    """Write a small task that works into `folder`, to be changed into one's own.

    Returns:
        The files written.

    Raises:
        TaskError: the folder is not empty, or cannot be written.
    """
    target = Path(folder).expanduser()
    words = re.sub(r"[^a-z0-9]+", "_", target.resolve().name.lower()).strip("_")[:50]
    name = words if words[:1].isalpha() else f"task_{words}".rstrip("_")
    written = []
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise TaskError(f"{target} exists and is not an empty folder", hint="choose a new name")
        target.mkdir(parents=True, exist_ok=True)
        for template in sorted((Path(__file__).parent / "template").iterdir()):
            if template.suffix in (".toml", ".py"):
                text = template.read_text("utf-8").replace("task_template", name)
                written.append(target / template.name)
                written[-1].write_text(text, "utf-8")
    except OSError as error:
        raise TaskError(f"{target} cannot be written: {error.strerror}") from None
    return written
