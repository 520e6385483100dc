"""Measures how long the reading commands take on a large run, as whole processes.

    python benchmarks/large_run.py [--programs 100000] [--repeat 3] [--folder DIR] [--keep] [--json]

The run is made up, and written through the real store and audit log: rounds of improvers, each
tried on five tasks five times, 4 LM calls with 6 responses in each improver run, every program
scored. Texts, instances and responses have realistic sizes; the log verifies.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stop.audit.log import AuditLog
from stop.audit.notes import run_id
from stop.events import Level, SecurityEvent
from stop.experiments.rounds.config import RoundsConfig
from stop.improvers import load_improver
from stop.programs import program_id
from stop.runs.folder import create_run
from stop.store import Store
from stop.tasks.task import load_task

TASKS = ("knapsack", "bin_packing", "maxcut", "three_sat", "tsp")
REPETITIONS, CALLS, RESPONSES, INSTANCES, PER_ROUND = 5, 4, 6, 20, 8
SHARE_AGAIN, SHARE_EDITED, SHARE_EVENTS = 0.1, 0.1, 0.03
_BATCH = 2000


def make_run(runs_dir: Path, programs: int, seed: int = 0) -> Path:
    """Makes up a run with at least this number of programs, and returns its folder."""
    config = RoundsConfig.checked(
        tasks=TASKS,
        rounds=1000,
        repetitions=REPETITIONS,
        lm="scripted:made-up",
        random_seed=seed,
    )
    folder = create_run(config, runs_dir)
    store = Store(folder / "run.db")
    log = AuditLog(folder / "audit.jsonl", run=run_id(folder))
    try:
        _Writer(store, log, random.Random(seed)).write(programs)
        log.append("closed")
    finally:
        log.close()
    store.set_meta("audit.head", log.head)
    store.set_meta("status", "done")
    store.set_meta("seconds", "86400")
    store.close()
    return folder


@dataclass
class _Writer:
    """Makes up rows, and writes them in batches."""

    store: Store
    log: AuditLog
    rng: random.Random
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    now: float = 1.7e9
    number: int = 0
    calls: int = 0
    ids: set[str] = field(default_factory=set)
    known: list[str] = field(default_factory=list)

    def write(self, programs: int) -> None:
        seed = load_improver("seed").source
        self.program(seed, "improver")
        tasks = {name: load_task(name).seed for name in TASKS}
        self.try_out(seed, tasks)
        self.round(0, seed, None, 0.5)
        parent = seed
        while len(self.ids) < programs:
            self.number += 1
            parent = self.rewrite(self.number, parent, tasks, programs)
        self.flush()

    def rewrite(self, number: int, parent: str, tasks: dict[str, str], programs: int) -> str:
        """Makes up a round, and returns the improver that goes on."""
        key, began = f"round/{number}", self.now
        best, best_score = parent, -1.0
        candidates = [self.variant(parent, "improver") for _ in range(PER_ROUND)]
        call = [self.response(each) for each in candidates]
        self.lm_call(key, key, call)
        for candidate in candidates:
            if len(self.ids) >= programs:
                break
            self.program(candidate, "improver")
            self.try_out(candidate, tasks)
            score = self.rng.random()
            self.scored(key, candidate, score)
            best, best_score = max((best, best_score), (candidate, score), key=lambda x: x[1])
        self.improver_run(key, "meta", parent, parent, best, began=began, round=number)
        accepted = self.rng.random() < 0.5
        self.round(number, best, parent, best_score, accepted=accepted)
        return best if accepted else parent

    def try_out(self, improver: str, tasks: dict[str, str]) -> None:
        for task, initial in tasks.items():
            for repetition in range(REPETITIONS):
                self.apply(improver, task, initial, repetition)

    def apply(self, improver: str, task: str, initial: str, repetition: int) -> None:
        """Makes up one improver run on a task."""
        key, scope = f"task/{task}/{repetition}/{program_id(improver)}", f"{task}/{repetition}"
        began, best, best_score = self.now, initial, -1.0
        self.program(initial, "solution")
        effect = self.log.intent("improver_run", program_id=program_id(improver), improver_run=key)
        self.scored(key, initial, 0.5)
        for _ in range(CALLS):
            solutions = [self.solution(initial) for _ in range(RESPONSES)]
            self.lm_call(key, scope, [self.response(each) for each in solutions])
            for source in solutions:
                score = self.rng.random()
                self.program(source, "solution")
                self.evaluation(source, task, repetition, "search", score)
                self.scored(key, source, score)
                best, best_score = max((best, best_score), (source, score), key=lambda x: x[1])
        self.evaluation(best, task, repetition, "meta", best_score)
        self.log.outcome(effect, "ok")
        place = {"task": task, "repetition": repetition}
        self.improver_run(key, "task", improver, initial, best, began=began, **place)

    # --- texts

    def variant(self, source: str, what: str) -> str:
        """Returns another program, with some lines changed and some new."""
        lines = source.splitlines()
        body = [i for i, line in enumerate(lines) if line.startswith("    ")]
        for i in self.rng.sample(body, min(4, len(body))):
            lines[i] += f"  # {what} {self.rng.getrandbits(64):x}"
        for _ in range(12):
            name, value = f"limit_{self.rng.randrange(99)}", self.rng.getrandbits(40)
            lines.append(f"    {name} = {value} if {value} > 1 else None  # a bound")
        return "\n".join(lines) + "\n"

    def solution(self, initial: str) -> str:
        if self.known and self.rng.random() < SHARE_AGAIN:
            return self.rng.choice(self.known)
        source = self.variant(initial, "solution")
        if len(self.known) < 1000:
            self.known.append(source)
        return source

    def response(self, source: str) -> str:
        """Returns a response with this program, of which the improver may have changed a line."""
        if self.rng.random() < SHARE_EDITED:
            source = source.replace("a bound", "a limit", 1)
        words = "This keeps the order and looks at fewer items, so it is faster. " * 5
        return f"{words}\n\n```python\n{source}```\n{words}"

    # --- rows

    def add(self, table: str, **row: Any) -> None:
        self.rows.setdefault(table, []).append(row)
        if len(self.rows[table]) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        for table, rows in self.rows.items():
            self.store.insert_many(table, rows)
        self.rows.clear()

    def tick(self) -> float:
        self.now += 0.1
        return self.now

    def program(self, source: str, kind: str) -> None:
        identity = program_id(source)
        if identity not in self.ids:
            self.ids.add(identity)
            self.add("programs", id=identity, kind=kind, source=source, created=self.tick())

    def scored(self, key: str, source: str, score: float) -> None:
        row = {"improver_run": key, "program_id": program_id(source), "score": score}
        self.add("utility_calls", **row, status="ok", at=self.tick())

    def evaluation(self, source: str, task: str, repetition: int, split: str, score: float) -> None:
        identity = program_id(source)
        effect = self.log.intent("evaluation", program_id=identity, task=task, split=split)
        self.log.outcome(effect, "ok")
        if self.rng.random() < SHARE_EVENTS:
            level = self.rng.choice([Level.INTENT, Level.ATTEMPT])
            detail = "line 3: subprocess.run(['ls'])"
            self.log.security(SecurityEvent("subprocess", level, detail, identity))
            self.log.settle("")
        instances = [[score, "ok", 0.01, ""] for _ in range(INSTANCES)]
        self.add(
            "evaluations",
            key=program_id(f"{identity}/{task}/{split}/{repetition}"),
            program_id=identity,
            task=task,
            split=split,
            repetition=repetition,
            score=score,
            status="ok",
            detail="",
            isolation="made up",
            instances=json.dumps(instances),
            events="[]",
            stdout="",
            stderr="",
            created=self.tick(),
        )

    def lm_call(self, key: str, scope: str, texts: list[str]) -> None:
        cut_off = self.rng.random() < 0.05
        reasons = ["length" if cut_off else "stop" for _ in texts]
        choices = [
            {"text": text, "finish_reason": reason}
            for text, reason in zip(texts, reasons, strict=True)
        ]
        self.calls += 1
        request = {
            "scope": scope,
            "improver_run": key,
            "request_key": program_id(f"{key}/{self.now}"),
        }
        cost = {"prompt_tokens": 700, "completion_tokens": 400 * len(texts), "usd": 0.001}
        place = {"n": len(texts), "occurrence": 0, "started": self.tick()}
        self.add(
            "lm_requests",
            **request,
            **cost,
            **place,
            round=self.number,
            state="paid",
            lm_call=self.calls,
        )
        self.add(
            "lm_calls",
            **request,
            **cost,
            **place,
            id=self.calls,
            model="made-up",
            system="You are an expert computer science researcher and programmer.",
            message="Improve this program so that its utility is higher.\n" * 40,
            temperature=0.7,
            max_tokens=1024,
            choices=json.dumps(choices),
            estimated=0,
            retries=0,
            faults="[]",
            finished=self.tick(),
        )

    def improver_run(self, key: str, level: str, *sources: str, began: float, **place: Any) -> None:
        """Adds an improver run; `sources` are the improver, its initial program, its result."""
        improver, initial, result = map(program_id, sources)
        where = {"round": None, "task": None, "repetition": None} | place
        self.add("executions", improver_run=key, round=self.number)
        self.add(
            "improver_runs",
            key=key,
            level=level,
            improver_id=improver,
            initial_id=initial,
            result_id=result,
            status="ok",
            detail="",
            utility_calls=CALLS * RESPONSES + 1,
            cpu_seconds=0.2,
            stdout="best so far 0.5\n" * 20,
            stderr="",
            started=began,
            finished=self.tick(),
            **where,
        )

    def round(
        self, number: int, improver: str, parent: str | None, score: float, *, accepted: bool = True
    ) -> None:
        self.add(
            "rounds",
            round=number,
            improver_id=program_id(improver),
            parent_id=parent and program_id(parent),
            meta_utility=score,
            low=score - 0.01,
            high=score + 0.01,
            selection=score,
            selection_difference=0.01,
            selection_difference_low=0.0,
            selection_difference_high=0.02,
            accepted=int(accepted),
            status="ok",
            detail="",
            finished=self.tick(),
        )


# --- readers


def commands(folder: Path) -> dict[str, list[str]]:
    """Returns the commands to time, by name."""
    store = Store(folder / "run.db", read_only=True)
    middle = store.query(
        "SELECT id FROM programs WHERE rowid >= (SELECT MAX(rowid) / 2 FROM programs) LIMIT 2"
    ).fetchall()
    store.close()
    run, a, b = str(folder), middle[0]["id"], middle[1]["id"]
    out = str(folder.parent / "exported")
    return {
        "version": ["--version"],
        "lineage": ["lineage", run],
        "lineage --solutions": ["lineage", run, "--solutions"],
        "lineage --origins": ["lineage", run, "--origins"],
        "show best": ["show", run, "best"],
        "show SOLUTION": ["show", run, a],
        "diff": ["diff", run, a, b],
        "costs": ["costs", run],
        "ls": ["ls", "--runs-dir", str(folder.parent)],
        "audit show": ["audit", "show", run],
        "audit summary": ["audit", "summary", run],
        "export json": ["export", run, "--format", "json", "-o", f"{out}.json"],
        "export csv": ["export", run, "--format", "csv", "-o", f"{out}-csv"],
        "export parquet": ["export", run, "--format", "parquet", "-o", f"{out}-parquet"],
    }


@dataclass(frozen=True)
class Took:
    """Returns the seconds that a whole process took: elapsed, and of CPU time."""

    clock: float
    cpu: float


def timed(arguments: list[str]) -> Took:
    began, before = time.perf_counter(), os.times()
    done = subprocess.run(
        [sys.executable, "-m", "stop", *arguments], capture_output=True, text=True, check=False
    )
    clock, after = time.perf_counter() - began, os.times()
    if done.returncode:
        raise SystemExit(f"stop {' '.join(arguments)}: {done.stderr}")
    user = after.children_user - before.children_user
    return Took(clock, user + after.children_system - before.children_system)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", default=".", help="where the run is made")
    parser.add_argument("--keep", action="store_true", help="do not delete the run")
    parser.add_argument("--only", default="", help="commands whose name begins so")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="large-run-", dir=options.folder)).resolve()
    os.environ["STOP_STATE_DIR"] = str(place / "state")
    try:
        began = time.perf_counter()
        folder = make_run(place / "runs", options.programs)
        made = time.perf_counter() - began
        results = measure(folder, options.repeat, options.only)
    finally:
        if options.keep:
            print(f"kept: {place}", file=sys.stderr)
        else:
            shutil.rmtree(place)
    if options.json:
        medians = {name: asdict(took) for name, took in results.items()}
        print(json.dumps({"made_seconds": made, "median_seconds": medians}, indent=2))
        return
    print(f"made in {made:.0f} s\n{'':<22} {'clock':>8} {'cpu':>8}")
    for name, took in results.items():
        print(f"{name:<22} {took.clock:8.2f} {took.cpu:8.2f}")


def measure(folder: Path, repeat: int, only: str = "") -> dict[str, Took]:
    """Returns the medians by command."""
    results = {}
    for name, arguments in commands(folder).items():
        if name.startswith(only):
            took = [timed(arguments) for _ in range(repeat)]
            medians = (statistics.median(getattr(t, key) for t in took) for key in ("clock", "cpu"))
            results[name] = Took(*medians)
    return results


if __name__ == "__main__":
    main()
