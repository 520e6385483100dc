"""Measures whether gains that are claimed are gains: whole runs with a model of known quality.

    python benchmarks/evidence.py [--null N] [--alternative N] [--accept RULE] [--markdown FILE]

The program under test is the real one (`stop.run`: engine, broker, sandbox, tape); only the model
is a stub, a server on the loopback. It answers the task level with programs whose quality is drawn
at random, and the meta level, in the null, with the current improver in other words, which does
exactly as well; in the alternative with one that has one more batch of responses, which is better
by an amount that is computed apart. Instances add noise, so every score is a matter of luck.

Every rate has its Monte Carlo error: Wilson's interval, 95 %, over runs.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import platform
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

import stop
from stop._util.statistics import wilson_interval
from stop.testing.openai_server import OpenAIServer

MARKS = ("<!-- measured -->", "<!-- end -->")
QUALITY = (0.2, 0.6)
"""Of a response's program, uniform."""
NOISE = 0.15
"""Standard deviation of an instance's score around the program's quality."""
INSTANCES, RESPONSES = 4, 2
OPTIONS: dict[str, Any] = {
    "rounds": 2, "repetitions": 2, "calls": 4, "responses": RESPONSES, "utility_calls": 12,
    "confirm_repetitions": 16, "final_repetitions": 16, "sandbox": "bubblewrap",
}  # fmt: skip

TASK = f"""
name = "luck"
description = "Return a number; its size is the quality of the program"
entry_point = "algorithm"
score_range = [0.0, 1.0]
[limits]
cpu_seconds = 2.0
[instances]
search = {INSTANCES}
meta = {INSTANCES}
test = {INSTANCES}
"""
UTILITY = f"""
def make_instance(rng):
    return {{"inputs": {{"x": 0.0}}, "noise": float(rng.normal(0, {NOISE}))}}

def score(instance, output):
    return min(1.0, max(0.0, float(output) + instance["noise"]))
"""
IMPROVER = '''
from helpers import extract_code

BATCHES = {batches}


def improve_algorithm(initial_solution, utility, language_model):
    """{words}"""
    best, most = initial_solution, utility(initial_solution)
    for batch in range(BATCHES):
        message = f"{words} batch {{batch}}: {{initial_solution}} {{utility.str}}"
        answers = language_model.prompt("", message, n_responses={responses})
        for program in extract_code(answers):
            if program and (score := utility(program)) > most:
                best, most = program, score
    return best
'''


@dataclass(frozen=True, slots=True)
class Result:
    """One run.

    Attributes:
        accepted, confirmed: rounds that took a candidate, and those that tested one.
        true_accepted: accepted rounds whose candidate is better.
        claimed, interval: the gain of the final comparison; None without one.
        true: the true gain of the best improver over the first.
        confirmation_runs, runs: improver runs on tasks, for confirmation and in all.
        seconds: of wall-clock time.
    """

    accepted: int
    confirmed: int
    true_accepted: int
    claimed: float | None
    interval: tuple[float, float] | None
    true: float
    confirmation_runs: int
    runs: int
    seconds: float


class Luck:
    """The stub model: qualities for programs, other words for improvers.

    Args:
        better: whether a rewritten improver has one more batch than the one before.
        seed: of its chance.
    """

    def __init__(self, *, better: bool, seed: int) -> None:
        self._better = better
        self._chance = random.Random(seed)
        self._words = itertools.count()

    def __call__(self, message: str) -> str:
        found = re.findall(r"^BATCHES = (\d+)$", message, re.MULTILINE)
        if found:
            return fenced(improver(int(found[0]) + self._better, f"words {next(self._words)}"))
        return fenced(f"def algorithm(x):\n    return {self._chance.uniform(*QUALITY)!r}\n")


def fenced(code: str) -> str:
    return f"```python\n{code}\n```"


def improver(batches: int, words: str) -> str:
    """The text of an improver."""
    return IMPROVER.format(batches=batches, words=words, responses=RESPONSES)


def true_utility(batches: int, runs: int = 200_000) -> float:
    """What an improver with so many batches is worth, by simulation in numpy."""
    chance = np.random.default_rng(0)
    draws = chance.uniform(*QUALITY, size=(runs, batches * RESPONSES))
    # All programs of a cell meet the same instances, so noise does not change their order.
    best = draws.max(axis=1)
    noise = chance.normal(0, NOISE, size=(runs, INSTANCES))
    return float(np.clip(best[:, None] + noise, 0, 1).mean())


def one(
    seed: int,
    *,
    better: bool,
    options: dict[str, Any],
    utility: dict[int, float],
    keep: Path | None = None,
) -> Result:
    """A whole run in a folder of its own, which is kept as `keep` where that is given."""
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as place,
        contextlib.chdir(place),  # so that no path of this machine is in the records
        OpenAIServer(Luck(better=better, seed=seed)) as server,
    ):
        task = Path("luck")
        task.mkdir()
        for name, text in (("task.toml", TASK), ("utility.py", UTILITY),
                           ("seed.py", "def algorithm(x):\n    return 0.0\n")):  # fmt: skip
            (task / name).write_text(text)
        Path("improver.py").write_text(improver(1, "words to begin with"))
        run = stop.run(
            task, lm="openai:luck", base_url=server.base_url, improver=Path("improver.py"),
            concurrency=4, runs_dir="runs", **options,
        )  # fmt: skip
        if run.error is not None:
            raise run.error
        result = run.to_dict()
        sources = {r["improver_id"]: run.program(r["improver_id"]).source
                   for r in [result["seed"], *result["rounds"]] if r["improver_id"]}  # fmt: skip
        with run.store() as store:
            runs = [r for r in store.improver_runs() if r.level == "task"]
        if keep is not None:
            shutil.copytree(run.folder, keep, ignore=shutil.ignore_patterns("lock"))
    worth = {i: utility[int(re.findall(r"BATCHES = (\d+)", s)[0])] for i, s in sources.items()}
    accepted = [r for r in result["rounds"] if r["accepted"]]
    tested = [r["confirmation"] for r in result["rounds"] if r["confirmation"]]
    best, gain = result["best"], result["best"]["gain"]
    return Result(
        accepted=len(accepted),
        confirmed=len(tested),
        true_accepted=sum(worth[r["improver_id"]] > worth[r["parent_id"]] for r in accepted),
        claimed=gain and gain["difference"],
        interval=gain and tuple(gain["interval"]),
        true=worth[best["program_id"]] - worth[result["seed"]["improver_id"]],
        confirmation_runs=sum(2 * t["repetitions"] for t in tested),
        runs=len(runs),
        seconds=time.monotonic() - began,
    )


def measure(
    name: str,
    number: int,
    show: Callable[[str], None],
    *,
    better: bool,
    options: dict[str, Any],
    keep: Path | None = None,
) -> list[Result]:
    """Several runs, one after the other; the first is kept."""
    utility = {batches: true_utility(batches) for batches in range(1, OPTIONS["rounds"] + 2)}
    results = []
    for seed in range(number):
        kept = keep / name if keep is not None and seed == 0 else None
        found = one(seed, better=better, options=options, utility=utility, keep=kept)
        results.append(found)
        show(f"{name} {seed + 1}/{number}: {results[-1]}")
    return results


def rate(hits: Sequence[bool]) -> str:
    """A share with its Monte Carlo error."""
    low, high = wilson_interval(sum(hits), len(hits))
    share = sum(hits) / len(hits) if hits else 0.0
    return f"{sum(hits)} of {len(hits)} = {100 * share:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def table(name: str, found: Sequence[Result]) -> list[tuple[str, str]]:
    """What the runs say, as rows."""
    claims = [r for r in found if r.claimed is not None and r.interval is not None]
    rounds = sum(r.confirmed for r in found)
    rows = [
        (f"{name}: runs that accept an improver", rate([r.accepted > 0 for r in found])),
        (
            f"{name}: runs that claim a gain, its interval above 0",
            rate([r in claims and r.interval is not None and r.interval[0] > 0 for r in found]),
        ),
        (
            f"{name}: improver runs to confirm a candidate, mean",
            f"{sum(r.confirmation_runs for r in found) / max(1, rounds):.1f} of "
            f"{2 * OPTIONS['confirm_repetitions']}, in {rounds} tests",
        ),
        (
            f"{name}: improver runs of a whole run, mean",
            f"{fmean(r.runs for r in found):.0f}, {fmean(r.seconds for r in found):.1f} s",
        ),
    ]
    if any(r.true for r in found):
        steps = sum(r.accepted for r in found), sum(r.true_accepted for r in found)
        rows.append((f"{name}: accepted steps that are better", f"{steps[1]} of {steps[0]}"))
    if claims:
        held = [r.interval[0] <= r.true <= r.interval[1] for r in claims if r.interval]
        claimed, true = [r.claimed or 0.0 for r in claims], [r.true for r in claims]
        error = stdev(a - b for a, b in zip(claimed, true, strict=True)) if len(claims) > 1 else 0
        rows += [
            (f"{name}: intervals that hold the true gain", rate(held)),
            (
                f"{name}: claimed gain, true gain, mean",
                f"{fmean(claimed):+.4f}, {fmean(true):+.4f}"
                f" (error of the mean {error / len(claims) ** 0.5:.4f})",
            ),
        ]
        if fmean(true):
            rows.append((f"{name}: claimed over true gain",
                         f"{fmean(claimed) / fmean(true):.2f}"))  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--null", type=int, default=100)
    parser.add_argument("--alternative", type=int, default=30)
    parser.add_argument("--accept", default="confirmed")
    parser.add_argument("--keep", type=Path, help="keep the first run of each kind in this folder")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--markdown", type=Path, help="write the table into this file")
    options = parser.parse_args()
    rule = OPTIONS | {"accept": options.accept}

    def show(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    rows = []
    for name, number, better in (
        ("null", options.null, False),
        ("alternative", options.alternative, True),
    ):
        if number:
            rows += table(
                name, measure(name, number, show, better=better, options=rule, keep=options.keep)
            )
    if options.json:
        print(json.dumps({"accept": options.accept, "python": platform.python_version(),
                          "rows": dict(rows)}))  # fmt: skip
        return
    lines = [f"| `--accept {options.accept}` | |", "| --- | --- |"]
    lines += [f"| {what} | {value} |" for what, value in rows]
    text = "\n".join(lines)
    print(text)
    if options.markdown is not None:
        before, _, rest = options.markdown.read_text("utf-8").partition(MARKS[0])
        after = rest.partition(MARKS[1])[2]
        options.markdown.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}", "utf-8")


if __name__ == "__main__":
    main()
