"""Chance and clocks in a guest: entropy from the job's seed, and one moment where all jobs begin.

A program that asks for entropy (`random.Random()`, `numpy.random.default_rng()`, `os.urandom`,
`secrets`, `uuid4`) or takes a seed from the clock meets the same numbers when its job is run
again. Nothing here is secret, and nothing relies on it: a program that wants the kernel's own
random numbers or clock finds them. The relay, which measures, does not use this module.

Call `install` once in the guest's process, then `begin` for each job.
"""

from __future__ import annotations

import ctypes
import datetime
import gc
import hashlib
import itertools
import operator
import os
import random
import time
from time import struct_time
from typing import Any, Self

import numpy

MOMENT = 1_704_067_200 * 10**9  # 2024-01-01 00:00 UTC, in nanoseconds
UPTIME = 1000 * 10**9  # what `monotonic` and `perf_counter` begin with

_seed_random = random.Random.seed
_time, _time_ns = time.time, time.time_ns
_monotonic, _monotonic_ns = time.monotonic, time.monotonic_ns
_gettime, _gettime_ns = time.clock_gettime, time.clock_gettime_ns
_gmtime, _localtime, _ctime = time.gmtime, time.localtime, time.ctime
_asctime, _strftime = time.asctime, time.strftime


class _Entropy:
    """A stream of bytes instead of the kernel's, of its own in each process."""

    def __init__(self) -> None:
        self._forks = 0
        self.restart(b"")

    def restart(self, key: bytes) -> None:
        self._key = hashlib.sha256(key).digest()
        self._count = itertools.count()  # its `next` is one step for all threads

    def urandom(self, size: int) -> bytes:
        size = operator.index(size)
        if size < 0:
            raise ValueError("negative argument not allowed")
        block = self._key + next(self._count).to_bytes(8, "big")
        return hashlib.shake_256(block).digest(size)

    def getrandom(self, size: int, flags: int = 0) -> bytes:
        return self.urandom(size)

    def before_fork(self) -> None:
        self._forks += 1

    def after_fork(self) -> None:
        """Goes on, in a child, with numbers that neither the parent nor another child has."""
        self.restart(self._key + self._forks.to_bytes(8, "big"))
        random._inst.seed()  # as the module itself has just done, from the kernel


class _Clock:
    """The functions of `time`, counted from the beginning of the job, at true speed.

    Bound methods, because as an attribute of a program's class they behave as builtins do.
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._date_ns = MOMENT - _time_ns()
        self._up_ns = UPTIME - _monotonic_ns()
        self._date, self._up = self._date_ns / 1e9, self._up_ns / 1e9

    def time(self) -> float:
        return _time() + self._date

    def time_ns(self) -> int:
        return _time_ns() + self._date_ns

    def monotonic(self) -> float:
        return _monotonic() + self._up

    def monotonic_ns(self) -> int:
        return _monotonic_ns() + self._up_ns

    perf_counter, perf_counter_ns = monotonic, monotonic_ns  # the same clock on Linux

    def clock_gettime(self, clk_id: int) -> float:
        return _gettime(clk_id) + self._shift(clk_id) / 1e9

    def clock_gettime_ns(self, clk_id: int) -> int:
        return _gettime_ns(clk_id) + self._shift(clk_id)

    def _shift(self, clk_id: int) -> int:
        if clk_id in (0, 5, 11):  # CLOCK_REALTIME, _COARSE, CLOCK_TAI
            return self._date_ns
        return self._up_ns if clk_id in (1, 4, 6, 7) else 0  # the monotonic ones; not CPU time

    def gmtime(self, seconds: float | None = None) -> struct_time:
        return _gmtime(self.time() if seconds is None else seconds)

    def localtime(self, seconds: float | None = None) -> struct_time:
        return _localtime(self.time() if seconds is None else seconds)

    def ctime(self, seconds: float | None = None) -> str:
        return _ctime(self.time() if seconds is None else seconds)

    def asctime(self, *parts: Any) -> str:
        return _asctime(*(parts or (self.localtime(),)))

    def strftime(self, format: str, *parts: Any) -> str:  # noqa: A002 - its name in `time`
        return _strftime(format, *(parts or (self.localtime(),)))


class _Now(datetime.datetime):
    """Class methods for `datetime.datetime`, whose `today` uses `time.time` anyway."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Self:
        return cls.fromtimestamp(_clock.time(), tz)

    @classmethod
    def utcnow(cls) -> Self:
        return cls.fromtimestamp(_clock.time(), datetime.UTC).replace(tzinfo=None)


_entropy = _Entropy()
_clock = _Clock()


def _seed(self: random.Random, a: Any = None, version: int = 2) -> None:
    if a is None:
        a = int.from_bytes(_entropy.urandom(32), "big")
    _seed_random(self, a, version)


_seed.__name__, _seed.__qualname__, _seed.__doc__ = "seed", "Random.seed", _seed_random.__doc__
for _function in (_seed, *vars(_Entropy).values(), *vars(_Clock).values(), *vars(_Now).values()):
    getattr(_function, "__annotations__", {}).clear()  # programs see signatures as Python's


def install() -> None:
    """Replaces Python's own functions by those here. Only for a guest's process."""
    os.urandom = _entropy.urandom
    random._urandom = _entropy.urandom  # type: ignore[attr-defined]  # for `secrets`, thus numpy
    os.getrandom = _entropy.getrandom
    random.Random.seed = _seed  # type: ignore[method-assign]
    random.seed = random._inst.seed
    os.register_at_fork(before=_entropy.before_fork, after_in_child=_entropy.after_fork)
    for name in vars(_Clock):
        if hasattr(time, name) and not name.startswith("_"):
            setattr(time, name, getattr(_clock, name))
    (members,) = gc.get_referents(vars(datetime.datetime))  # Python does not let us set them
    members.update(now=vars(_Now)["now"], utcnow=vars(_Now)["utcnow"])
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime.datetime))


def begin(seed: int) -> None:
    """Restarts chance and clocks for a job."""
    _entropy.restart(b"job %d" % seed)
    _clock.restart()
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
