"""The configuration of a transfer measurement."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from stop.config import RunConfig


class Improvement(BaseModel):
    """The improved improver of a transfer measurement.

    Attributes:
        improver: its source text.
        origin: where it comes from, for readers.
        trained_on: names of the tasks that it was improved on; None: not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    improver: str
    origin: str
    trained_on: tuple[str, ...] | None = None


class TransferConfig(RunConfig):
    """Two improvers on the same tasks.

    Attributes:
        improver: source text of the improver to compare with, the seed improver by default.
        transfer: the improved one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["transfer"] = "transfer"
    improver: str
    transfer: Improvement

    @property
    def instances_of(self) -> str:
        """Not those of a run with the same random seed, on which the improver may be chosen."""
        return "transfer"
