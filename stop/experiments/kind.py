"""The protocol of a kind of run: its configuration, its work, its result.

To add a kind: a room with these three next to the others, a line in `stop.experiments.kinds`, and
a command; `stop.report.kinds` may tell its story, and `stop.options` reads its options.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from stop._util.concurrency import run_sync
from stop.config import RunConfig
from stop.engine.opening import open_session
from stop.engine.session import Session
from stop.errors import ConfigError, RunError, StopError
from stop.events import Progress, ProgressListener
from stop.programs import ProgramKind
from stop.runs.folder import has_begun
from stop.store import Store

if TYPE_CHECKING:
    from stop.experiments.bypass.report import CellReport

C = TypeVar("C", bound=RunConfig)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run in a few numbers, as far as it has come. Each kind fills in its own.

    Attributes:
        meta_utility, interval: of the best improver; of rounds.
        gain, gain_interval: of rounds, best minus first improver in the final comparison; of a
            transfer, improved minus seed improver on the test split, the mean over tasks. As a
            share of the range of scores.
        before, after: scores on the meta split; of an improve.
        rates: share of samples with any attempt, by cell; of a bypass measurement.
    """

    meta_utility: float | None = None
    interval: tuple[float, float] | None = None
    before: float | None = None
    after: float | None = None
    rates: dict[str, float] = field(default_factory=dict)
    gain: float | None = None
    gain_interval: tuple[float, float] | None = None


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
        confirmation, final: improver runs on tasks that compare improvers on fresh cells.
    """

    measured: int
    rounds: int
    improver: str
    confirmation: int = 0
    final: int = 0


class Ends(NamedTuple):
    """The programs that a run began and ended with, by id, and what they are called."""

    first: str | None = None
    last: str | None = None
    first_role: str = "first"
    last_role: str = "last"


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
        error: StopError | None = None
        try:
            self.work_in_session(folder, config, progress, reason)
        except KeyboardInterrupt:
            progress(Progress("message", f"what is recorded stays; to go on: stop resume {folder}"))
            raise
        except StopError as raised:
            if raised.run is None:
                raise
            error = raised
        return self.result(folder, error)

    def work_in_session(
        self, folder: Path, config: C, progress: ProgressListener, reason: str = ""
    ) -> Any:
        """Open the run, do its work, and return what that returns; see `carry_on`.

        Raises:
            StopError: with the folder of the run if there is something to go on with.
        """

        async def in_session() -> Any:
            async with open_session(folder, config, progress, reason) as session:
                return await self.work(session, config)

        progress(Progress("message", f"recording in {folder}"))
        try:
            return run_sync(in_session())
        except StopError as error:
            error.run = folder if has_begun(folder) else None
            raise

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

    def ends(self, store: Store, config: C) -> Ends:
        """Returns the programs that the run began and ended with, as far as it has come."""
        return Ends()

    def rates(self, store: Store, config: C) -> list[CellReport]:
        """Returns the rates that the run measures, by cell; [] where it measures none."""
        return []

    def scale(self, config: C) -> Scale:
        """Returns how much work a run is, for a plan.

        Raises:
            ConfigError: runs of this kind have no plan.
        """
        raise ConfigError(f"a {self.name} has no plan")
