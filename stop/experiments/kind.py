"""The protocol of a kind of run: its configuration, its work, its result.

To add a kind: a room with these three next to the others, a line in `stop.experiments.KINDS`, and
a command. Nothing else tells kinds apart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

from stop.config import RunConfig
from stop.engine.session import Session
from stop.errors import ConfigError, RunError, StopError
from stop.events import ProgressListener
from stop.experiments.working import work_on
from stop.store import Store

C = TypeVar("C", bound=RunConfig)
ProgramKind = Literal["improver", "solution"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run in a few numbers, as far as it has come. Each kind fills in its own.

    Attributes:
        meta_utility, interval: of the best improver; of rounds.
        before, after: scores on the meta split; of an improve.
        rates: share of samples with any attempt, by cell; of a bypass measurement.
        gain: improved minus seed improver on the test split, the mean over tasks; of a transfer.
    """

    meta_utility: float | None = None
    interval: tuple[float, float] | None = None
    before: float | None = None
    after: float | None = None
    rates: dict[str, float] = field(default_factory=dict)
    gain: float | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that was worked on.

    Attributes:
        folder: of the run.
        error: why it is not done, when it ended early.
    """

    folder: Path
    error: StopError | None = None


class Scale(NamedTuple):
    """How much work a run is, at most; see `stop.experiments.plan`.

    Attributes:
        measured: improvers whose meta-utility is computed.
        rounds: improver runs on an improver.
        improver: source text of the improver to begin with.
    """

    measured: int
    rounds: int
    improver: str


class Kind(ABC, Generic[C]):
    """A kind of run.

    Attributes:
        name: as in the configuration and in the names of run folders.
        config: the class of its configuration.
        programs: the programs whose lineage is the run's story.
        has_rounds: whether it has rounds, each with a candidate.
        improver_runs_on_tape: whether its improver runs on tasks are answered from the tape, so
            that a replay can repeat each by itself.
    """

    name: ClassVar[str]
    programs: ClassVar[ProgramKind] = "improver"
    has_rounds: ClassVar[bool] = False
    improver_runs_on_tape: ClassVar[bool] = True
    config: type[C]

    @abstractmethod
    async def work(self, session: Session, config: C) -> Any:
        """Do what the run lacks; what has ended is not done again.

        Raises:
            StopError: it cannot go on; what is recorded stays.
        """

    def carry_on(
        self, folder: Path, config: C, progress: ProgressListener, reason: str = ""
    ) -> Any:
        """Do in a session what the run lacks, and return its result for the library.

        Args:
            folder: of the run.
            config: the stored one, or one with raised limits.
            progress: called with each Progress event.
            reason: why a run that its policy halted should go on.

        Raises:
            StopError: nothing of it could begin.
        """
        error = work_on(folder, config, progress, lambda s: self.work(s, config), reason)
        return self.result(folder, error)

    def result(self, folder: Path, error: StopError | None) -> Any:
        """Returns the result for the library; by default the run itself (`stop.Run`)."""
        return Ended(folder, error)

    @abstractmethod
    def outcome(self, store: Store, config: C) -> Outcome:
        """Read the result in a few numbers, for listings."""

    def best(self, store: Store, config: C) -> str:
        """Returns the id of the best program that the run has made.

        Raises:
            RunError: there is none, or none yet.
        """
        raise RunError(f"{store.path.parent} is a {self.name}: it improves nothing")

    def first(self, store: Store, config: C) -> str:
        """Returns the id of the program that the run began with.

        Raises:
            RunError: there is none, or none yet.
        """
        raise RunError(f"{store.path.parent} has no seed improver with a meta-utility")

    def scale(self, config: C) -> Scale:
        """Returns how much work a run is, for a plan.

        Raises:
            ConfigError: runs of this kind have no plan.
        """
        raise ConfigError(f"a {self.name} has no plan")
