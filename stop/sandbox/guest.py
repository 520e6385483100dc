"""The host's end of one sandbox: bytes to and from the relay, verdicts out of frames.

Works over any pair of asyncio streams, so every backend shares it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from stop._util.resources import resource_folder
from stop.errors import SandboxBroken
from stop.sandbox import frames, helpers
from stop.sandbox.image import PYTHON
from stop.sandbox.protocol import (
    Answer,
    GuestConfig,
    GuestStatus,
    Job,
    JobOutput,
    RequestHandler,
    Sign,
)

_MODULES = (
    *("guest", "guest.hooks", "guest.chance", "guest.services", "guest.child"),
    *("guest.watch", "guest.sensors", "guest.nursery", "guest.relay", "guest.boot"),
)
"""The package `sandbox/guest`, in the order of its imports."""

_MARGIN_SECONDS = 20.0
"""How much longer than its limits a guest may take before the sandbox counts as broken."""

_MAX_FRAME = 256 << 20
_MAX_SIGNS = 1000
"""Of one job; the relay passes on some of each kind, of which there are few."""
_MAX_REQUESTS = 128
_MAX_REQUEST_BYTES = 64 << 20
"""Requests of one guest that wait for their replies: how many (it has fewer threads), how large."""


def _guest_file(name: str) -> str:
    return (resource_folder("sandbox") / "guest" / f"{name}.py").read_text("utf-8")


@cache
def _modules() -> list[tuple[str, str]]:
    """Names and texts of all modules. Of `stop` itself only what both ends need goes in."""
    texts = [("stop", ""), ("stop.sandbox", "")]
    for name, file in (("stop.sandbox.frames", frames.__file__), ("helpers", helpers.__file__)):
        texts.append((name, Path(file).read_text("utf-8")))
    for name in _MODULES:
        texts.append((name, _guest_file(name.partition(".")[2] or "__init__")))
    return texts


@cache
def command() -> tuple[str, ...]:
    """Returns the words that start the guest's code in a sandbox; it reads `bundle` from stdin."""
    return (PYTHON, "-B", "-s", "-P", "-X", "utf8", "-c", _guest_file("bootstrap"))


def bundle(config: GuestConfig) -> bytes:
    """Returns the first bytes to send: the guest's modules and its configuration."""
    text = json.dumps({"modules": _modules(), "config": asdict(config)}).encode()
    return len(text).to_bytes(4, "big") + text


class Gone(NamedTuple):
    """Why a sandbox ended, as its backend knows it."""

    text: str
    out_of_memory: bool = False


class StreamGuest:
    """A `Guest` over streams. `why_gone` is asked for the cause when the stream ends."""

    def __init__(
        self,
        name: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        why_gone: Callable[[], Awaitable[Gone]],
        stop: Callable[[], Awaitable[None]],
    ) -> None:
        self.name = name
        self._reader = reader
        self._writer = writer
        self._why_gone = why_gone
        self._stop = stop
        self.closed = False
        self.signs: list[Sign] = []
        self._calls = 0
        self._adrift = False  # the wait for an answer was cut off, maybe within a frame

    async def boot(self, config: GuestConfig, seconds: float = 60.0) -> None:
        """Send the code and wait until the relay says that it is ready."""
        self._writer.write(bundle(config))
        header, _ = await self._receive(seconds)
        if header.get("op") != "ready":
            raise SandboxBroken(f"sandbox {self.name} answered {header.get('op')!r} at boot")

    async def start(self, job: Job) -> Answer:
        self.signs = []
        load = {
            "op": "start",
            "cpu": job.load_cpu_seconds,
            "wall": job.load_wall_seconds,
            "job": {
                "source": job.source,
                "entry": job.entry_point,
                "seed": job.random_seed,
                "total_cpu": job.total_cpu_seconds,
                "memory_bytes": job.memory_mb << 20,
                "output_bytes": job.output_bytes,
                "services": job.services,
            },
        }
        await self._send(frames.encode(load))
        return await self._outcome("loaded", job.load_wall_seconds, None)

    async def call(
        self,
        args: tuple[Any, ...],
        *,
        cpu_seconds: float,
        wall_seconds: float,
        on_request: RequestHandler | None = None,
    ) -> Answer:
        node, blobs = frames.pack(args)
        self._calls += 1  # an answer repeats it, so that a late one is not taken for the next
        header = {
            "op": "call",
            "number": self._calls,
            "args": node,
            "cpu": cpu_seconds,
            "wall": wall_seconds,
        }
        await self._send(frames.encode(header, blobs))
        return await self._outcome("answer", wall_seconds, on_request)

    async def end(self) -> JobOutput:
        await self._send(frames.encode({"op": "end"}))
        while True:
            header, _ = await self._receive(_MARGIN_SECONDS)
            if header.get("op") == "ended":
                break
        if not header["clean"]:
            await self.aclose()
            raise SandboxBroken(f"sandbox {self.name} could not be cleaned after its guest")
        return JobOutput(
            header["stdout"],
            header["stderr"],
            header["stdout_bytes"],
            header["stderr_bytes"],
            header["cpu"],
            str(header.get("violation", "")),
        )

    async def aclose(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._writer.close()
        try:
            with contextlib.suppress(OSError, asyncio.TimeoutError):  # it may be dead already
                await asyncio.wait_for(self._writer.wait_closed(), 5)
        finally:  # also when who closes it is cancelled meanwhile, as at a limit of the run
            await self._stop()

    # --- frames

    async def _outcome(
        self, expected: str, wall_seconds: float, on_request: RequestHandler | None
    ) -> Answer:
        """Serve the guest's requests until the answer to the pending question comes.

        An exception of `on_request` is the host's affair: it ends the wait and is raised; the
        guest is then in the middle of a call and must be closed.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wall_seconds + _MARGIN_SECONDS
        waiting: dict[asyncio.Task[None], int] = {}
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    header, blobs = await self._receive(deadline - loop.time())
                    if header.get("op") == expected:
                        for task in waiting:  # threads that the guest did not wait for
                            task.cancel()
                        return _verdict(header, blobs)
                    if header.get("op") == "request":
                        # Checked here, at the end of a frame: what is raised in a task would cut
                        # this loop off within one.
                        request = _request(blobs)
                        size = len(blobs)
                        if on_request is None:
                            raise _Forged("a request of a program that has no services")
                        if (
                            len(waiting) >= _MAX_REQUESTS
                            or sum(waiting.values()) + size > _MAX_REQUEST_BYTES
                        ):
                            raise _Forged("more requests at once than its client can send")
                        task = group.create_task(self._serve(*request, on_request))
                        waiting[task] = size
                        task.add_done_callback(lambda done: waiting.pop(done, None))
                        del request, blobs, task
                        # It begins now: what the handler notes at once is noted, even when the
                        # guest's answer is here already and no task waits for the reply.
                        await asyncio.sleep(0)
        except BaseExceptionGroup as errors:
            first = errors.exceptions[0]
            if isinstance(first, _Forged):
                return Answer("invalid", None, str(first)[:200], alive=False, violation=True)
            self._adrift = True
            raise first from None
        except asyncio.CancelledError:
            self._adrift = True
            raise

    async def _serve(
        self, number: int, service: str, value: Any, on_request: RequestHandler
    ) -> None:
        node, data = frames.pack(await on_request(service, value))
        await self._send(frames.encode({"op": "reply", "id": number, "value": node}, data))

    async def _send(self, data: bytes) -> None:
        if self._adrift:
            raise SandboxBroken(f"sandbox {self.name} was left in the middle of a call")
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            raise await self._gone() from None

    async def _receive(self, seconds: float) -> tuple[dict[str, Any], bytes]:
        """The next frame; signs are put aside on the way."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    prefix = await self._reader.readexactly(frames.PREFIX.size)
                    header_size, blob_size = frames.PREFIX.unpack(prefix)
                    if header_size + blob_size > _MAX_FRAME:
                        raise SandboxBroken(f"sandbox {self.name} sent a frame beyond all limits")
                    data = await self._reader.readexactly(header_size)
                    blobs = await self._reader.readexactly(blob_size)
                    header = frames.decode_header(data)
                    if header.get("op") != "sign":
                        return header, blobs
                    if len(self.signs) < _MAX_SIGNS:
                        sign = Sign(header["kind"], header["source"], header["detail"])
                        self.signs.append(sign)
        except TimeoutError:
            raise SandboxBroken(f"sandbox {self.name} does not answer any more") from None
        except (asyncio.IncompleteReadError, OSError):
            raise await self._gone() from None
        except frames.FrameError as error:
            raise SandboxBroken(f"sandbox {self.name} sent no frame: {error}") from None

    async def _gone(self) -> SandboxBroken:
        gone = await self._why_gone()
        message = f"sandbox {self.name} is gone: {gone.text}"
        return SandboxBroken(message, out_of_memory=gone.out_of_memory)


class _Forged(Exception):
    """A frame of the guest that is well formed and yet not what its client would send."""


def _split(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """The guest's own frame, which the relay passes on as a blob."""
    if len(raw) < frames.PREFIX.size:
        raise frames.FrameError("no frame")
    header_size, _ = frames.PREFIX.unpack(raw[: frames.PREFIX.size])
    end = frames.PREFIX.size + header_size
    return frames.decode_header(raw[frames.PREFIX.size : end]), raw[end:]


def _request(raw: bytes) -> tuple[int, str, Any]:
    """(id, service, value) of a guest's request, in plain types; `_Forged` for anything else."""
    try:
        header, blobs = _split(raw)
        number, service = header["id"], header["service"]
        if type(number) is not int or not 0 < number < 1 << 63 or type(service) is not str:
            raise frames.FrameError("id or service")
        return number, service, frames.unpack(header["value"], blobs)
    except (frames.FrameError, KeyError, RecursionError) as error:
        raise _Forged(f"a request that the client of the guest never sends: {error}") from None


_STATUSES: dict[str, GuestStatus] = {
    "error": "error",
    "timeout": "timeout",
    "oom": "oom",
    "invalid": "invalid",
    "violation": "invalid",
}


def _verdict(header: dict[str, Any], raw: bytes) -> Answer:
    """An `Answer` from what the relay measured and what the guest claims."""
    cpu, wall = header["cpu"], header["wall"]
    if header["status"] != "guest":
        status = _STATUSES.get(header["status"], "error")
        forged = header["status"] == "violation" and not header["detail"].startswith("too_large")
        detail = header["detail"].removeprefix("too_large: ")
        return Answer(status, None, detail, cpu, wall, alive=False, violation=forged)
    try:
        claim, blobs = _split(raw)
        if claim["op"] == "loaded":
            return Answer("ok", None, "", cpu, wall)
        problem = claim if claim["op"] == "failed" else claim.get("problem")
        if problem is not None:
            word, detail = problem.get("status"), problem.get("detail", "")
            if type(word) is not str or type(detail) is not str:
                raise frames.FrameError("status or detail")
            alive = claim["op"] == "answer"
            detail = detail[:1000].encode("utf-8", "backslashreplace").decode()
            return Answer(_STATUSES.get(word, "error"), None, detail, cpu, wall, alive)
        return Answer("ok", frames.unpack(claim["value"], blobs), "", cpu, wall)
    except (frames.FrameError, KeyError, AttributeError, TypeError, RecursionError) as error:
        detail = f"the answer is malformed: {error}"[:200]
        return Answer("invalid", None, detail, cpu, wall, alive=False, violation=True)
