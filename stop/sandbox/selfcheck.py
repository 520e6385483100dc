"""Proof, from inside, that the limits of a sandbox hold: `stop sandbox check`.

    probe program ──► Guest.start, call, end ──► answer ──► judged here, on the host

The programs run as any candidate does. `_FACTS` come from one program that tries what must not
work (`sandbox/guest/probe.py`); `_TRIALS` are programs that misbehave, each judged by the verdict;
`_PAIRS` leave something behind and look for it in the next guest.
"""

from __future__ import annotations

import os
import resource
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stop._util.resources import resource_folder
from stop.errors import SandboxError, SandboxUnavailable
from stop.sandbox.protocol import Answer, Guest, GuestLimits, Job, JobOutput, Sandbox

SECRET_VARIABLE = "STOP_SELFCHECK_SECRET"
_LIMITS = GuestLimits()


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One limit: whether it holds, and what was seen."""

    name: str
    ok: bool
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "ok": self.ok, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class _Trial:
    """A program that misbehaves, and the verdicts that show it was contained."""

    name: str
    body: str
    verdicts: tuple[str, ...]
    judge: Callable[[Answer, JobOutput], str] = lambda _answer, _output: ""
    cpu_seconds: float = 5.0
    wall_seconds: float = 10.0
    memory_mb: int = 256


@dataclass(frozen=True, slots=True)
class _Lure:
    """A program that attempts something, and the kind of sign that must tell of it."""

    name: str
    body: str
    kind: str


@dataclass(frozen=True, slots=True)
class _Pair:
    """A program that leaves something behind, and one that must not find it."""

    name: str
    leave: str
    look: str
    expected: Any


_FACTS = (
    "no network",
    "socket families",
    "read only root",
    "no capabilities",
    "no new privileges",
    "seccomp filter",
    "system calls denied",
    "no new namespaces",
    "scratch is noexec",
    "scratch is limited",
    "file size limit",
    "host environment invisible",
    "host files invisible",
    "host processes invisible",
    "supervisor closed",
    "kernel knobs closed",
    "no setuid programs",
    "no stray descriptors",
)


def _flood_capped(_answer: Answer, output: JobOutput) -> str:
    if output.stdout_bytes < 64 << 20:
        return f"only {output.stdout_bytes} bytes were counted"
    return "" if len(output.stdout) <= 64 << 10 else f"{len(output.stdout)} characters were kept"


def _plain(answer: Answer, _output: JobOutput) -> str:
    text, number, pair = answer.value
    exact = type(text) is str and type(number) is int and type(pair) is tuple
    return "" if exact else "an answer kept a type of the guest's"


_FORK_BOMB = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
_THREAD_BOMB = """
import threading, time
made = 0
try:
    for made in range(5000):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
except RuntimeError:
    pass
return made
"""
_BUSY_IN_C = """
import signal
for number in (signal.SIGTERM, signal.SIGXCPU, signal.SIGALRM):
    signal.signal(number, signal.SIG_IGN)
return 3 ** (3 ** 19) % 7
"""
_BALLOON = """
import numpy
kept = []
while True:
    kept.append(numpy.ones(1 << 20))
"""
_FLOOD = """
import os
block = b'x' * (1 << 20)
for _ in range(96):
    os.write(1, block)
"""
_SUBCLASSES = """
class Text(str):
    pass
class Number(int):
    def __eq__(self, other):
        return True
return (Text('a'), Number(3), (1, 2))
"""
_DAEMON = """
import ctypes, os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(15, b'stop-daemon', 0, 0, 0)
        time.sleep(600)
    os._exit(0)
os.wait()
"""
_LOOK_FOR_DAEMON = """
import os
names = []
for pid in os.listdir('/proc'):
    if pid.isdigit():
        names.append(open(f'/proc/{pid}/comm').read().strip())
return names.count('stop-daemon')
"""
_PTRACE = """
import ctypes
ctypes.CDLL(None).ptrace(16, 1, 0, 0)
"""
_POISON = """
import builtins, os, random, numpy
numpy.sum = lambda *a: 666
random.random = lambda: 0.5
builtins.sum = lambda *a: 666
os.environ['USE_SANDBOX'] = '0'
"""

_TRIALS = (
    _Trial("fork bomb contained", _FORK_BOMB, ("error", "timeout", "oom"), wall_seconds=3.0),
    _Trial(
        "thread bomb contained",
        _THREAD_BOMB,
        ("ok", "error", "timeout", "oom"),
        lambda a, _: f"{a.value} threads" if a.value and a.value > _LIMITS.pids else "",
    ),
    _Trial("memory limit", _BALLOON, ("oom",)),
    _Trial("CPU limit", _BUSY_IN_C, ("timeout",), cpu_seconds=0.3),
    _Trial("wall clock limit", "import time\ntime.sleep(60)", ("timeout",), wall_seconds=0.3),
    _Trial("output flood capped", _FLOOD, ("ok",), _flood_capped),
    _Trial("answers are plain data", _SUBCLASSES, ("ok",), _plain),
)
_LURES = (
    _Lure("refused system calls are seen", _PTRACE, "system_call"),
    _Lure("network attempts are seen", "import socket\nsocket.socket()", "network"),
    _Lure("canaries are seen", "open('/run/secrets/openai_api_key').read()", "canary"),
    _Lure("the hook tells", "import os\nos.environ['USE_SANDBOX'] = '0'", "environment"),
)
_PAIRS = (
    _Pair(
        "scratch wiped",
        "import os\nfor place in ('/tmp', '/dev/shm'):\n    os.makedirs(place + '/a/b')\n"
        "    open(place + '/a/b/mark', 'w').close()\n    os.chmod(place + '/a', 0o1777)",
        "import os\nreturn os.listdir('/tmp') + os.listdir('/dev/shm')",
        [],
    ),
    _Pair("daemons are gone", _DAEMON, _LOOK_FOR_DAEMON, 0),
    _Pair(
        "next guest unaffected",
        _POISON,
        "import json, os, random, numpy\nreturn [int(numpy.sum([1, 2])), sum([1, 2]), "
        "random.random() != 0.5, json.dumps([1]), os.environ.get('USE_SANDBOX')]",
        [3, 3, True, "[1]", None],
    ),
)


async def check_sandbox(sandbox: Sandbox, *, isolation: str = "fork") -> list[CheckResult]:
    """Try every limit of an open backend. A check that cannot be carried out counts as failed.

    Args:
        sandbox: an open backend.
        isolation: "fork" tries all on one warm sandbox; "container" takes a new one for each.
    """
    results: list[CheckResult] = []
    before = _peak_bytes()
    lender = _Lender(sandbox, fresh=isolation == "container")
    try:
        results += await _facts(lender)
        for trial in _TRIALS:
            results.append(await _guarded(trial.name, _try, lender, trial))
        for lure in _LURES:
            results.append(await _guarded(lure.name, _lure, lender, lure))
        for pair in _PAIRS:
            results.append(await _guarded(pair.name, _compare, lender, pair))
    finally:
        await lender.aclose()
    grown = _peak_bytes() - before  # floods and balloons must not have come up to here
    results.append(CheckResult("host memory bounded", grown < 256 << 20, f"{grown >> 20} MB more"))
    return results


async def prove(sandbox: Sandbox) -> None:
    """Try the limits from inside, before anything of a model runs; fail closed.

    A second or less. Once for each backend and image in this process.

    Raises:
        SandboxUnavailable: a limit does not hold, or could not be tried.
    """
    key = (sandbox.name, sandbox.image_digest)
    if key in _PROVEN:
        return
    lender = _Lender(sandbox, fresh=False)
    try:
        failed = [result for result in await _facts(lender) if not result.ok]
    finally:
        await lender.aclose()
    if failed:
        names = ", ".join(f"{result.name} ({result.detail})" for result in failed)
        raise SandboxUnavailable(
            f"the {sandbox.name} sandbox does not hold: {names}"[:600],
            hint="`stop sandbox check` tries every limit; another engine or --sandbox may do",
        )
    _PROVEN.add(key)


_PROVEN: set[tuple[str, str]] = set()


class _Lender:
    """One guest for all checks, replaced when it broke; or a new one for each."""

    def __init__(self, sandbox: Sandbox, *, fresh: bool) -> None:
        self._sandbox = sandbox
        self._fresh = fresh
        self._guest: Guest | None = None

    @asynccontextmanager
    async def guest(self) -> AsyncIterator[Guest]:
        guest = self._guest or await self._sandbox.start(_LIMITS)
        self._guest = None
        try:
            yield guest
        except BaseException:
            await guest.aclose()
            raise
        if self._fresh:
            await guest.aclose()
        else:
            self._guest = guest

    async def aclose(self) -> None:
        if self._guest is not None:
            await self._guest.aclose()


async def _guarded(name: str, check: Any, lender: _Lender, case: Any) -> CheckResult:
    try:
        problem: str = await check(lender, case)
    except SandboxError as error:
        problem = f"the sandbox did not survive: {error.message}"
    except Exception as error:  # noqa: BLE001 - recorded: one check must not end the others
        problem = f"could not be checked: {error!r}"
    return CheckResult(name, not problem, problem[:300])


async def _facts(lender: _Lender) -> list[CheckResult]:
    """The results of the probe program, one for each name that is expected."""
    seen: dict[str, Any] = {}
    done = await _guarded("the probe program", _probe, lender, seen)
    if not done.ok:
        return [CheckResult(name, False, done.detail) for name in _FACTS]
    results = []
    for name in _FACTS:
        good, detail = seen.get(name, (False, "the probe did not report it"))
        results.append(CheckResult(name, good is True, str(detail)[:300]))
    return results


async def _probe(lender: _Lender, seen: dict[str, Any]) -> str:
    """Run `probe.py` with canaries on the host; puts its findings into `seen`."""
    secret = secrets.token_hex(16)
    source = (resource_folder("sandbox") / "guest" / "probe.py").read_text("utf-8")
    with tempfile.TemporaryDirectory(prefix="stop-canary-") as folder:
        canary = Path(folder) / "canary"
        canary.write_text(secret)
        os.environ[SECRET_VARIABLE] = secret
        try:
            question = {
                "secret": secret,
                "canary": str(canary),
                "tmpfs_mb": _LIMITS.tmpfs_mb,
                "pids": 16,
            }
            answer, _ = await _run(lender, source, (question,))
        finally:
            del os.environ[SECRET_VARIABLE]
        if canary.read_text() != secret:
            return "the canary on the host was changed"
    if answer.status != "ok" or type(answer.value) is not dict:
        return f"{answer.status}: {answer.detail}"
    seen.update(answer.value)
    return ""


async def _try(lender: _Lender, trial: _Trial) -> str:
    answer, output = await _run(lender, _program(trial.body), (0,), trial)
    if answer.status not in trial.verdicts:
        return f"verdict {answer.status!r}, wanted {trial.verdicts}: {answer.detail}"
    if problem := trial.judge(answer, output):
        return problem
    after, _ = await _run(lender, _program("return 7"), (0,))
    return "" if after.value == 7 else f"the next guest fails: {after.status} {after.detail}"


async def _lure(lender: _Lender, lure: _Lure) -> str:
    async with lender.guest() as guest:
        await guest.start(Job(_program(lure.body), "algorithm"))
        await guest.call((0,), cpu_seconds=2, wall_seconds=10)
        await guest.end()
        kinds = sorted({sign.kind for sign in guest.signs})
        await guest.start(Job(_program("return 7"), "algorithm"))
        await guest.end()
        left = [sign.kind for sign in guest.signs]
    if lure.kind not in kinds:
        return f"no sign of the kind {lure.kind!r}, only {kinds}"
    return f"signs of one program told of the next: {left}" if left else ""


async def _compare(lender: _Lender, pair: _Pair) -> str:
    left, _ = await _run(lender, _program(pair.leave), (0,))
    if left.status != "ok":
        return f"the first program fails: {left.status} {left.detail}"
    found, _ = await _run(lender, _program(pair.look), (0,))
    return "" if found.value == pair.expected else f"found {found.status} {found.value!r}"


def _program(body: str) -> str:
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    return f"def algorithm(question):\n{lines}"


async def _run(
    lender: _Lender, source: str, args: tuple[Any, ...], trial: _Trial | None = None
) -> tuple[Answer, JobOutput]:
    limits = trial or _Trial("", "", ())
    async with lender.guest() as guest:
        answer = await guest.start(Job(source, "algorithm", memory_mb=limits.memory_mb))
        if answer.status == "ok":
            answer = await guest.call(
                args, cpu_seconds=limits.cpu_seconds, wall_seconds=limits.wall_seconds
            )
        return answer, await guest.end()


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
