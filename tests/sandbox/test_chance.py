"""The same job twice meets the same chance and the same clock; another seed meets other numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stop.sandbox import GuestLimits, Job
from stop.sandbox.protocol import Answer, Guest, Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")

DRAWS = {
    "os.urandom": "os.urandom(8).hex() + os.urandom(8).hex()",
    "os.getrandom": "os.getrandom(8).hex()",
    "random": "random.random()",
    "random.seed()": "(random.seed(), random.random())[1]",
    "random.Random()": "random.Random().random()",
    "random.SystemRandom": "random.SystemRandom().random()",
    "secrets": "secrets.token_hex(8) + str(secrets.randbelow(1 << 60))",
    "uuid4": "str(uuid.uuid4())",
    "tempfile": "next(tempfile._RandomNameSequence())",
    "numpy.random": "float(numpy.random.rand())",
    "numpy.random.seed()": "(numpy.random.seed(), float(numpy.random.rand()))[1]",
    "RandomState()": "float(numpy.random.RandomState().rand())",
    "default_rng()": "float(numpy.random.default_rng().random())",
    "SeedSequence()": "str(numpy.random.SeedSequence().entropy)",
    "fork": "in_child(lambda: os.urandom(8).hex() + str(random.random()))",
}
HEAD = """
import datetime, os, random, secrets, tempfile, time, uuid
import numpy

def in_child(work):
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(w, work().encode())
        os._exit(0)
    os.waitpid(pid, 0)
    text = os.read(r, 1000).decode()
    os.close(r)
    os.close(w)
    return text
"""


async def value_of(guest: Guest, body: str, seed: int = 0) -> object:
    return (await answer_of(guest, body, seed)).value


async def answer_of(guest: Guest, body: str, seed: int = 0) -> Answer:
    source = f"{HEAD}\ndef algorithm():\n{body}\n"
    try:
        loaded = await guest.start(Job(source, "algorithm", random_seed=seed))
        assert loaded.status == "ok", loaded.detail
        answer = await guest.call((), cpu_seconds=5.0, wall_seconds=20.0)
        assert answer.status == "ok", answer.detail
        return replace(answer, wall_seconds=loaded.wall_seconds + answer.wall_seconds)
    finally:
        await guest.end()


@pytest.mark.parametrize("name", DRAWS)
async def test_chance_comes_from_the_seed_of_the_job(warm: Guest, name: str) -> None:
    body = f"    return [{DRAWS[name]}, {DRAWS[name]}]"
    first = await value_of(warm, body, seed=7)
    assert await value_of(warm, body, seed=7) == first
    other = await value_of(warm, body, seed=8)
    assert isinstance(first, list) and isinstance(other, list)
    assert not set(first) & set(other)
    assert first[0] != first[1]


async def test_another_sandbox_meets_the_same(sandbox: Sandbox, warm: Guest) -> None:
    body = f"    return [{', '.join(DRAWS.values())}]"
    own = await sandbox.start(GuestLimits())
    try:
        assert await value_of(own, body) == await value_of(warm, body)
    finally:
        await own.aclose()


async def test_neither_child_repeats_its_parent_or_its_sister(warm: Guest) -> None:
    body = (
        "    work = lambda: os.urandom(8).hex() + str(random.random())\n"
        "    return [in_child(work), in_child(work), work(),\n"
        "            in_child(lambda: in_child(work)), in_child(lambda: in_child(work))]"
    )
    values = await value_of(warm, body)
    assert isinstance(values, list)
    assert len(set(values)) == 5
    assert await value_of(warm, body) == values


async def test_threads_draw_different_numbers(warm: Guest) -> None:
    body = (
        "    from concurrent.futures import ThreadPoolExecutor\n"
        "    with ThreadPoolExecutor(8) as pool:\n"
        "        return sorted(pool.map(lambda _: os.urandom(8).hex(), range(2000)))"
    )
    values = await value_of(warm, body)
    assert isinstance(values, list)
    assert len(set(values)) == 2000
    assert await value_of(warm, body) == values  # which thread draws what may differ


async def test_the_clock_begins_at_the_same_moment_and_goes_on(warm: Guest) -> None:
    body = (
        "    utc, start = datetime.timezone.utc, datetime.datetime(2024, 1, 1)\n"
        "    since = [time.time() - 1704067200, time.monotonic() - 1000,\n"
        "             time.perf_counter() - 1000, time.time_ns() / 10**9 - 1704067200,\n"
        "             time.monotonic_ns() / 10**9 - 1000, time.perf_counter_ns() / 10**9 - 1000,\n"
        "             time.clock_gettime(0) - 1704067200,\n"
        "             time.clock_gettime(time.CLOCK_MONOTONIC) - 1000,\n"
        "             (datetime.datetime.now() - start).total_seconds(),\n"
        "             (datetime.datetime.utcnow() - start).total_seconds(),\n"
        "             (datetime.datetime.now(utc) - start.replace(tzinfo=utc)).total_seconds(),\n"
        "             (datetime.datetime.today() - start).total_seconds()]\n"
        "    dates = [str(datetime.date.today()), time.strftime('%Y-%m-%d', time.gmtime()),\n"
        "             time.strftime('%Y')]\n"
        "    wall, up = time.time(), time.perf_counter()\n"
        "    time.sleep(0.2)\n"
        "    return since, dates, time.time() - wall, time.perf_counter() - up"
    )
    for seed in (1, 2):
        answer = await answer_of(warm, body, seed=seed)
        since, dates, wall, up = answer.value
        assert len(since) == 12
        assert all(0 <= seconds <= answer.wall_seconds + 1e-5 for seconds in since), answer
        assert dates == ["2024-01-01", "2024-01-01", "2024"]
        assert 0.19 < wall <= answer.wall_seconds
        assert 0.19 < up <= answer.wall_seconds


async def test_an_honest_program_does_not_notice(warm: Guest) -> None:
    """Signatures, errors and types are Python's own."""
    body = (
        "    import inspect, pickle, threading\n"
        "    class Timer:\n"
        "        clock, draw = time.perf_counter, os.urandom\n"
        "        def run(self): return self.clock() <= self.clock() and len(self.draw(3)) == 3\n"
        "    def error(call):\n"
        "        try: call()\n"
        "        except Exception as e: return type(e).__name__\n"
        "    class Mine(random.Random):\n"
        "        def random(self): return 0.5\n"
        "    class When(datetime.datetime): pass\n"
        "    a, b = random.Random(5), random.Random()\n"
        "    b.seed(5)\n"
        "    state = random.getstate(); x = random.random(); random.setstate(state)\n"
        "    return [Timer().run(), type(os.urandom(0)) is bytes, len(os.urandom(100000)),\n"
        "            error(lambda: os.urandom(-1)), error(lambda: os.urandom('x')),\n"
        "            str(inspect.signature(random.seed)), a.random() == b.random(),\n"
        "            random.random() == x, Mine().random(), type(When.now()) is When,\n"
        "            type(datetime.datetime.now()) is datetime.datetime,\n"
        "            time.time() - 1e-5 <= datetime.datetime.now().timestamp()\n"
        "                <= time.time() + 1e-5,\n"
        "            error(lambda: datetime.datetime.now('x')),\n"
        "            error(lambda: time.localtime('x')), time.localtime(0)[0],\n"
        "            time.get_clock_info('monotonic').monotonic,\n"
        "            pickle.loads(pickle.dumps(random.Random(3))).random()\n"
        "                == random.Random(3).random(),\n"
        "            threading.Event().wait(0.01), time.thread_time() < 60]"
    )
    assert await value_of(warm, body) == [
        True, True, 100000, "ValueError", "TypeError", "(a=None, version=2)", True, True, 0.5,
        True, True, True, "TypeError", "TypeError", 1970, True, True, False, True,
    ]  # fmt: skip


async def test_a_seed_of_any_kind_still_counts(warm: Guest) -> None:
    body = (
        "    out = []\n"
        "    for seed in (0, -3, 1.5, 'text', b'bytes', 2**70):\n"
        "        random.seed(seed)\n"
        "        out.append(random.random())\n"
        "    return out"
    )
    import random

    wanted = []
    for seed in (0, -3, 1.5, "text", b"bytes", 2**70):
        wanted.append(random.Random(seed).random())
    assert await value_of(warm, body) == wanted


async def test_no_sign_is_given_of_it(warm: Guest) -> None:
    """What stands in for the kernel's chance must not look like an attempt."""
    await value_of(warm, f"    return [{', '.join(DRAWS.values())}]")
    assert [sign for sign in warm.signs if sign.kind != "process"] == []
