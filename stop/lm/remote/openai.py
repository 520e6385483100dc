"""Models behind an OpenAI-compatible server: `openai:MODEL`.

complete(request, n)
  └─ split by what the server takes at once ─► _send ─► _persist: attempt, wait, attempt, …
       ▲                                          │         └─ through the Circuit of this model
       └── fewer choices than asked: the rest ────┘── refused parameter: Dialect learns, again

What goes wrong and what is paid meanwhile goes to `faults.listener()`.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stop._util.concurrency import gather_or_cancel
from stop.errors import ConfigError, LMError, LMUnavailable
from stop.lm import faults
from stop.lm.base import Choice, LMRequest, LMResponse, Usage, total_usage
from stop.lm.options import LMOptions
from stop.lm.redact import clean, redact
from stop.lm.remote.circuit import Circuit
from stop.lm.remote.dialect import Dialect
from stop.lm.remote.exchange import exchange
from stop.lm.remote.meter import Meter, context_window
from stop.lm.remote.pace import Pace
from stop.lm.remote.retry import persist
from stop.lm.remote.wire import Failure, Reply, final_error

if TYPE_CHECKING:
    import openai

DEFAULT_BASE_URL = "https://api.openai.com/v1"
DEFAULT_TIMEOUT = 300.0
DEFAULT_PATIENCE = 900.0
SHOWN_PAUSE = 10.0  # seconds; a shorter pause of one request is not worth a line
MAX_BARREN = 3  # answers without any choice before we give up
MOST_NAMES = 20  # that a server may have for one model before we lose interest
_NO_KEY = "none"


@dataclass(slots=True)
class _Account:
    """What happened while one `complete` was served."""

    faults: list[str] = field(default_factory=list)
    error: LMError | None = None  # of one part; the others need not be sent any more


class OpenAIModel:
    """A chat model of any OpenAI-compatible server (`LanguageModel`).

    One request is tried again on 408, 409, 429 (after `Retry-After`), 5xx, timeouts, broken
    connections and malformed bodies, until `patience` seconds have passed (a server that was
    never reached: 30 seconds). While the server is away all requests wait together, see
    `Circuit`. Parameters that the server refuses are left out or renamed, once for all. Choices
    that it withholds are asked for again.

    Args:
        model: its name on the server.
        options: where the server is, and how to talk to it. By default one request may take 300 s
            and is tried again over 900 s.
        alive: False once the server will not come back by itself: then nothing is tried again.

    Raises:
        ConfigError: no model is named, or the base URL is not an address.
    """

    def __init__(
        self,
        model: str,
        options: LMOptions | None = None,
        *,
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        options = options or LMOptions()
        if not model.strip():
            raise ConfigError("openai: needs the name of a model", hint="e.g. openai:gpt-4o-mini")
        self.spec = f"openai:{model}"
        self._model = model
        self._options = options
        url = options.base_url or os.environ.get("OPENAI_BASE_URL", "").strip()
        self._base_url = _checked_url(url or DEFAULT_BASE_URL)
        self._timeout = options.timeout or DEFAULT_TIMEOUT
        patience = DEFAULT_PATIENCE if options.patience is None else options.patience
        self.base_url = redact(self._base_url.split("?")[0])  # for people
        self._hosted = urlsplit(self._base_url).hostname == "api.openai.com"
        self._dialect = Dialect(
            token_field="max_completion_tokens" if self._hosted else "max_tokens"
        )
        self._meter = Meter(model, self._base_url, options.price_per_million)
        self._slots = asyncio.Semaphore(options.max_concurrency)
        self._pace = Pace(options.requests_per_minute)
        self._client: openai.AsyncOpenAI | None = None
        self._secrets: tuple[str, ...] = ()
        self._alive = alive
        self._met = False  # it has said something
        self._served = False  # it has given an answer
        self._circuit = Circuit(self.spec, patience, lambda: self._met)
        self._served_as: set[str] = set()
        self._lone = 0  # answers in a row with one choice where several were asked for

    def __repr__(self) -> str:
        return f"OpenAIModel({self._model!r}, base_url={self.base_url!r})"

    @property
    def context_tokens(self) -> int | None:
        if self._options.context_tokens is not None:
            return self._options.context_tokens
        return context_window(self._model, self._base_url)

    async def start(self) -> None:
        """Make the client. Raises `LMUnavailable` where the server needs a key and there is none;
        the server itself is first spoken to by `complete`."""
        if self._client is not None:
            return
        key = self._key()
        import openai  # noqa: PLC0415 - half a second

        host = urlsplit(self._base_url).hostname or ""
        loopback = host in ("localhost", "::1") or host.startswith("127.")
        # A proxy cannot reach our loopback.
        transport = openai.DefaultAsyncHttpxClient(trust_env=not loopback)
        self._secrets = (key,) if key != _NO_KEY else ()
        self._client = openai.AsyncOpenAI(
            api_key=key, base_url=self._base_url, max_retries=0, http_client=transport
        )

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def complete(self, request: LMRequest, *, at_once: int | None = None) -> LMResponse:
        """As `LanguageModel.complete`, asking for `at_once` choices in one call at most."""
        await self.start()
        faults.listener().tracked = True
        account = _Account()
        choices: list[Choice] = []
        usage: list[Usage] = []
        model = self._model
        barren = 0
        while (missing := request.n - len(choices)) > 0:
            if usage:
                faults.listener().asks_again(self.worst_case(replace(request, n=missing)))
            most = min(self._dialect.max_n or missing, at_once or missing)
            replies = await gather_or_cancel(
                self._send(request, min(most, missing - first), len(choices) + first, account)
                for first in range(0, missing, most)
            )
            choices += [choice for reply in replies for choice in reply.choices]
            usage += [self._meter.usage(request, reply) for reply in replies]
            model = next((reply.model for reply in reversed(replies) if reply.model), model)
            barren += not any(reply.choices for reply in replies)
            if barren >= MAX_BARREN:
                raise LMError(
                    f"{self.base_url} keeps answering without the choices asked for: "
                    f"{len(choices)} of {request.n} came",
                    hint="the model may be filtered or the server broken; try another model",
                )
        return LMResponse(
            choices=tuple(choices[: request.n]),
            usage=total_usage(usage),
            model=model,
            retries=len(account.faults),
            faults=tuple(account.faults),
        )

    def worst_case(self, request: LMRequest) -> Usage:
        """Upper bound of the cost. Except at OpenAI itself, a server may ignore `n`, and then the
        prompt is sent `n` times."""
        return self._meter.worst_case(request, prompts=1 if self._hosted else request.n)

    def facts(self) -> dict[str, Any]:
        """`served_as`: name and fingerprint of the models that answered, as the server has them."""
        return {
            "base_url": self.base_url,
            "served_as": sorted(self._served_as),
            "prices": self._meter.price_list(),
        }

    async def _send(self, request: LMRequest, n: int, offset: int, account: _Account) -> Reply:
        """One answer of the server to a request for up to `n` choices, at most that many."""
        async with self._slots:
            if account.error is not None:
                raise account.error
            body, reply = await self._answer(request, n, offset, account)
        asked = body.get("n", 1)
        if len(self._served_as) < MOST_NAMES:
            self._served_as.add(" ".join(filter(None, (reply.model, reply.fingerprint))))
        # What is cut off below was paid for as well.
        faults.listener().paid_for.append(self._meter.usage(request, reply))
        if len(reply.choices) < asked:
            came = len(reply.choices)
            self._note(account, "fewer choices", f"{came} of {asked} choices came")
            self._lone += came == 1
            if self._lone >= 2:
                self._dialect.max_n = 1  # it ignores n: from now on ask side by side
        elif asked > 1:
            self._lone = 0
        return replace(reply, choices=reply.choices[:asked])

    async def _answer(
        self, request: LMRequest, n: int, offset: int, account: _Account
    ) -> tuple[dict[str, Any], Reply]:
        """The body that the server took, and what it answered."""

        def note(failure: Failure, seconds: float, pause: float | None) -> None:
            """Each attempt that fails, except a refusal that may teach us."""
            if pause is None:
                if failure.status not in (400, 422):
                    refused = not failure.retry and not failure.outage
                    log.fault(failure.reason, failure.detail, seconds, answered=refused)
                return
            account.faults.append(failure.reason)
            log.fault(failure.reason, failure.detail, seconds + pause)
            if failure.status == 429 and failure.retry_after is not None:
                self._pace.hold(pause)
            if pause >= SHOWN_PAUSE and not failure.server:
                log.waiting(faults.Waiting(self.spec, failure.reason, pause, 0.0, outage=False))

        log = faults.listener()
        tried: set[str] = set()
        while True:
            body = self._dialect.body(request, model=self._model, n=n, offset=offset)
            outcome = await persist(
                partial(self._attempt, request, body),
                circuit=self._circuit,
                pace=self._pace,
                seconds=self._timeout,
                note=note,
            )
            if isinstance(outcome, Reply):
                return body, outcome
            if not self._dialect.adapt(outcome, body, tried):
                break
            self._note(account, "parameter", outcome.detail)
        if outcome.status in (400, 422):
            log.fault(outcome.reason, outcome.detail, 0.0, answered=True)
        account.error = self._error(outcome, account)
        raise account.error

    def _note(self, account: _Account, reason: str, detail: str) -> None:
        """The server answered, but not what was asked for."""
        account.faults.append(reason)
        faults.listener().fault(reason, detail, 0.0, answered=True)

    async def _attempt(
        self, request: LMRequest, body: dict[str, Any], limit: float
    ) -> Reply | Failure:
        if self._client is None:
            raise LMError(f"{self!r} was closed while a request was under way")

        def cut() -> None:
            part = replace(request, n=body.get("n", 1))
            faults.listener().cut_off.append(self._meter.worst_case(part))

        outcome = await exchange(self._client, body, limit, clean=self._clean, on_cut=cut)
        if isinstance(outcome, Reply):
            self._met = self._served = True
            faults.listener().answered()
            return outcome
        if outcome.reason == "connection":
            return replace(outcome, retry=self._alive())
        self._met = self._met or outcome.reason != "timeout"
        if not outcome.retry:
            faults.listener().answered()
        # Where the model has answered before, a proxy answers now in its place.
        page = self._served and outcome.reason == "web page"
        return replace(outcome, server=outcome.server or page)

    def _error(self, failure: Failure, account: _Account) -> LMError:
        if failure.outage:
            return LMUnavailable(
                f"{self.base_url} {failure.outage}. Last: {failure.detail}",
                hint="check that the server runs and the base URL is right; then go on "
                "(--lm-patience SECONDS waits longer)",
                resume="",
            )
        if failure.reason == "connection" and not failure.retry:
            return LMUnavailable(f"the server at {self.base_url} has ended: {failure.detail}")
        if not failure.retry:
            return final_error(failure, model=self._model, url=self.base_url, served=self._served)
        counts = Counter([*account.faults, failure.reason])
        seen = faults.counted(counts)
        hints = {
            "429": "ask for less at once (--concurrency), or wait longer (--lm-patience)",
            "timeout": "the model may be slow: raise the timeout, or lower max_tokens",
            "malformed": "check the base URL; that of an OpenAI-compatible server ends in /v1",
            "web page": "check the base URL; that of an OpenAI-compatible server ends in /v1",
            "connection": "check that the server runs and the base URL is right",
        }
        wanted = failure.retry_after
        if wanted is not None and wanted > self._circuit.patience:
            seen += f"; it asks to wait {wanted:.0f} s, more than our patience"
        return LMUnavailable(
            f"no usable answer from {self.base_url} for {self._model!r} after "
            f"{counts.total()} tries ({seen}). Last: {failure.detail}",
            hint=hints.get(failure.reason, "the server has trouble; try again later"),
        )

    def _clean(self, text: str) -> str:
        return clean(text, *self._secrets)

    def _key(self) -> str:
        key = (self._options.api_key or os.environ.get("OPENAI_API_KEY", "")).strip()
        if not key and self._hosted:
            raise LMUnavailable(
                f"{self.base_url} needs a key, and OPENAI_API_KEY is not set",
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
            f"the base URL {redact(url)!r} is not an http(s) address",
            hint="e.g. https://api.openai.com/v1 or http://127.0.0.1:8080/v1",
        )
    return url.rstrip("/")
