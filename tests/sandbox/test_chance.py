"""The same job twice meets the same chance and the same clock; another seed meets other numbers."""

from __future__ import annotations

import pytest

from stop.sandbox import GuestLimits, Job
from stop.sandbox.protocol import Guest, Sandbox

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
    source = f"{HEAD}\ndef algorithm():\n{body}\n"
    try:
        loaded = await guest.start(Job(source, "algorithm", random_seed=seed))
        assert loaded.status == "ok", loaded.detail
        answer = await guest.call((), cpu_seconds=5.0, wall_seconds=20.0)
        assert answer.status == "ok", answer.detail
        return answer.value
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
        "    first = [int(time.time()), int(time.monotonic()), int(time.perf_counter()),\n"
        "             time.time_ns() // 10**9, time.monotonic_ns() // 10**9,\n"
        "             time.perf_counter_ns() // 10**9, int(time.clock_gettime(0)),\n"
        "             int(time.clock_gettime(time.CLOCK_MONOTONIC)),\n"
        "             datetime.datetime.now().isoformat()[:19],\n"
        "             datetime.datetime.utcnow().isoformat()[:19],\n"
        "             datetime.datetime.now(datetime.timezone.utc).isoformat()[:19],\n"
        "             datetime.datetime.today().isoformat()[:19], str(datetime.date.today()),\n"
        "             time.strftime('%Y-%m-%d', time.gmtime()), time.strftime('%Y')]\n"
        "    wall, up = time.time(), time.perf_counter()\n"
        "    time.sleep(0.2)\n"
        "    return first, time.time() - wall, time.perf_counter() - up"
    )
    values = [await value_of(warm, body, seed=seed) for seed in (1, 2)]
    (first, wall, up), (again, *_) = values  # type: ignore[misc]
    assert first == again
    assert first[:2] == [1704067200, 1000]
    assert all(str(each).startswith(("2024", "1704", "1000")) for each in first)
    assert 0.19 < wall < 2
    assert 0.19 < up < 2


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
        "            abs(datetime.datetime.now().timestamp() - time.time()) < 1,\n"
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
