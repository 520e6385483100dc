"""Improver programs as files. They run in the sandbox only; the host reads them as text."""

from __future__ import annotations

from pathlib import Path

from stop.errors import ProgramError
from stop.programs import Program


def builtin_improvers() -> list[str]:
    """Names of the improvers that travel with the package."""
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem != "__init__")


def load_improver(name_or_path: str | Path) -> Program:
    """Load a built-in improver by name, or any program file.

    Raises:
        ProgramError: there is neither.
    """
    if name_or_path in builtin_improvers():
        return Program.from_file(Path(__file__).parent / f"{name_or_path}.py")
    path = Path(name_or_path)
    if not path.exists() and path.suffix != ".py":
        raise ProgramError(
            f"there is no improver {str(name_or_path)!r}",
            hint=f"a file, a run, or one of: {', '.join(builtin_improvers())}",
        )
    return Program.from_file(path)
