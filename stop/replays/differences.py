"""What a replay came to, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

DifferenceKind = Literal[
    "request",  # an improver asked for what is not on the tape
    "unused",  # recorded responses that nobody asked for
    "calls",  # an improver had other programs scored
    "result",  # an improver run came to another status or program
    "utility",  # an improver met other scores
    "score",  # a program has another score
    "events",  # other security events
    "missing",  # an improver run or an evaluation did not come about
    "round",  # a round came to something else
    "sample",  # a sample of a bypass measurement came to something else
]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was.

    Attributes:
        kind: what.
        detail: then and now, in words.
        improver_id: the improver whose run it is about, or "".
        improver_run: that run's key, or "".
        program_id: the program that it is about, where it is not the improver, or "".
        follows: it can be no more than a consequence of others.
    """

    kind: DifferenceKind
    detail: str
    improver_id: str = ""
    improver_run: str = ""
    program_id: str = ""
    follows: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "detail": self.detail,
            "improver_id": self.improver_id,
            "improver_run": self.improver_run,
            "program_id": self.program_id,
            "follows": self.follows,
        }


@dataclass(frozen=True, slots=True)
class Replay:
    """The outcome of a replay.

    Attributes:
        run: the folder of the run that was done again.
        differences: causes before consequences.
        causes: what else is not as it was (Python, numpy, image, task files): the likely reason of
            differences, where there are any.
        compared: how many of each thing were there then and now.
        ended: where it ended early, with the reason; "" when it came to the end.
        kept: the folder of the repetition, where it was kept.
    """

    run: Path
    differences: tuple[Difference, ...]
    causes: tuple[str, ...]
    compared: dict[str, int]
    ended: str = ""
    kept: Path | None = None

    @property
    def same(self) -> bool:
        """Whether everything that was compared came out as it was."""
        return not self.differences

    @property
    def improvers(self) -> dict[str, list[Difference]]:
        """The improvers that are not deterministic, by id, with what shows it."""
        found: dict[str, list[Difference]] = {}
        for each in self.differences:
            if each.improver_id and not each.follows:
                found.setdefault(each.improver_id, []).append(each)
        return found

    def to_dict(self) -> dict[str, Any]:
        """As `stop replay --json` prints it."""
        return {
            "run": str(self.run),
            "same": self.same,
            "ended": self.ended,
            "causes": list(self.causes),
            "compared": self.compared,
            "improvers": list(self.improvers),
            "differences": [each.to_dict() for each in self.differences],
            "kept": None if self.kept is None else str(self.kept),
        }
