"""Models behind an OpenAI-compatible server: `openai:MODEL`.

complete(request, n)
  └─ split by what the server takes at once ─► _send ─► _persist: attempt, wait, attempt, …
       ▲                                          │
       └── fewer choices than asked: the rest ────┘── refused parameter: Dialect learns, again
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stop.concurrency import gather_or_cancel
from stop.errors import ConfigError, LMError, LMUnavailable
from stop.lm import prices
from stop.lm._dialect import Dialect
from stop.lm._meter import Meter, total_usage
from stop.lm._retry import Pace, persist
from stop.lm._wire import Failure, Reply, final_error, parse_reply, status_failure
from stop.lm.base import Choice, LMRequest, LMResponse, Usage
from stop.lm.options import LMOptions
from stop.lm.redact import clean, redact

if TYPE_CHECKING:
    import openai

DEFAULT_BASE_URL = "https://api.openai.com/v1"
DEFAULT_TIMEOUT = 300.0
DEFAULT_PATIENCE = 600.0
MAX_BARREN = 3  # answers without any choice before we give up
_NO_KEY = "none"


@dataclass(slots=True)
class _Account:
    """What happened while one `complete` was served."""

    faults: list[str]
    retries: int = 0
    model: str = ""


class OpenAIModel:
    """A chat model of any OpenAI-compatible server. See `LanguageModel`.

    One request is tried again on 408, 409, 429 (after `Retry-After`), 5xx, timeouts, broken
    connections and malformed bodies, until `patience` seconds have passed (a server that was
    never reached: 30 seconds). Parameters that the server refuses are left out or renamed, once
    for all. Choices that it withholds are asked for again.
    """

    def __init__(self, model: str, options: LMOptions | None = None) -> None:
        options = options or LMOptions()
        if not model.strip():
            raise ConfigError("openai: needs the name of a model", hint="e.g. openai:gpt-4o-mini")
        self._model = model
        self._options = options
        url = options.base_url or os.environ.get("OPENAI_BASE_URL", "").strip()
        self._base_url = _checked_url(url or DEFAULT_BASE_URL)
        self._timeout = options.timeout or DEFAULT_TIMEOUT
        self._patience = DEFAULT_PATIENCE if options.patience is None else options.patience
        self._url = redact(self._base_url.split("?")[0])  # for people
        self._hosted = urlsplit(self._base_url).hostname == "api.openai.com"
        self._dialect = Dialect(
            token_field="max_completion_tokens" if self._hosted else "max_tokens"
        )
        self._meter = Meter(model, self._base_url, options.price_per_million)
        self._slots = asyncio.Semaphore(options.max_concurrency)
        self._pace = Pace(options.requests_per_minute)
        self._client: openai.AsyncOpenAI | None = None
        self._secrets: tuple[str, ...] = ()
        self._met = False
        self._lone = 0  # answers in a row with one choice where several were asked for

    def __repr__(self) -> str:
        return f"OpenAIModel({self._model!r}, base_url={self._url!r})"

    @property
    def spec(self) -> str:
        return f"openai:{self._model}"

    @property
    def base_url(self) -> str:
        """The server's address, without credentials."""
        return self._url

    @property
    def context_tokens(self) -> int | None:
        if self._options.context_tokens is not None:
            return self._options.context_tokens
        return prices.context_window(self._model, self._base_url)

    async def start(self) -> None:
        """Make the client. Raises `LMUnavailable` where the server needs a key and there is none;
        the server itself is first spoken to by `complete`."""
        if self._client is not None:
            return
        key = self._key()
        import openai  # noqa: PLC0415 - half a second

        # A proxy cannot reach our loopback.
        transport = openai.DefaultAsyncHttpxClient(trust_env=not self._is_loopback)
        self._secrets = (key,) if key != _NO_KEY else ()
        self._client = openai.AsyncOpenAI(
            api_key=key, base_url=self._base_url, max_retries=0, http_client=transport
        )

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def complete(self, request: LMRequest) -> LMResponse:
        """Exactly `request.n` choices. Raises `LMRequestRefused`, `LMUnavailable` or `LMError`."""
        await self.start()
        account = _Account(faults=[])
        choices: list[Choice] = []
        usage: list[Usage] = []
        barren = 0
        while len(choices) < request.n:
            missing = request.n - len(choices)
            most = self._dialect.max_n or missing
            jobs = []
            for first in range(0, missing, most):
                n = min(most, missing - first)
                jobs.append(self._send(request, n, len(choices) + first, account))
            before = len(choices)
            for reply in await gather_or_cancel(jobs):
                choices.extend(reply.choices)
                usage.append(self._meter.usage(request, reply))
            barren += len(choices) == before
            if barren >= MAX_BARREN:
                raise LMError(
                    f"{self._url} keeps answering without the choices asked for: "
                    f"{len(choices)} of {request.n} came",
                    hint="the model may be filtered or the server broken; try another model",
                )
        return LMResponse(
            choices=tuple(choices[: request.n]),
            usage=total_usage(usage),
            model=account.model or self._model,
            retries=account.retries,
            faults=tuple(account.faults),
        )

    def worst_case(self, request: LMRequest) -> Usage:
        """Upper bound of the cost. Except at OpenAI itself, a server may ignore `n`, and then the
        prompt is sent `n` times."""
        sent = 1 if self._hosted else request.n
        return self._meter.worst_case(request, requests_sent=sent)

    async def _send(self, request: LMRequest, n: int, offset: int, account: _Account) -> Reply:
        """One answer of the server to a request for up to `n` choices, at most that many."""
        tried: set[str] = set()
        async with self._slots:
            while True:
                body = self._dialect.body(request, model=self._model, n=n, offset=offset)
                outcome = await self._persist(body, account)
                if isinstance(outcome, Reply):
                    break
                if not self._dialect.adapt(outcome, body, tried):
                    raise self._error(outcome, account)
                account.retries += 1
                account.faults.append("parameter")
        asked = body.get("n", 1)
        account.model = outcome.model or account.model
        if len(outcome.choices) < asked:
            account.faults.append("fewer choices")
            account.retries += 1
            self._lone += len(outcome.choices) == 1
            if self._lone >= 2:
                self._dialect.max_n = 1  # it ignores n: from now on ask side by side
        elif asked > 1:
            self._lone = 0
        return replace(outcome, choices=outcome.choices[:asked])

    async def _persist(self, body: dict[str, Any], account: _Account) -> Reply | Failure:
        faults: list[str] = []
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._patience

        async def attempt() -> Reply | Failure:
            await self._pace.wait()
            # The first attempt may take its time; patience is about the others.
            limit = min(self._timeout, max(deadline - clock(), 1.0)) if faults else self._timeout
            return await self._attempt(body, limit)

        outcome = await persist(
            attempt, patience=self._patience, met_before=lambda: self._met, faults=faults
        )
        account.faults.extend(faults)
        account.retries += len(faults)
        return outcome

    async def _attempt(self, body: dict[str, Any], limit: float) -> Reply | Failure:
        import openai  # noqa: PLC0415

        if self._client is None:
            raise LMError(f"{self!r} was closed while a request was under way")
        try:
            # The library's time-out is for each read; a server that trickles would never end.
            async with asyncio.timeout(limit):
                raw = await self._client.chat.completions.with_raw_response.create(
                    **body, timeout=limit
                )
                content = raw.http_response.content
        except (TimeoutError, openai.APITimeoutError):
            return Failure("timeout", f"no answer within {limit:.0f} s", retry=True)
        except openai.APIStatusError as error:
            self._met = True
            headers = error.response.headers
            return status_failure(error.status_code, error.body, headers, self._clean)
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            detail = self._clean(f"{type(cause).__name__}: {cause}")
            return Failure("connection", detail, retry=True)
        self._met = True
        return parse_reply(content, self._clean)

    def _error(self, failure: Failure, account: _Account) -> LMError:
        if not failure.retry:
            return final_error(failure, model=self._model, url=self._url)
        faults = Counter([*account.faults, failure.reason])
        seen = ", ".join(f"{reason} ×{count}" for reason, count in faults.items())
        hints = {
            "429": "ask for less at once (max_concurrency, requests_per_minute) "
            "or wait longer (patience)",
            "timeout": "the model may be slow: raise the timeout, or lower max_tokens",
            "malformed": "check the base URL; that of an OpenAI-compatible server ends in /v1",
            "connection": "check that the server runs and the base URL is right",
        }
        wanted = failure.retry_after
        if wanted is not None and wanted > self._patience:
            seen += f"; it asks to wait {wanted:.0f} s, more than our patience"
        return LMUnavailable(
            f"no usable answer from {self._url} for {self._model!r} after "
            f"{faults.total()} tries ({seen}). Last: {failure.detail}",
            hint=hints.get(failure.reason, "the server has trouble; try again later"),
        )

    def _clean(self, text: str) -> str:
        return clean(text, *self._secrets)

    @property
    def _is_loopback(self) -> bool:
        host = urlsplit(self._base_url).hostname or ""
        return host in ("localhost", "::1") or host.startswith("127.")

    def _key(self) -> str:
        key = self._options.api_key or os.environ.get("OPENAI_API_KEY", "")
        key = key.strip()
        if not key and self._hosted:
            raise LMUnavailable(
                f"{self._url} needs a key, and OPENAI_API_KEY is not set",
                hint="export OPENAI_API_KEY=…, or name another server with OPENAI_BASE_URL, "
                "or use a local model: stop model pull qwen2.5-coder-1.5b",
            )
        if any(not 33 <= ord(character) <= 126 for character in key):
            raise ConfigError("the key in OPENAI_API_KEY has blanks or signs that no key has")
        return key or _NO_KEY


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"the base URL {redact(url)!r} is no http(s) address",
            hint="e.g. https://api.openai.com/v1 or http://127.0.0.1:8080/v1",
        )
    return url.rstrip("/")
