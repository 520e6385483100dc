"""Load decides no verdict: an instance that the clock stopped early is run again alone."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from stop._util.concurrency import Quiet
from stop.audit.guard import Guard, Quarantined
from stop.engine.evaluator import Evaluator
from stop.engine.trial import GIVE_UP_AFTER
from stop.sandbox import GuestLimits, open_sandbox
from stop.sandbox.pool import SandboxPool
from stop.sandbox.protocol import Answer, Job, JobOutput
from stop.tasks.evaluation import InstanceResult
from stop.tasks.task import Task, load_task

TOML = """
name = "small"
description = "Give the number back"
score_range = [0.0, 1.0]
[limits]
cpu_seconds = {cpu}
wall_seconds = {wall}
[instances]
search = {count}
meta = 1
test = 1
"""
UTILITY = """
def make_instance(rng):
    return {"inputs": {"x": int(rng.integers(1, 1000))}}


def score(instance, output):
    if type(output) is not int:
        raise ValueError("expected an integer")
    return float(output == instance["inputs"]["x"])
"""
PROGRAM = "import time\n# {}\ndef algorithm(x):\n    return x\n"
AGAIN = "stopped by the clock at first, run again alone"


def small_task(folder: Path, *, cpu: float, wall: float, count: int = 1) -> Task:
    """A task with these limits of an instance, in seconds, and so many instances."""
    folder.mkdir()
    (folder / "task.toml").write_text(TOML.format(cpu=cpu, wall=wall, count=count))
    (folder / "seed.py").write_text(PROGRAM)
    (folder / "utility.py").write_text(UTILITY)
    return load_task(folder)


# --- being alone


async def turns(times: int = 20) -> None:
    """Lets everybody else go on."""
    for _ in range(times):
        await asyncio.sleep(0)


async def test_who_is_alone_meets_nobody_and_everybody_finishes() -> None:
    quiet, inside = Quiet(), set[int]()
    met: list[set[int]] = []

    async def work(number: int, wishes: int) -> None:
        async with quiet.among_others():
            inside.add(number)
            await turns(number)
            for _ in range(wishes):
                inside.discard(number)
                async with quiet.alone():
                    inside.add(number)
                    await turns()
                    met.append(set(inside))
                await turns(number)
            inside.discard(number)

    jobs = [work(number, wishes) for number, wishes in enumerate((0, 2, 0, 1, 3, 0))]
    async with asyncio.timeout(60):
        await asyncio.gather(*jobs)
    assert [len(each) for each in met] == [1] * 6


async def test_newcomers_do_not_keep_one_from_being_alone() -> None:
    quiet, order = Quiet(), list[str]()

    async def long_work(end: asyncio.Event) -> None:
        async with quiet.among_others():
            await end.wait()
            order.append("long")

    async def wishes() -> None:
        async with quiet.among_others(), quiet.alone():
            order.append("alone")

    async def newcomer() -> None:
        async with quiet.among_others():
            order.append("newcomer")

    end = asyncio.Event()
    jobs = [asyncio.create_task(work) for work in (long_work(end), wishes())]
    await turns()
    jobs.append(asyncio.create_task(newcomer()))
    await turns()
    assert order == []
    end.set()
    async with asyncio.timeout(60):
        await asyncio.gather(*jobs)
    assert order == ["long", "alone", "newcomer"]


@pytest.mark.parametrize("who", ["waits", "is alone"])
async def test_who_gives_up_keeps_nobody_waiting(who: str) -> None:
    quiet, end = Quiet(), asyncio.Event()

    async def work() -> None:
        async with quiet.among_others():
            await end.wait()

    async def wishes() -> None:
        async with quiet.among_others(), quiet.alone():
            await asyncio.Event().wait()

    others = [asyncio.create_task(work())] if who == "waits" else []
    one = asyncio.create_task(wishes())
    await turns()
    one.cancel()
    end.set()
    async with asyncio.timeout(60):
        await asyncio.gather(one, *others, return_exceptions=True)
        async with quiet.among_others(), quiet.alone():
            pass
    assert one.cancelled()


# --- evaluations that want it, with guests whose programs say how they end


class FakeGuest:
    """Ends loads and calls as a comment of the program says.

    `early`: which calls the clock stops, "never", the "first" try of each instance or "always";
    `cpu`: seconds that each takes; `then=raise`: how second tries end; `load=sleep`.
    """

    name = "fake"
    signs = ()

    def __init__(self, sandbox: FakeSandbox) -> None:
        self._sandbox = sandbox
        self._words: dict[str, str] = {}

    async def start(self, job: Job) -> Answer:
        comment = job.source.splitlines()[1].removeprefix("# ")
        self._words = dict(word.split("=") for word in comment.split())
        if self._words.get("load") == "sleep":
            await self._at_work(job.load_wall_seconds)
            return Answer("timeout", None, "", 0.01, alive=False, by_clock=True)
        return Answer("ok")

    async def call(
        self, args: tuple[Any, ...], *, cpu_seconds: float, wall_seconds: float
    ) -> Answer:
        alone = await self._at_work(wall_seconds)
        cpu = float(self._words.get("cpu", "0.3"))
        if alone and self._words.get("then") == "raise":
            return Answer("error", None, "it raised", cpu)
        if self._words["early"] == "always" or (self._words["early"] == "first" and not alone):
            return Answer("timeout", None, "late", cpu, wall_seconds, False, by_clock=True)
        return Answer("ok", args[0], "", cpu)

    async def _at_work(self, wall_seconds: float) -> bool:
        """Returns whether this is a second try; checks that nobody is at work beside one."""
        sandbox = self._sandbox
        alone = sandbox.alone
        sandbox.calls.append((alone, wall_seconds))
        sandbox.at_work += 1
        await turns()
        assert not alone or sandbox.at_work == 1
        sandbox.at_work -= 1
        return alone

    async def end(self) -> JobOutput:
        return JobOutput()

    async def aclose(self) -> None: ...


class FakeSandbox:
    """Keeps of each call whether it was a second try and its limit by the clock."""

    name = "fake"
    image_digest = "sha256:0"

    def __init__(self) -> None:
        self.at_work = 0
        self.alone = False
        self.calls: list[tuple[bool, float]] = []

    async def open(self) -> None: ...

    async def start(self, limits: GuestLimits) -> FakeGuest:
        return FakeGuest(self)

    async def aclose(self) -> None: ...


class WatchedPool(SandboxPool):
    """Counts how often one was alone, and tells a fake sandbox."""

    times_alone = 0

    def alone(self) -> AbstractAsyncContextManager[None]:
        self.times_alone += 1
        return _Watched(super().alone(), self.sandbox)


class _Watched(AbstractAsyncContextManager[None]):
    def __init__(self, inner: AbstractAsyncContextManager[None], sandbox: Any) -> None:
        self._inner, self._sandbox = inner, sandbox

    async def __aenter__(self) -> None:
        await self._inner.__aenter__()
        self._sandbox.alone = True

    async def __aexit__(self, *error: Any) -> None:
        self._sandbox.alone = False
        await self._inner.__aexit__(*error)


@pytest.fixture
def fake() -> tuple[FakeSandbox, WatchedPool, Evaluator]:
    sandbox = FakeSandbox()
    pool = WatchedPool(sandbox, evaluations=3)
    return sandbox, pool, Evaluator(pool, b"secret")


async def instances(evaluator: Evaluator, task: Task, comment: str) -> list[InstanceResult]:
    evaluation = await evaluator.evaluate(PROGRAM.format(comment), task, "search")
    return list(evaluation.instances)


async def test_a_good_second_try_counts_and_the_record_says_so(fake, tmp_path: Path) -> None:
    sandbox, _, evaluator = fake
    task = small_task(tmp_path / "small", cpu=2.0, wall=20.0, count=5)
    found = await instances(evaluator, task, "early=first")
    assert found == [InstanceResult(1.0, "ok", 0.3, AGAIN)] * 5
    assert sandbox.calls == [(False, 20.0), (True, 60.0)] * 5
    evaluation = await evaluator.evaluate(PROGRAM.format("early=first"), task, "search")
    assert (evaluation.score, evaluation.status, evaluation.detail) == (1.0, "ok", "")


async def test_a_second_try_that_fails_in_another_way_says_how(fake, tmp_path: Path) -> None:
    task = small_task(tmp_path / "small", cpu=2.0, wall=20.0)
    [found] = await instances(fake[2], task, "early=first then=raise")
    assert (found.status, found.detail) == ("error", f"it raised; {AGAIN}")


@pytest.mark.parametrize(("cpu", "tries"), [("0.01", 1), ("0.31", GIVE_UP_AFTER), ("1.9", 0)])
async def test_second_tries_are_few(fake, tmp_path: Path, cpu: str, tries: int) -> None:
    """One for a program that waits, some for one that works; none if its CPU time was over."""
    _, pool, evaluator = fake
    task = small_task(tmp_path / "small", cpu=2.0, wall=20.0, count=8)
    found = await instances(evaluator, task, f"early=always cpu={cpu}")
    assert {each.status for each in found} == {"timeout"}
    assert pool.times_alone == tries
    words = f"stopped by the clock after {float(cpu):.2f} of 2.0 CPU seconds"
    assert found[0].detail == words + (", also alone" if tries else "")
    assert found[2].detail == words + (", also alone" if tries == GIVE_UP_AFTER else "")


async def test_a_tight_clock_is_not_tight_alone(fake, tmp_path: Path) -> None:
    sandbox, _, evaluator = fake
    await instances(evaluator, small_task(tmp_path / "small", cpu=2.0, wall=2.0), "early=first")
    assert sandbox.calls == [(False, 2.0), (True, 60.0)]


async def test_a_top_level_that_waits_is_tried_alone_once(fake, tmp_path: Path) -> None:
    _, pool, evaluator = fake
    task = small_task(tmp_path / "small", cpu=2.0, wall=20.0, count=4)
    found = await instances(evaluator, task, "load=sleep")
    words = "at its top level: stopped by the clock after 0.01 of 5.0 CPU seconds, also alone"
    assert (found[0].status, found[0].detail) == ("timeout", words)
    assert pool.times_alone == 1


async def test_who_was_refused_while_it_waited_is_not_run_again(fake, tmp_path: Path) -> None:
    class Strict(Guard):
        def admit(self, program_id: str) -> None:
            if sandbox.calls:
                raise Quarantined

    sandbox, pool, _ = fake
    task = small_task(tmp_path / "small", cpu=2.0, wall=20.0)
    evaluator = Evaluator(pool, b"secret", guard=Strict())
    evaluation = await evaluator.evaluate(PROGRAM.format("early=first"), task, "search")
    assert evaluation.status == "quarantined"
    assert sandbox.calls == [(False, 20.0)]


async def test_several_that_want_to_be_alone_take_turns(fake, tmp_path: Path) -> None:
    """More programs than guests; `FakeGuest` checks that nobody works beside a second try."""
    sandbox, pool, evaluator = fake
    task = small_task(tmp_path / "small", cpu=2.0, wall=20.0, count=3)
    kinds = ["early=first", "early=never", "early=always cpu=0.01"]
    async with asyncio.timeout(60):
        found = await asyncio.gather(
            *(instances(evaluator, task, f"{kinds[i % 3]} number={i}") for i in range(9))
        )
    statuses = [each[0].status for each in found]
    assert statuses == ["ok", "ok", "timeout"] * 3
    assert pool.times_alone == 3 * 3 + 3 * 1
    assert (sandbox.at_work, sandbox.alone) == (0, False)


# --- real programs


@pytest_asyncio.fixture
async def real(backend_name: str) -> AsyncIterator[tuple[WatchedPool, Evaluator]]:
    pool = WatchedPool(await open_sandbox(backend_name), evaluations=2)
    yield pool, Evaluator(pool, b"secret")
    await pool.aclose()


@pytest.fixture
def busy_machine() -> Iterator[None]:
    """Four busy loops a processor, each in a session of its own: schedulers may share by these."""
    words = [sys.executable, "-c", "while True: pass"]
    loops = [
        subprocess.Popen(words, start_new_session=True) for _ in range(4 * (os.cpu_count() or 1))
    ]
    yield
    for loop in loops:
        loop.kill()
        loop.wait()


def doing(body: str) -> str:
    return f"import time\ndef algorithm(x):\n    {body}\n    return x\n"


@pytest.mark.slow
async def test_a_busy_machine_fails_no_good_program(real, busy_machine, tmp_path: Path) -> None:
    _, evaluator = real
    task = small_task(tmp_path / "small", cpu=1.0, wall=1.0)
    source = doing("while time.process_time() < end: pass").replace(
        "    while", "    end = time.process_time() + 0.7\n    while"
    )
    evaluation = await evaluator.evaluate(source, task, "search")
    assert (evaluation.status, evaluation.score) == ("ok", 1.0), evaluation
    assert {each.detail for each in evaluation.instances} <= {"", AGAIN}


@pytest.mark.slow
async def test_a_program_that_sleeps_ends(real, tmp_path: Path) -> None:
    pool, evaluator = real
    task = small_task(tmp_path / "small", cpu=0.1, wall=0.2, count=3)
    evaluation = await evaluator.evaluate(doing("time.sleep(600)"), task, "search")
    assert [each.status for each in evaluation.instances] == ["timeout"] * 3
    assert evaluation.detail.startswith("stopped by the clock after 0.0")
    assert evaluation.detail.endswith(" of 0.1 CPU seconds, also alone (3 of 3 instances)")
    assert pool.times_alone == 1


async def test_a_program_that_burns_its_cpu_time_gets_no_second_try(real, tmp_path: Path) -> None:
    pool, evaluator = real
    task = small_task(tmp_path / "small", cpu=0.2, wall=300.0)
    evaluation = await evaluator.evaluate(doing("while True: pass"), task, "search")
    assert evaluation.status == "timeout"
    assert "CPU time" in evaluation.detail
    assert pool.times_alone == 0
