"""The scores behind a mean, as cells (task × repetition × instance), from a run's store.

An improver's scores are those of the programs that it made of the tasks' seeds: on `search`, which
it saw while it worked, on `meta`, which its meta-utility is made of, or on `test`, which no
improver ever meets. A solution's are its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from stop._util.concurrency import run_sync
from stop._util.statistics import Cell, stratified_mean
from stop.analysis.frames import frame
from stop.analysis.runs import OneRun, Runs, as_run, as_runs
from stop.engine.cells import final
from stop.engine.evaluator import Evaluator
from stop.errors import RunError, StopError
from stop.experiments import kind_of
from stop.experiments.kind import Ends
from stop.recorded_run import Run
from stop.runs.folder import run_tasks, task_copy
from stop.sandbox import open_sandbox
from stop.sandbox.pool import SandboxPool
from stop.store import Store
from stop.store.best import in_quarantine
from stop.store.comparisons import STAGES, comparisons
from stop.store.recorded import Place, evaluation_records
from stop.tasks.evaluation import Split
from stop.tasks.files import folder_digest, read_task_file
from stop.tasks.task import tasks_root

if TYPE_CHECKING:
    from pandas import DataFrame

SPLITS: tuple[Split, ...] = ("search", "meta", "test")


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """The facts of a task that readers of scores need.

    Attributes:
        low, high: the range of scores, in the task's units.
        digest: of its files; "" where they are gone.
        counts: the number of instances of each split.
    """

    low: float
    high: float
    digest: str
    counts: dict[str, int]


class Scores:
    """The scores of one run, read once.

    Args:
        run: as it is on disk now, or its folder.
    """

    def __init__(self, run: OneRun) -> None:
        self.run = as_run(run)
        self._test: dict[Place, Cell] = {}
        with closing(self.run.store()) as store:
            self._records = evaluation_records(store)
            self._made = _made(store)
            self._kinds = {row[0]: row[1] for row in store.query("SELECT id, kind FROM programs")}

    def cells(self, program: str, split: Split = "meta") -> tuple[Cell, ...]:
        """Returns the scores of a program on a split, one cell for each task and repetition.

        An improver run without a program counts as the task's lowest score, as in the meta-utility.

        Args:
            program: its id.
            split: "search", "meta" or "test"; there are test scores after `evaluate_test`, and in
                a transfer measurement.
        """
        if self.is_improver(program):
            places = self._made.get(program, {}).items()
            found = (self._cell(task, r, result, split) for (task, r), result in places)
            return tuple(cell for cell in found if cell is not None)
        places_of_own = sorted({(p[1], p[3]) for p in (*self._records, *self._test)
                                if p[0] == program and p[2] == split})  # fmt: skip
        cells = (self._cell(task, r, program, split) for task, r in places_of_own)
        return tuple(cell for cell in cells if cell is not None)

    def fresh_cells(self, program: str, split: Split = "meta") -> tuple[Cell, ...]:
        """Returns the cells of a program that it was not chosen on, as shares of their ranges.

        In a run of rounds an improver was chosen on all but those of the final comparison. In runs
        of other kinds nothing is chosen between the improvers that they measure.
        """
        cells = self.cells(program, split)
        if self.is_improver(program) and kind_of(self.run.config).has_rounds:
            cells = tuple(c for c in cells if (c.task, c.repetition) in self._compared)
        return tuple(map(self._share, cells))

    @cached_property
    def _compared(self) -> set[tuple[str, int]]:
        """Tasks and repetitions of the final comparisons that are recorded."""
        with closing(self.run.store()) as store:
            found = [c for stage in STAGES[1:] for c in comparisons(store, stage).values()]
        return {
            (task, final(comparison.number) + repetition)
            for comparison in found
            if comparison.difference is not None
            for task in comparison.tasks
            for repetition in range(comparison.repetitions)
        }

    def _share(self, cell: Cell) -> Cell:
        facts = self.tasks.get(cell.task)
        if facts is None:
            return cell
        width = facts.high - facts.low
        score, *instances = ((s - facts.low) / width for s in (cell.score, *cell.instances))
        return Cell(cell.task, cell.repetition, score, tuple(instances))

    def is_improver(self, program: str) -> bool:
        """Whether the program of this id is an improver."""
        return self._kinds.get(program) == "improver"

    @cached_property
    def tasks(self) -> dict[str, TaskFacts]:
        """The tasks of the run by name; their files are read and not executed."""
        facts = {}
        for position, name in enumerate(self.run.config.all_tasks):
            known = tasks_root() / name
            folder = task_copy(self.run.folder, position) or (known if known.is_dir() else None)
            try:
                path = folder or Path(name).expanduser()
                about = read_task_file(path / "task.toml")
                counts = about.instances.model_dump()
                facts[about.name] = TaskFacts(*about.score_range, folder_digest(path), counts)
            except (StopError, OSError):  # its files are gone
                facts[Path(name).name] = TaskFacts(0.0, 1.0, "", {})
        return facts

    def secret(self) -> bytes:
        """Returns the secret that instances derive from: runs with the same one met the same.

        Raises:
            RunError: it cannot be read.
        """
        try:
            return (self.run.folder / "secret").read_bytes()
        except OSError as error:
            raise RunError(f"{self.run.folder} has no secret: {error.strerror}") from error

    def evaluate_test(self, programs: Iterable[str], *, sandbox: str = "auto") -> None:
        """Scores programs, or what improvers made on fresh cells, on the test split.

        It is done in the sandbox. Scores of what an improver made are about these programs.
        The instances derive from the run's secret: the same for all programs, and met by none of
        them before. Nothing is recorded. Programs in quarantine are left out.

        Args:
            programs: their ids.
            sandbox: as of `stop.run`.

        Raises:
            SandboxError, TaskError: the host cannot score them.
        """
        barred = in_quarantine(self.run.config, self.run.security_events())
        wanted = {
            place: None
            for program in programs
            for place in self._test_places(program)
            if place not in self._test and place not in self._records and place[0] not in barred
        }
        if wanted:
            run_sync(self._evaluate(list(wanted), sandbox))

    async def _evaluate(self, places: list[Place], sandbox: str) -> None:
        tasks = {task.name: task for task in run_tasks(self.run.folder, self.run.config)}
        packages = tuple(sorted({name for task in tasks.values() for name in task.packages}))
        backend = await open_sandbox(sandbox, packages=packages, image=self.run.config.image)
        pool = SandboxPool(backend, isolation=self.run.config.isolation, evaluations=1)
        try:
            evaluator = Evaluator(pool, self.secret())
            for program, task, split, repetition in places:
                evaluation = await evaluator.evaluate(
                    self.run.program(program).source, tasks[task], split, repetition=repetition
                )
                scores = tuple(i.score for i in evaluation.instances) or (evaluation.score,)
                place = (program, task, split, repetition)
                self._test[place] = Cell(task, repetition, evaluation.score, scores)
        finally:
            await pool.aclose()

    def _test_places(self, program: str) -> Iterator[Place]:
        if self.is_improver(program):
            fresh = {(cell.task, cell.repetition) for cell in self.fresh_cells(program)}
            for (task, repetition), result in self._made.get(program, {}).items():
                if result is not None and (task, repetition) in fresh:
                    yield result, task, "test", repetition
        else:
            known = {(task, r) for p, task, _, r in self._records if p == program}
            yield from ((program, task, "test", r) for task, r in sorted(known))

    def _cell(self, task: str, repetition: int, program: str | None, split: str) -> Cell | None:
        if program is None:
            facts = self.tasks.get(task) or TaskFacts(0.0, 1.0, "", {})
            return Cell(task, repetition, facts.low, (facts.low,) * facts.counts.get(split, 1))
        place = (program, task, split, repetition)
        if place in self._test:
            return self._test[place]
        record = self._records.get(place)
        if record is None:
            return None
        scores = tuple(score for score, _, _ in record.instances) or (record.score,)
        return Cell(task, repetition, record.score, scores)


def _made(store: Store) -> dict[str, dict[tuple[str, int], str | None]]:
    """The program that each improver made of each task's seed, by repetition; None without any."""
    rows = store.query(
        "SELECT improver_id, task, repetition, result_id FROM improver_runs "
        "WHERE level = 'task' AND task IS NOT NULL AND status != 'running' ORDER BY started, key"
    )
    made: dict[str, dict[tuple[str, int], str | None]] = {}
    for improver, task, repetition, result in rows:
        made.setdefault(improver, {})[task, repetition or 0] = result
    return made


def splits_df(
    runs: Runs, programs: Iterable[str] | None = None, *, evaluate: bool = False,
    sandbox: str = "auto",
) -> DataFrame:  # fmt: skip
    """Returns the scores of programs on the three splits, seen and held out.

    One row for each program, task and split. Columns: program_id, role ("seed improver", "best
    improver", "improved improver", "before", "after", or "" of programs that were named), task (""
    for the mean over tasks), split, mean (as a share of the range of scores), low and high (95 %
    interval of `stratified_mean`, Student's t), over ("repetitions" or "instances"), n (cells).
    Improvers of a run of rounds are shown on the fresh cells of its final comparison only. A gain
    that is there on `search` and `meta` and not on `test` was fitted to the instances.

    Args:
        runs: one or several.
        programs: ids or their beginnings; default: the programs that each run began and ended with.
        evaluate: whether to score on the test split, in the sandbox, what was not scored there yet;
            without it the split is there only where the run has scored it.
        sandbox: as of `stop.run`.

    Raises:
        RunError: a program is not in a run.
        SandboxError, TaskError: with `evaluate`, where the host cannot score programs.
    """
    given = list(programs) if programs is not None else None
    rows = []
    for label, run in as_runs(runs).items():
        scores = Scores(run)
        wanted = _roles(run) if given is None else {run.program(p).id: "" for p in given}
        if evaluate:
            scores.evaluate_test(wanted, sandbox=sandbox)
        for program, role in wanted.items():
            for split in SPLITS:
                cells = scores.fresh_cells(program, split)
                tasks = list(dict.fromkeys(cell.task for cell in cells))
                for task in [*([""] if len(tasks) > 1 else []), *tasks]:
                    chosen = [cell for cell in cells if task in ("", cell.task)]
                    found = stratified_mean(chosen, instances=not scores.is_improver(program))
                    rows.append((label, program, role, task, split, found.mean, found.low,
                                 found.high, found.over, len(chosen)))  # fmt: skip
    columns = {
        "run": str, "program_id": str, "role": str, "task": str, "split": str, "mean": float,
        "low": float, "high": float, "over": str, "n": int,
    }  # fmt: skip
    return frame(columns, rows)


def ends(run: Run) -> Ends:
    """Returns the programs that a run began and ended with."""
    config = run.config
    with closing(run.store()) as store:
        return kind_of(config).ends(store, config)


def _roles(run: Run) -> dict[str, str]:
    """The programs that a run began and ended with, and what they are called."""
    first, last, first_role, last_role = ends(run)
    found: dict[str, str] = {}
    for program, role in ((first, first_role), (last, last_role)):
        if program is not None:
            found.setdefault(program, role)
    return found
