"""The cells of a run: which repetition of a task serves what.

A cell is a task and a repetition: the number of the repetition decides its instances and its place
on the tape. Repetitions are numbered in blocks, so what selects improvers, what confirms them and
what compares the best with the first share neither instances nor responses:

    0 ... 999                selection: what a meta-utility is made of while improvers are made
    t * 1000 ...             confirmation of the candidate of round t
    (1001 + k) * 1000 ...    the k-th final comparison of a run (it is one, unless a run goes on)
"""

from __future__ import annotations

from typing import Literal, NamedTuple

BLOCK = 1000
"""Repetitions of a block, and the most that any stage of a run has."""
MOST_ROUNDS = 1000

Stage = Literal["selection", "confirmation", "final"]


class Place(NamedTuple):
    """What a repetition is for.

    Attributes:
        stage: "selection", "confirmation" or "final".
        number: the round of a confirmation, the number of a final comparison from 0 on, else 0.
        repetition: from 0 on within the stage.
    """

    stage: Stage
    number: int
    repetition: int

    @property
    def words(self) -> str:
        """The repetition as people read it, counted from 1."""
        number = str(self.repetition + 1)
        if self.stage == "selection":
            return number
        which = f" of round {self.number}" if self.stage == "confirmation" else ""
        name = "confirmation" if self.stage == "confirmation" else "final comparison"
        return f"{name}{which}, {number}"


def confirmation(round_: int) -> int:
    """Returns the number of the first repetition that confirms a round's candidate."""
    return round_ * BLOCK


def final(number: int) -> int:
    """Returns the number of the first repetition of a final comparison, counted from 0 on."""
    return (MOST_ROUNDS + 1 + number) * BLOCK


def place(repetition: int) -> Place:
    """Returns what a repetition is for."""
    block, within = divmod(repetition, BLOCK)
    if block == 0:
        return Place("selection", 0, within)
    if block <= MOST_ROUNDS:
        return Place("confirmation", block, within)
    return Place("final", block - MOST_ROUNDS - 1, within)
