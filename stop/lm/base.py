"""The protocol of a language model, and the plain data that crosses it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class LMRequest:
    """One request: `n` independent responses to one prompt.

    Attributes:
        system: the system message (`expertise` in the improver's interface).
        message: the user message.
        n: number of responses wanted, at least 1.
        temperature: sampling temperature, 0 to 2.
        max_tokens: upper bound of completion tokens for each response.
        seed: sampling seed; servers may ignore it.
    """

    system: str
    message: str
    n: int = 1
    temperature: float = 0.7
    max_tokens: int = 1024
    seed: int | None = None

    @property
    def key(self) -> str:
        """SHA-256 over everything that shapes the responses except `n` and `seed`."""
        parts = asdict(self)
        del parts["n"], parts["seed"]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request cost. `usd` is None where no price is known; `estimated` says that the
    server gave no figures and ours are counted."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = None
    estimated: bool = False


def total_usage(parts: Iterable[Usage]) -> Usage:
    """The sum; its price is unknown when that of a part is."""
    parts = list(parts)
    known = [part.usd for part in parts if part.usd is not None]
    return Usage(
        prompt_tokens=sum(part.prompt_tokens for part in parts),
        completion_tokens=sum(part.completion_tokens for part in parts),
        usd=math.fsum(known) if len(known) == len(parts) else None,
        estimated=any(part.estimated for part in parts),
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """One response. `finish_reason` is "stop", "length" (cut off), or the server's own word."""

    text: str
    finish_reason: str = "stop"


@dataclass(frozen=True, slots=True)
class LMResponse:
    """The answer to one request: exactly `n` choices, in order, `n` as requested.

    Attributes:
        model: the model as the server named it.
        retries: how many times the request had to be sent again.
    """

    choices: tuple[Choice, ...]
    usage: Usage = Usage()
    model: str = ""
    retries: int = 0
    faults: tuple[str, ...] = field(default=())

    @property
    def texts(self) -> list[str]:
        return [choice.text for choice in self.choices]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Completer(Protocol):
    """What answers the requests of one execution of an improver run.

    An ordinary run hands out a `stop.lm.tape.TapedModel`; any model is a `Completer` as well.
    """

    async def complete(self, request: LMRequest) -> LMResponse:
        """Return exactly `request.n` choices. May be called concurrently.

        Raises:
            LMRequestRefused: only this request is at fault; others may be answered.
            LMUnavailable: the model cannot be reached after all retries.
            LMError: it answers, but not as it should.
        """
        ...

    def worst_case(self, request: LMRequest) -> Usage:
        """Upper bound of what `request` can cost, to be reserved before it is sent."""
        ...


class LanguageModel(Completer, Protocol):
    """A backend. Instances belong to one event loop."""

    @property
    def spec(self) -> str:
        """How the user names this model, e.g. "openai:gpt-4o-mini"."""
        ...

    @property
    def context_tokens(self) -> int | None:
        """Tokens that prompt and response may have together; None where that is unknown."""
        ...

    async def start(self) -> None:
        """Make the model ready (start a server, check the key is there). Idempotent.

        Raises:
            LMUnavailable: it cannot be made ready.
        """
        ...

    def facts(self) -> dict[str, Any]:
        """What tells it from other models of the same name, as plain data for JSON: where it is
        served, its weights, its prices, what the server says that it is. Asked after `start`, and
        again when the work is done. No keys."""
        ...

    async def aclose(self) -> None:
        """Give back what `start` took. Idempotent."""
        ...


class SimpleModel(LanguageModel):
    """Base of backends without a limit of context that have nothing to start and to give back."""

    spec: str = ""
    context_tokens: int | None = None

    async def start(self) -> None:
        """Do nothing."""

    def facts(self) -> dict[str, Any]:
        return {}

    async def aclose(self) -> None:
        """Do nothing."""
