"""Proves, from inside, that the limits of a sandbox hold: `stop sandbox check`.

    probe program ──► Guest.start, call, end ──► answer ──► judged here, on the host

The programs run as any candidate does. Facts come from one program that tries what must not work
(`sandbox/guest/probe.py`); trials (`sandbox/trials.toml`) are programs that misbehave, each
followed by one that must not notice it.
"""

from __future__ import annotations

import os
import resource
import secrets
import tempfile
import tomllib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stop._util.resources import resource_folder
from stop.errors import SandboxError, SandboxUnavailable
from stop.sandbox.guest import guest_text
from stop.sandbox.pool import SandboxPool
from stop.sandbox.protocol import Answer, GuestLimits, Job, JobOutput, Sandbox

_SECRET_VARIABLE = "STOP_SELFCHECK_SECRET"
_LIMITS = GuestLimits()
_PROVEN: set[tuple[str, str]] = set()
"""Names and image digests of the backends that this process has proved."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Whether one limit holds, and what was seen."""

    name: str
    ok: bool
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "ok": self.ok, "detail": self.detail}


def _few_threads(answer: Answer, _output: JobOutput) -> str:
    return f"{answer.value} threads" if answer.value and answer.value > _LIMITS.pids else ""


def _flood_capped(_answer: Answer, output: JobOutput) -> str:
    if output.stdout_bytes < 64 << 20:
        return f"only {output.stdout_bytes} bytes were counted"
    return "" if len(output.stdout) <= 64 << 10 else f"{len(output.stdout)} characters were kept"


def _plain_data(answer: Answer, _output: JobOutput) -> str:
    text, number, pair = answer.value
    exact = type(text) is str and type(number) is int and type(pair) is tuple
    return "" if exact else "an answer kept a type of the guest's"


_JUDGES: dict[str, Callable[[Answer, JobOutput], str]] = {
    "": lambda _answer, _output: "",
    "few threads": _few_threads,
    "flood capped": _flood_capped,
    "plain data": _plain_data,
}


@dataclass(frozen=True, slots=True)
class Trial:
    """A program that misbehaves, and what shows that it was contained.

    Attributes:
        name: the limit that it tries.
        body: of its function.
        verdicts: how it may end.
        judge: name of a function in `_JUDGES` that returns what is wrong with its end, or "".
        sign: the kind of sign that must report it, and must not be laid to the next program.
        look: body of the program that runs next, which must return `found`.
        cpu_seconds, wall_seconds, memory_mb: its limits; those of `look` are the defaults.
    """

    name: str
    body: str
    verdicts: Sequence[str] = ("ok",)
    judge: str = ""
    sign: str = ""
    look: str = "return 7"
    found: Any = 7
    cpu_seconds: float = 5.0
    wall_seconds: float = 10.0
    memory_mb: int = 256


def _plan() -> tuple[list[str], list[Trial]]:
    """Returns the names of the facts, and the trials."""
    plan = tomllib.loads((resource_folder("sandbox") / "trials.toml").read_text("utf-8"))
    return plan["facts"], [Trial(**trial) for trial in plan["trials"]]


async def check_sandbox(sandbox: Sandbox, *, isolation: str = "fork") -> list[CheckResult]:
    """Tries every limit of an open backend. A check that cannot be carried out counts as failed.

    Args:
        sandbox: an open backend.
        isolation: "fork" tries all on one warm sandbox; "container" takes a new one for each
            program.
    """
    before = _peak_bytes()
    pool = SandboxPool(
        sandbox,
        isolation="container" if isolation == "container" else "fork",
        evaluations=1,
        limits=_LIMITS,
    )
    try:
        results = await _facts(pool)
        for trial in _plan()[1]:
            results.append(await _guarded(trial.name, _try(pool, trial)))
    finally:
        await pool.close_guests()
    grown = _peak_bytes() - before  # floods and balloons must not have reached this process
    results.append(CheckResult("host memory bounded", grown < 256 << 20, f"{grown >> 20} MB more"))
    return results


async def prove(sandbox: Sandbox) -> None:
    """Tries the limits from inside, before anything of a model runs; fails closed.

    It takes a second or less, once for each backend and image in this process.

    Raises:
        SandboxUnavailable: a limit does not hold, or could not be tried.
    """
    key = (sandbox.name, sandbox.image_digest)
    if key in _PROVEN:
        return
    pool = SandboxPool(sandbox, evaluations=1, limits=_LIMITS)
    try:
        failed = [result for result in await _facts(pool) if not result.ok]
    finally:
        await pool.close_guests()
    if failed:
        names = ", ".join(f"{result.name} ({result.detail})" for result in failed)
        raise SandboxUnavailable(
            f"the {sandbox.name} sandbox does not hold: {names}"[:600],
            hint="`stop sandbox check` tries every limit; another engine or --sandbox may do",
        )
    _PROVEN.add(key)


async def _guarded(name: str, check: Awaitable[str]) -> CheckResult:
    try:
        problem = await check
    except SandboxError as error:
        problem = f"the sandbox did not survive: {error.message}"
    except Exception as error:  # noqa: BLE001 - recorded: one check must not end the others
        problem = f"could not be checked: {error!r}"
    return CheckResult(name, not problem, problem[:300])


async def _facts(pool: SandboxPool) -> list[CheckResult]:
    """Returns the results of the probe program, one for each name that is expected."""
    names, _ = _plan()
    seen: dict[str, Any] = {}
    done = await _guarded("the probe program", _probe(pool, seen))
    missing = (False, done.detail or "the probe did not report it")
    facts = [(name, *seen.get(name, missing)) for name in names]
    return [CheckResult(name, good is True, str(detail)[:300]) for name, good, detail in facts]


async def _probe(pool: SandboxPool, seen: dict[str, Any]) -> str:
    """Runs `probe.py` with canaries on the host and puts its findings into `seen`."""
    secret = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="stop-canary-") as folder:
        canary = Path(folder) / "canary"
        canary.write_text(secret)
        os.environ[_SECRET_VARIABLE] = secret
        question = {"secret": secret, "canary": str(canary), "tmpfs_mb": _LIMITS.tmpfs_mb}
        try:
            answer, _, _ = await _run(pool, guest_text("probe"), {**question, "pids": 16})
        finally:
            del os.environ[_SECRET_VARIABLE]
        if canary.read_text() != secret:
            return "the canary on the host was changed"
    if answer.status != "ok" or type(answer.value) is not dict:
        return f"{answer.status}: {answer.detail}"
    seen.update(answer.value)
    return ""


async def _try(pool: SandboxPool, trial: Trial) -> str:
    """Returns what is wrong with a trial, or ""."""
    answer, output, kinds = await _run(pool, _program(trial.body), 0, trial)
    if answer.status not in trial.verdicts:
        return f"verdict {answer.status!r}, wanted {trial.verdicts}: {answer.detail}"
    if problem := _JUDGES[trial.judge](answer, output):
        return problem
    if trial.sign and trial.sign not in kinds:
        return f"no sign of the kind {trial.sign!r}, only {kinds}"
    after, _, left = await _run(pool, _program(trial.look), 0)
    if after.value != trial.found:
        return f"the next program finds {after.value!r}: {after.status} {after.detail}"
    return f"signs of one program are laid to the next: {left}" if trial.sign and left else ""


def _program(body: str) -> str:
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    return f"def algorithm(question):\n{lines}"


async def _run(
    pool: SandboxPool, source: str, question: Any, limits: Trial | None = None
) -> tuple[Answer, JobOutput, list[str]]:
    """Returns the last answer of a program, its output, and the kinds of its signs."""
    limits = limits or Trial("", "")
    async with pool.evaluation_guest() as guest:
        answer = await guest.start(Job(source, "algorithm", memory_mb=limits.memory_mb))
        if answer.status == "ok":
            answer = await guest.call(
                (question,), cpu_seconds=limits.cpu_seconds, wall_seconds=limits.wall_seconds
            )
        return answer, await guest.end(), sorted({sign.kind for sign in guest.signs})


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
