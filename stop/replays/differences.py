"""The outcome of a replay, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stop._util.documents import extended, to_document
from stop._util.sheet import Sheet, Table, short, to_html

DifferenceKind = Literal[
    "request",  # an improver asked for what is not on the tape
    "unused",  # recorded responses that were not asked for again
    "calls",  # an improver had other programs scored
    "result",  # an improver run ended with another status or program
    "utility",  # an improver met other scores
    "score",  # a program has another score
    "events",  # other security events
    "missing",  # an improver run or an evaluation was not repeated
    "round",  # a round had another result
    "comparison",  # a comparison on fresh cells is another
    "sample",  # a sample of a bypass measurement is another
]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was.

    Attributes:
        kind: what differs.
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

    @property
    def place(self) -> str:
        """Where it is, for people: an improver run, a program, or ""."""
        return self.improver_run or (f"program {short(self.program_id)}" if self.program_id else "")


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """The outcome of a replay. Unless `same`, the exit code is 1.

    Attributes:
        run: the folder of the run that was repeated.
        same: whether everything that was compared is as it was.
        ended: where the repetition ended early, with the reason; "" when it reached the end.
        causes: what else is not as it was (Python, numpy, image, task files).
        compared: number of things that were there then and now, by what they are.
        improvers: ids of the improvers that are not deterministic.
        differences: causes before consequences.
        kept: the folder of the repetition; null where it was not kept.
    """

    run: Path
    same: bool
    ended: str
    causes: tuple[str, ...]
    compared: dict[str, int]
    improvers: tuple[str, ...]
    differences: tuple[Difference, ...]
    kept: Path | None


@dataclass(frozen=True, slots=True)
class Replay:
    """The outcome of a replay.

    Attributes:
        run: the folder of the run that was done again.
        differences: causes before consequences.
        causes: what else is not as it was (Python, numpy, image, task files): the likely reason of
            differences, where there are any.
        compared: number of each thing that was there then and now.
        ended: where it ended early, with the reason; "" when it reached the end.
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
        """Whether everything that was compared is as it was."""
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
        improvers = tuple(self.improvers)
        return to_document(extended(ReplayResult, self, same=self.same, improvers=improvers))

    def sheet(self) -> Sheet:
        """Returns the result as people read it."""
        sheet: Sheet = [f"{'not as then' if self.same else 'likely cause'}: {cause}"
                        for cause in self.causes]  # fmt: skip
        rows = [(f"{short(improver)} is not deterministic", each.improver_run, each.detail)
                for improver, found in self.improvers.items() for each in found]  # fmt: skip
        sheet += [Table(("improver", "run", "what differs"), rows)] if rows else []
        others = [d for d in self.differences if not d.follows and not d.improver_id]
        follows = [d for d in self.differences if d.follows]
        for title, differences in (("apart from improvers", others), ("may follow", follows)):
            found = [(each.place, each.detail) for each in differences]
            sheet += [Table((title, "what differs"), found)] if found else []
        counts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in self.compared.items())
        facts = {"compared": counts} | ({"ended early": self.ended} if self.ended else {})
        if not self.same:
            facts["result"] = f"{len(self.differences)} differences"
        else:
            facts["result"] = "the same" if any(self.compared.values()) else "nothing had ended"
        return [*sheet, facts]

    def _repr_html_(self) -> str:
        return to_html(self.sheet())
