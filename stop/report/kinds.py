"""How the story of each kind of run is told: the only place of the report that knows the kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from stop.report import of_improve, of_measurements, of_rounds
from stop.report.context import Context
from stop.report.data import Report
from stop.report.packing import pack
from stop.report.programs import collect_all


@dataclass(frozen=True, slots=True)
class Kind:
    """What is particular to the reports of a kind of run.

    Attributes:
        tell: fills in the result.
        scores: the name of the section with the scores.
        order: a sentence on the tree of programs.
        unused: settings that do not matter to the kind, and are not shown.
        commands: more commands for its run; `{}` stands for the name of the run.
        sampled: whether it only takes samples of a model, and builds nothing on them.
    """

    tell: Callable[[Context, Report], Report]
    scores: str = "scores"
    order: str = "A branch leads from a program to what was made from it."
    unused: tuple[str, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()
    sampled: bool = False


def _tell_anything(run: Context, base: Report) -> Report:
    """Fills in the programs of a run, and leaves it at that."""
    return replace(base, programs=pack(run, collect_all(run)))


_OF_ROUNDS = ("rounds", "accept", "round_budget", "meta_budget", "meta_lm")
KINDS = {
    "run": Kind(
        of_rounds.tell,
        scores="rounds",
        commands=(
            ("stop lineage {} --solutions", "the whole tree"),
            ("stop show {} best", "the best improver"),
        ),
    ),
    "improve": Kind(of_improve.tell, unused=(*_OF_ROUNDS, "repetitions")),
    "bypass": Kind(
        of_measurements.tell_bypass,
        scores="rates",
        order="The programs that the model wrote, the highest levels first.",
        unused=(*_OF_ROUNDS, "repetitions"),
        sampled=True,
    ),
    "transfer": Kind(of_measurements.tell_transfer, unused=_OF_ROUNDS),
}
OTHER = Kind(_tell_anything)
"""Any other kind."""
