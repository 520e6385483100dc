"""What every sandbox backend must do, as tests to inherit.

    from stop.testing.sandbox_contract import SandboxContract

    class TestMine(SandboxContract):
        async def make(self):
            return MySandbox(...)       # not yet opened

Each test opens a backend of its own and closes it. Needs pytest and pytest-asyncio.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from stop.errors import SandboxBroken
from stop.sandbox.protocol import Answer, Guest, GuestLimits, Job, RequestHandler, Sandbox
from stop.sandbox.selfcheck import check_sandbox

ECHO = "def algorithm(*args):\n    return args[0] if len(args) == 1 else args\n"
SERVICES: dict[str, dict[str, Any]] = {
    "utility": {"text": "the utility's text", "budget": 5},
    "language_model": {"budget": 4, "max_responses_per_call": 6},
}
_FAILURES = {
    "load-error": ("1 / 0\n", "error"),
    "missing-entry": ("x = 1\n", "error"),
    "error": ("def algorithm(x):\n    return 1 / 0\n", "error"),
    "exit": ("import os\ndef algorithm(x):\n    os._exit(0)\n", "error"),
    "sys-exit": ("import sys\ndef algorithm(x):\n    sys.exit(0)\n", "error"),
    "segfault": ("import ctypes\ndef algorithm(x):\n    ctypes.string_at(0)\n", "error"),
    "timeout-cpu": ("def algorithm(x):\n    while True: pass\n", "timeout"),
    "timeout-wall": ("import time\ndef algorithm(x):\n    time.sleep(600)\n", "timeout"),
    "oom": ("def algorithm(x):\n    return len(bytes(1 << 32))\n", "oom"),
    "invalid-type": ("def algorithm(x):\n    return object()\n", "invalid"),
    "invalid-size": ("def algorithm(x):\n    return 'x' * (8 << 20)\n", "invalid"),
    "invalid-depth": (
        "def algorithm(x):\n    for _ in range(500): x = [x]\n    return x\n",
        "invalid",
    ),
    "invalid-cycle": ("def algorithm(x):\n    x = []\n    x.append(x)\n    return x\n", "invalid"),
}


async def evaluate(
    guest: Guest,
    source: str,
    *args: Any,
    cpu_seconds: float = 2.0,
    wall_seconds: float = 60.0,
    on_request: RequestHandler | None = None,
    **job: Any,
) -> Answer:
    """Start, call once if it loads, end: the last answer."""
    answer = await guest.start(Job(source, "algorithm", **job))
    if answer.status == "ok":
        answer = await guest.call(
            args, cpu_seconds=cpu_seconds, wall_seconds=wall_seconds, on_request=on_request
        )
    await guest.end()
    return answer


class SandboxContract:
    """Inherit, implement `make`, and pytest does the rest."""

    pytestmark = pytest.mark.asyncio

    async def make(self) -> Sandbox:
        """A new backend, not yet opened."""
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def sandbox(self) -> AsyncIterator[Sandbox]:
        backend = await self.make()
        await backend.open()
        try:
            yield backend
        finally:
            await backend.aclose()

    @contextlib.asynccontextmanager
    async def guest(self) -> AsyncIterator[Guest]:
        async with self.sandbox() as backend:
            guest = await backend.start(GuestLimits())
            try:
                yield guest
            finally:
                await guest.aclose()

    async def test_every_limit_holds(self) -> None:
        async with self.sandbox() as backend:
            failed = [r for r in await check_sandbox(backend) if not r.ok]
        assert not failed

    async def test_it_has_a_name_and_a_digest(self) -> None:
        async with self.sandbox() as backend:
            assert backend.name
            assert backend.image_digest

    async def test_one_job_takes_many_calls(self) -> None:
        async with self.guest() as guest:
            counter = "n = 0\ndef algorithm(x):\n    global n\n    n += x\n    return n\n"
            assert (await guest.start(Job(counter, "algorithm"))).status == "ok"
            values = []
            for step in (1, 2, 3):
                answer = await guest.call((step,), cpu_seconds=1, wall_seconds=60)
                values.append(answer.value)
            assert values == [1, 3, 6]
            await guest.end()
            assert (await evaluate(guest, counter, 1)).value == 1

    async def test_a_job_may_end_without_a_call(self) -> None:
        async with self.guest() as guest:
            await guest.start(Job(ECHO, "algorithm"))
            await guest.end()
            assert (await evaluate(guest, ECHO, 5)).value == 5

    async def test_failures_are_values_and_the_guest_serves_on(self) -> None:
        async with self.guest() as guest:
            for name, (source, verdict) in _FAILURES.items():
                # A busy machine must not bring a program to a limit that it is not to meet.
                cpu = 0.3 if name == "timeout-cpu" else 5.0
                wall = 0.5 if name == "timeout-wall" else 60.0
                answer = await evaluate(
                    guest, source, 0, cpu_seconds=cpu, wall_seconds=wall, memory_mb=128
                )
                assert answer.status == verdict, (name, answer)
                assert answer.value is None, name
                assert answer.detail, name
                after = await evaluate(guest, ECHO, name)
                assert after.value == name, (name, after)

    async def test_a_dead_program_says_so_when_it_is_called_again(self) -> None:
        async with self.guest() as guest:
            await guest.start(Job("import os\ndef algorithm(x):\n    os._exit(3)\n", "algorithm"))
            first = await guest.call((0,), cpu_seconds=1, wall_seconds=60)
            second = await guest.call((0,), cpu_seconds=1, wall_seconds=60)
            await guest.end()
            assert not first.alive
            assert second.status == "error"

    async def test_what_a_job_attempted_is_told_also_when_it_dies(self) -> None:
        attempt = (
            "import ctypes, os\ndef algorithm(x):\n    ctypes.CDLL(None).ptrace(16, 1, 0, 0)\n"
            "    os._exit(1)\n"
        )
        async with self.guest() as guest:
            await evaluate(guest, attempt, 0)
            assert "system_call" in {sign.kind for sign in guest.signs}
            await evaluate(guest, ECHO, 0)
            assert not guest.signs

    async def test_values_come_back_as_they_went(self) -> None:
        values: list[Any] = [
            None, True, -(1 << 70), 1.5, float("inf"), "naïve 模型 \x00 \ud800",
            [1, [2, []]], (1, ("a",)), {"a": {1: (2,)}}, {"t": [1]}, {}, (),
        ]  # fmt: skip
        async with self.guest() as guest:
            answer = await evaluate(guest, ECHO, values)
        assert answer.value == values
        assert [type(v) for v in answer.value] == [type(v) for v in values]

    @pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32", "float64", ">f8"])
    async def test_arrays_come_back_as_they_went(self, dtype: str) -> None:
        array = (np.arange(24).reshape(2, 3, 4) % 2).astype(dtype)
        async with self.guest() as guest:
            answer = await evaluate(guest, ECHO, [array, array[:, ::2, 0], array[:0]])
        for got, sent in zip(answer.value, [array, array[:, ::2, 0], array[:0]], strict=True):
            assert got.dtype == sent.dtype.newbyteorder("=")
            assert got.shape == sent.shape
            assert (got == sent).all()

    async def test_large_inputs_arrive_whole(self) -> None:
        array = np.random.default_rng(0).random(2_000_000)
        source = "def algorithm(x, text):\n    return [float(x.sum()), len(text)]\n"
        async with self.guest() as guest:
            answer = await evaluate(guest, source, array, "y" * 5_000_000)
        assert answer.value == [float(array.sum()), 5_000_000]

    async def test_clocks_and_prints_are_the_hosts(self) -> None:
        source = (
            "import sys, time\ntime.time = time.monotonic = time.perf_counter = lambda: 0.0\n"
            "def algorithm(x):\n    print('said'); print('complained', file=sys.stderr)\n"
            "    for _ in range(3_000_000): pass\n    return 1\n"
        )
        async with self.guest() as guest:
            await guest.start(Job(source, "algorithm"))
            answer = await guest.call((0,), cpu_seconds=5, wall_seconds=20)
            output = await guest.end()
        assert (output.stdout, output.stderr) == ("said\n", "complained\n")
        assert 0.005 < answer.cpu_seconds <= output.cpu_seconds + 0.05
        assert answer.wall_seconds > 0.005

    async def test_the_seed_fixes_the_guests_random_numbers(self) -> None:
        source = (
            "import random, numpy\ndef algorithm():\n"
            "    return [random.random(), float(numpy.random.rand())]\n"
        )
        async with self.guest() as guest:
            draws = [(await evaluate(guest, source, random_seed=seed)).value for seed in (1, 1, 2)]
        assert draws[0] == draws[1] != draws[2]

    async def test_guests_run_at_the_same_time(self) -> None:
        """Each waits for a reply that is given when all have asked."""
        source = "def algorithm(x, utility, language_model):\n    return [x, utility('y')]\n"
        all_here = asyncio.Barrier(3)

        async def serve(_service: str, _value: Any) -> Any:
            await all_here.wait()
            return {"score": 1.0, "uses": 1}

        how: dict[str, Any] = {"services": SERVICES, "on_request": serve, "wall_seconds": 60.0}
        async with self.sandbox() as backend:
            guests = await asyncio.gather(*(backend.start(GuestLimits()) for _ in range(3)))
            answers = await asyncio.gather(
                *(evaluate(guest, source, i, **how) for i, guest in enumerate(guests))
            )
            await asyncio.gather(*(guest.aclose() for guest in guests))
        assert [answer.value for answer in answers] == [[0, 1.0], [1, 1.0], [2, 1.0]]

    async def test_requests_are_answered_from_several_threads(self) -> None:
        source = (
            "from concurrent.futures import ThreadPoolExecutor\n"
            "def algorithm(text, utility, language_model):\n"
            "    with ThreadPoolExecutor(8) as pool:\n"
            "        scores = list(pool.map(utility, [str(i) for i in range(24)]))\n"
            "    replies = language_model.batch_prompt('expert', ['a', 'b'])\n"
            "    return [utility.str, scores, replies]\n"
        )

        async def serve(service: str, value: Any) -> Any:
            if service == "language_model":
                return {"responses": value["messages"], "times_used": 1}
            await asyncio.sleep(0.01 * (int(value["program"]) % 3))
            return {"score": float(value["program"]), "uses": 1}

        async with self.guest() as guest:
            answer = await evaluate(guest, source, "x", services=SERVICES, on_request=serve)
        assert answer.value == [
            SERVICES["utility"]["text"],
            [float(i) for i in range(24)],
            ["a", "b"],
        ]

    async def test_an_exception_of_the_host_passes_through(self) -> None:
        class HostTrouble(Exception):
            pass

        async def serve(_service: str, _value: Any) -> Any:
            raise HostTrouble

        source = "def algorithm(utility, language_model):\n    return utility('x')\n"
        async with self.guest() as guest:
            with pytest.raises(HostTrouble):
                await evaluate(guest, source, services=SERVICES, on_request=serve)
            with pytest.raises(SandboxBroken):  # it is in the middle of a call: of no more use
                await evaluate(guest, ECHO, 1)

    async def test_requests_without_services_are_tampering(self) -> None:
        frame = '{"op":"request","id":1,"service":"utility","value":{"d":[]}}'
        source = (
            "import os, struct, time\ndef algorithm(x):\n"
            f"    text = {frame!r}.encode()\n"
            "    os.write(3, struct.pack('!II', len(text), 0) + text)\n    time.sleep(5)\n"
        )
        async with self.guest() as guest:
            answer = await evaluate(guest, source, 0)
            after = await evaluate(guest, ECHO, 1)
        assert answer.status == "invalid"
        assert answer.violation
        assert after.value == 1

    async def test_closing_twice_does_no_harm(self) -> None:
        async with self.sandbox() as backend:
            guest = await backend.start(GuestLimits())
            await guest.aclose()
            await guest.aclose()
            await backend.aclose()
