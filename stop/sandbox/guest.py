"""The host's end of one sandbox: bytes to and from the relay, verdicts out of frames.

It works over any pair of asyncio streams, so every backend shares it.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from abc import ABC, abstractmethod
from dataclasses import asdict
from functools import cache
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

_MAX_FRAME_BYTES = 256 << 20
_MAX_SIGNS = 1000
"""Of one job; the relay passes on some of each kind, of which there are few."""
_MAX_REQUESTS = 128
_MAX_REQUEST_BYTES = 64 << 20
"""Number and size of the requests of one guest, which has fewer threads, that await replies."""


def guest_text(name: str) -> str:
    """Returns the text of a module of `sandbox/guest`."""
    return (resource_folder("sandbox") / "guest" / f"{name}.py").read_text("utf-8")


@cache
def _modules() -> list[tuple[str, str]]:
    """Returns names and texts of all modules; of `stop` itself only what both ends need."""
    shared = [("stop.sandbox.frames", frames), ("helpers", helpers)]
    return [
        *(("stop", ""), ("stop.sandbox", "")),
        *((name, inspect.getsource(module)) for name, module in shared),
        *((name, guest_text(name.partition(".")[2] or "__init__")) for name in _MODULES),
    ]


@cache
def command() -> tuple[str, ...]:
    """Returns the words that start the guest's code in a sandbox; it reads `_bundle` from stdin."""
    return (PYTHON, "-B", "-s", "-P", "-X", "utf8", "-c", guest_text("bootstrap"))


def _bundle(config: GuestConfig) -> bytes:
    """Returns the first bytes to send: the guest's modules and its configuration."""
    text = json.dumps({"modules": _modules(), "config": asdict(config)}).encode()
    return len(text).to_bytes(4, "big") + text


class Gone(NamedTuple):
    """Why a sandbox ended, as its backend knows it."""

    text: str
    out_of_memory: bool = False


class StreamGuest(ABC):
    """A `Guest` over streams; backends add how it is stopped and why it ended."""

    def __init__(
        self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.name = name
        self._reader = reader
        self._writer = writer
        self.closed = False
        self.signs: list[Sign] = []
        self._calls = 0
        self._adrift = False  # the wait for an answer was cut off, maybe within a frame

    @abstractmethod
    async def _stop(self) -> None:
        """Ends the sandbox with all its processes."""

    @abstractmethod
    async def _why_gone(self) -> Gone:
        """Returns why the sandbox ended; called when its stream has."""

    async def boot(self, config: GuestConfig) -> None:
        """Sends the code and waits up to a minute until the relay says that it is ready.

        Raises:
            SandboxBroken: it did not, and is now closed.
        """
        self._writer.write(_bundle(config))
        try:
            header, _ = await self._receive(60.0)
            if header.get("op") != "ready":
                raise SandboxBroken(f"sandbox {self.name} answered {header.get('op')!r} at boot")
        except BaseException:
            await self.aclose()
            raise

    async def start(self, job: Job) -> Answer:
        self.signs = []
        limits = {"cpu": job.load_cpu_seconds, "wall": job.load_wall_seconds}
        await self._send(frames.encode({"op": "start", **limits, "job": asdict(job)}))
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
        header = {"op": "call", "number": self._calls, "args": node}
        limits = {"cpu": cpu_seconds, "wall": wall_seconds}
        await self._send(frames.encode(header | limits, blobs))
        return await self._outcome("answer", wall_seconds, on_request)

    async def end(self) -> JobOutput:
        await self._send(frames.encode({"op": "end"}))
        header: dict[str, Any] = {}
        while header.get("op") != "ended":
            header, _ = await self._receive(_MARGIN_SECONDS)
        if not header["clean"]:
            await self.aclose()
            raise SandboxBroken(f"sandbox {self.name} could not be cleaned after its guest")
        return JobOutput(**header["output"])

    async def aclose(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._writer.close()
        try:
            with contextlib.suppress(OSError, asyncio.TimeoutError):  # it may be dead already
                await asyncio.wait_for(self._writer.wait_closed(), 5)
        finally:  # also when the task that closes it is cancelled, as at a limit of the run
            self._writer.transport.abort()
            await self._stop()

    # --- frames

    async def _outcome(
        self, expected: str, wall_seconds: float, on_request: RequestHandler | None
    ) -> Answer:
        """Serves the guest's requests until the answer to the pending question comes.

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
                        request, size = _request(blobs), len(blobs)
                        if on_request is None:
                            raise _Forged("a request of a program that has no services")
                        total = sum(waiting.values()) + size
                        if len(waiting) >= _MAX_REQUESTS or total > _MAX_REQUEST_BYTES:
                            raise _Forged("more requests at once than its client can send")
                        task = group.create_task(self._serve(*request, on_request))
                        waiting[task] = size
                        task.add_done_callback(lambda done: waiting.pop(done, None))
                        del request, blobs, task  # they may be large, and the next wait long
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
        """Returns header and blobs of the next frame; puts signs aside on the way."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    prefix = await self._reader.readexactly(frames.PREFIX.size)
                    header_size, blob_size = frames.PREFIX.unpack(prefix)
                    if header_size + blob_size > _MAX_FRAME_BYTES:
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
    """Returns header and blobs of the guest's own frame, which the relay passes on as a blob."""
    if len(raw) < frames.PREFIX.size:
        raise frames.FrameError("no frame")
    header_size, _ = frames.PREFIX.unpack(raw[: frames.PREFIX.size])
    end = frames.PREFIX.size + header_size
    return frames.decode_header(raw[frames.PREFIX.size : end]), raw[end:]


def _request(raw: bytes) -> tuple[int, str, Any]:
    """Returns (id, service, value) of a guest's request, in plain types, or raises `_Forged`."""
    try:
        header, blobs = _split(raw)
        number, service = header["id"], header["service"]
        if type(number) is not int or not 0 < number < 1 << 63 or type(service) is not str:
            raise frames.FrameError("id or service")
        return number, service, frames.unpack(header["value"], blobs)
    except (frames.FrameError, KeyError, RecursionError) as error:
        raise _Forged(f"a request that the client of the guest never sends: {error}") from None


_ENDS: dict[str, GuestStatus] = {
    "timeout": "timeout",  # by CPU time
    "clock": "timeout",
    "oom": "oom",
    "too_large": "invalid",  # an answer or a request: a mistake
    "violation": "invalid",  # of the frame protocol: tampering
}
"""Verdicts of the relay on a guest that it ended; what is not here is "error"."""
_CLAIMS: dict[str, GuestStatus] = {"oom": "oom", "invalid": "invalid"}
"""What a guest may say of a call that failed, in addition to "error"."""


def _verdict(header: dict[str, Any], raw: bytes) -> Answer:
    """Returns an `Answer` from what the relay measured and what the guest claims."""
    cpu, wall, status = header["cpu"], header["wall"], header["status"]
    if status != "guest":
        end, forged, clock = _ENDS.get(status, "error"), status == "violation", status == "clock"
        return Answer(end, None, header["detail"], cpu, wall, False, forged, clock)
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
            return Answer(_CLAIMS.get(word, "error"), None, detail, cpu, wall, alive)
        return Answer("ok", frames.unpack(claim["value"], blobs), "", cpu, wall)
    except (frames.FrameError, KeyError, AttributeError, TypeError, RecursionError) as error:
        detail = f"the answer is malformed: {error}"[:200]
        return Answer("invalid", None, detail, cpu, wall, alive=False, violation=True)
