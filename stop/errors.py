"""Every error that STOP raises on purpose.

A guest that fails (a candidate that crashes, times out, answers rubbish) is a *value*, see
`stop.engine.evaluator.Evaluation`. Exceptions are for the host:

    StopError                      exit 1
    ├── UserError                  exit 2   the request cannot be carried out as it was put
    │   ├── ConfigError                     an option or a configuration value
    │   ├── TaskError                       a task folder that is missing or broken
    │   └── ProgramError                    a program file that is missing or unreadable
    ├── RunError                   exit 1   a run, its store or its log failed
    ├── BudgetExceeded             exit 3   a limit of the run was reached
    ├── SandboxError               exit 4   the sandbox failed
    │   ├── SandboxUnavailable              no backend can run here
    │   │   └── PackageMissing              a package for the sandbox is not installed
    │   └── SandboxBroken                   a running sandbox broke; the work can be tried again
    ├── LMError                    exit 5   the language model could not answer
    │   ├── LMUnavailable                   no server, no key, no weights
    │   └── LMRequestRefused                the server refused this one request (too long, filtered)
    └── PolicyHalt                 exit 6   the security policy stopped the run
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import NamedTuple, Self

INTERRUPTED_EXIT_CODE = 130


class StopError(Exception):
    """Root of all errors.

    Args:
        message: what happened, for people.
        hint: what the user can do next.
        resume: options of `stop resume` with which the run can go on; None where that is no help.

    Attributes:
        run: the folder that `stop resume` takes, set by whoever works on the run.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", resume: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.run: Path | None = None
        self._hint = hint
        self._resume = resume

    def preceded_by(self, words: str) -> Self:
        """Returns the same error with more words before its message."""
        return type(self)(words + self.message, hint=self._hint, resume=self._resume)

    @property
    def hint(self) -> str:
        """What the user can do next, or ""."""
        if self._resume is None or self.run is None:
            return self._hint
        command = f"stop resume {self.run} {self._resume}".rstrip()
        return f"{self._hint}: {command}" if self._hint else command


class UserError(StopError):
    exit_code = 2


class ConfigError(UserError):
    """An option or configuration value makes no sense."""


class TaskError(UserError):
    """A task folder is missing, incomplete or does not do what a task must."""


class ProgramError(UserError):
    """A program file is missing or not UTF-8 text."""


class RunError(StopError):
    """A run cannot go on, or its folder is not usable."""


class BudgetExceeded(StopError):
    """A limit was reached. `resource` names which, `level` whose: "run", "round 3", ..."""

    exit_code = 3

    def __init__(
        self,
        message: str,
        *,
        resource: str,
        level: str = "run",
        hint: str = "",
        resume: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, resume=resume)
        self.resource = resource
        self.level = level


class SandboxError(StopError):
    exit_code = 4


class SandboxUnavailable(SandboxError):
    """No sandbox backend can run on this machine."""


class PackageMissing(SandboxUnavailable):
    """A package that programs are to import is not installed here."""


class SandboxBroken(SandboxError):
    """A sandbox that was running is gone or talks nonsense; not the guest's verdict.

    Args:
        out_of_memory: the kernel ended it for its memory.
    """

    def __init__(self, message: str, *, out_of_memory: bool = False) -> None:
        super().__init__(message)
        self.out_of_memory = out_of_memory


class LMError(StopError):
    """`cost_unknown`: what was sent may have been paid for, although nothing came of it."""

    exit_code = 5
    cost_unknown = False


class LMUnavailable(LMError):
    """There is no way to reach the language model: server, key or weights are missing."""


class LMRequestRefused(LMError):
    """The server refuses this request (context overflow, content filter); others may work."""


class PolicyHalt(StopError):
    exit_code = 6


class MachineTrouble(NamedTuple):
    """What is wrong with this machine, and what its user can do about it."""

    message: str
    remedy: str

    def error(self) -> RunError:
        """The error of a run that cannot go on here for now."""
        return RunError(self.message, hint=f"{self.remedy}; what is recorded stays", resume="")


_TROUBLES = {
    errno.EMFILE: MachineTrouble("this process has no file descriptors left", "raise `ulimit -n`"),
    errno.ENFILE: MachineTrouble("this machine has no file descriptors left", "end other programs"),
    errno.ENOSPC: MachineTrouble("the disk is full", "free some space"),
    errno.EDQUOT: MachineTrouble("the disk quota is used up", "free some space"),
    errno.EROFS: MachineTrouble(
        "the file system is read-only", "make it writable, or choose another place"
    ),
    errno.EIO: MachineTrouble("the disk fails", "check it"),
    errno.ENOMEM: MachineTrouble("this machine has no memory left", "end other programs"),
}


def machine_trouble(error: BaseException | None) -> MachineTrouble | None:
    """Returns what is wrong with the machine if that is the reason for an error, else None.

    Looks into arguments and causes, since libraries wrap errors of the system in their own.
    """
    left, seen = [error], 0
    while left and seen < 50:
        each, seen = left.pop(), seen + 1
        if isinstance(each, OSError) and each.errno in _TROUBLES:
            return _TROUBLES[each.errno]
        if isinstance(each, BaseException):
            inner = [arg for arg in each.args if isinstance(arg, BaseException)]
            left += [*inner, each.__cause__, each.__context__]
    return None
