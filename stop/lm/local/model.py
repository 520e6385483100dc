"""Models that run on this machine: `local:NAME`.

LocalModel ── starts ──► server.py (llama.cpp, 127.0.0.1, dies with us)
    └─ OpenAIModel ── chat completions ──►┘   tokens counted by its /tokenize
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import json
import os
import secrets
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from stop.errors import LMError, LMRequestRefused, LMUnavailable
from stop.lm import faults, tokens
from stop.lm.base import LMRequest, LMResponse, Usage
from stop.lm.local import server as server_program
from stop.lm.local.models import find_model
from stop.lm.options import LMOptions
from stop.lm.redact import clean, valid_text
from stop.lm.remote.openai import OpenAIModel

DEFAULT_TIMEOUT = 1200.0  # a core makes a few tokens a second
DEFAULT_PATIENCE = 1800.0
DEFAULT_CONTEXT = 16384
START_SECONDS = 300.0
_LOG_TAIL = 8000
_SHOWN = 600


class LocalModel:
    """A model served by llama.cpp in a process that we start and that ends with us.

    One request is served at a time (its responses side by side in the slots); others queue
    without a time limit of their own, since two would only halve each other's speed.
    """

    def __init__(self, name: str, options: LMOptions | None = None) -> None:
        self._name = name
        self._options = options or LMOptions()
        self._path = find_model(name)
        self.spec = f"local:{name}"
        self.context_tokens = self._options.context_tokens or DEFAULT_CONTEXT
        self._turn = asyncio.Lock()
        self._starting = asyncio.Lock()
        self._server: _Server | None = None
        self._client: OpenAIModel | None = None
        self._sha256 = ""  # of the weights

    def __repr__(self) -> str:
        return f"LocalModel({self._name!r})"

    async def start(self) -> None:
        """Start the server and load the weights. Raises `LMUnavailable` with the end of its log."""
        async with self._starting:
            if self._server is not None and self._server.alive:
                return
            await self._stop()
            patience = self._options.patience
            # llama.cpp's threads wait for each other by spinning: where there are cores to spare
            # one stays free for the sandbox. Of two, both serve: one alone is 1.8 times slower.
            cores = os.cpu_count() or 2
            threads = self._options.threads or max(min(2, cores), cores - 1)
            self._server = await _Server.start(
                self._path, slots=self._options.slots, context=self.context_tokens, threads=threads
            )
            if not self._sha256:
                self._sha256 = await asyncio.to_thread(_sha256, self._path)
            server = self._server
            self._client = OpenAIModel(
                self._path.stem,
                replace(
                    self._options,
                    base_url=f"{self._server.address}/v1",
                    api_key=self._server.key,
                    timeout=self._options.timeout or DEFAULT_TIMEOUT,
                    patience=DEFAULT_PATIENCE if patience is None else patience,
                    max_concurrency=1,
                    requests_per_minute=None,
                    price_per_million=(0.0, 0.0),
                ),
                alive=lambda: server.alive,
            )

    async def aclose(self) -> None:
        async with self._starting:
            await self._stop()

    def facts(self) -> dict[str, Any]:
        served = {} if self._client is None else self._client.facts()
        return {
            "file": self._path.name,
            "sha256": self._sha256,
            "llama.cpp": f"xllamacpp {metadata.version('xllamacpp')}",
            "context_tokens": self.context_tokens,
            "slots": self._options.slots,
            # The server's own words, without the folder of the file: that is this machine's.
            "served_as": [Path(name).name for name in served.get("served_as", ())],
        }

    async def complete(self, request: LMRequest) -> LMResponse:
        """Exactly `request.n` choices. A server that died is started once more."""
        async with self._turn:
            await self.start()
            try:
                return await self._serve(request)
            except LMRequestRefused:
                raise
            except LMError as error:
                if self._server is None or not await self._server.ended():
                    raise
                tail = self._server.log_tail()
                died = f"{error.message}\nThe model's server ended: {tail}"
            faults.listener().fault("server ended", tail, 0.0, answered=True)
            await self.start()
            try:
                response = await self._serve(request)
            except LMUnavailable as error:
                raise error.preceded_by(f"{died}\nAnd again: ") from None
            seen = ("server ended", *response.faults)
            return replace(response, retries=response.retries + 1, faults=seen)

    def worst_case(self, request: LMRequest) -> Usage:
        """Upper bound of tokens; money is 0."""
        most = self._side_by_side(tokens.prompt_tokens_estimate(request), request)
        return tokens.worst_case(request, prompts=-(-request.n // most))

    def _side_by_side(self, prompt_tokens: int, request: LMRequest) -> int:
        """How many responses to this prompt fit into the context, which they share, at once."""
        room = (self.context_tokens - prompt_tokens) // request.max_tokens
        return max(1, min(request.n, self._options.slots, room))

    async def _serve(self, request: LMRequest) -> LMResponse:
        if self._client is None or self._server is None:
            raise LMError(f"{self!r} was closed while a request was under way")
        prompt = f"{request.system}\n{request.message}"
        counted = await self._server.count_tokens(prompt) + tokens.CHAT_OVERHEAD
        at_once = self._side_by_side(counted, request)
        response = await self._client.complete(request, at_once=at_once)
        usage = response.usage
        if request.n > 1 or usage.estimated:  # of several choices, the server counts one
            count, most = self._server.count_tokens, request.max_tokens
            written = [  # with the token that ended it
                most if each.finish_reason == "length" else min(await count(each.text) + 1, most)
                for each in response.choices
            ]
            usage = replace(usage, completion_tokens=sum(written), estimated=False)
        return replace(response, usage=usage, model=self._name)

    async def _stop(self) -> None:
        client, self._client = self._client, None
        server, self._server = self._server, None
        if client is not None:
            await client.aclose()
        if server is not None:
            await asyncio.to_thread(server.stop)


class _Server:
    """The process of `stop.lm.local.server`."""

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self._process = process
        self._log = log
        self.address = ""
        self.key = secrets.token_hex(16)

    @classmethod
    async def start(cls, path: Path, *, slots: int, context: int, threads: int) -> _Server:
        command = [sys.executable, "-P", server_program.__file__, "--model", str(path)]
        command += ["--parallel", str(slots), "--context", str(context)]
        command += ["--threads", str(threads)]
        log = tempfile.TemporaryFile(prefix="stop-local-server-")  # noqa: SIM115 - see `stop`
        pipe = subprocess.PIPE
        # Not asyncio's: `stop` must also work when the loop is gone.
        process = subprocess.Popen(  # noqa: ASYNC220
            command,
            stdin=pipe,
            stdout=pipe,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for us; we end it in order
        )
        server = cls(process, log)
        try:
            async with asyncio.timeout(START_SECONDS):
                server._send_key()
                await server._ready(path)
        except TimeoutError:
            tail = server.log_tail()
            server.stop()
            raise LMUnavailable(
                f"the server for {path} was not ready after {START_SECONDS:.0f} s: {tail}",
                hint="is the machine short of memory? a smaller model or context_tokens may help",
            ) from None
        except BaseException:  # also when cancelled: do not leave it running
            server.stop()
            raise
        return server

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    async def ended(self) -> bool:
        """Whether the process is gone; a broken connection is seen a moment before its end is."""
        try:
            await asyncio.to_thread(self._process.wait, 1)
        except subprocess.TimeoutExpired:
            return False
        return True

    def log_tail(self) -> str:
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(size - _LOG_TAIL, 0))
        lines = self._log.read().decode("utf-8", "replace").splitlines()
        errors = [line for line in lines if " E " in line]  # llama.cpp's mark
        return clean("\n".join(errors[-4:] or lines[-8:]), self.key, limit=_SHOWN)

    def stop(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # what could not be flushed
                self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    def _send_key(self) -> None:
        """Over the pipe: arguments and environment of a process can be read by others."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it ended already: `_ready` says why
            self._process.stdin.write(f"{self.key}\n".encode())
            self._process.stdin.flush()

    async def _ready(self, path: Path) -> None:
        assert self._process.stdout is not None
        line = await asyncio.to_thread(self._process.stdout.readline)
        if line:
            self.address = json.loads(line)["address"]
            return
        code = await asyncio.to_thread(self._process.wait)
        if code == server_program.MISSING_LIBRARY:
            raise LMUnavailable(
                "the library xllamacpp, which runs local models, is not installed",
                hint="pip install 'stop-optimizer[local]'",
            )
        raise LMUnavailable(
            f"the server for {path} ended with code {code} before it was ready: {self.log_tail()}",
            hint="is the file a model in GGUF format, and is there enough memory?",
        )

    async def count_tokens(self, text: str) -> int:
        return await asyncio.to_thread(self._count_tokens, text)

    def _count_tokens(self, text: str) -> int:
        # Without proxies: none can reach our loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        body = json.dumps({"content": valid_text(text)}).encode()
        request = urllib.request.Request(
            f"{self.address}/tokenize",
            body,
            {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"},
        )
        try:
            with opener.open(request, timeout=60) as answer:
                return len(json.load(answer)["tokens"])
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            raise LMUnavailable(
                f"the local model's server does not answer: {clean(str(error))}",
                hint="see what ended it in its log, or use a smaller context_tokens",
            ) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
