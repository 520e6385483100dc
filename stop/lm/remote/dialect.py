"""What one OpenAI-compatible server does not understand, learnt from its refusals."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from stop.lm.base import LMRequest
from stop.lm.redact import valid_text
from stop.lm.remote.wire import Failure

_REFUSED = re.compile(
    r"unsupported|not support|does not support|unrecogni[sz]ed|unknown|unexpected|not permitted"
    r"|not allowed|invalid|must be|only the default|extra (inputs|fields)|extra_forbidden",
    re.IGNORECASE,
)
_UPPER_BOUND = re.compile(
    r"(?:<=|≤|at most|maximum(?: value)?(?: of| is)?|less than or equal to|up to)\s*(\d+)",
    re.IGNORECASE,
)
_SWAPPED = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


@dataclass(slots=True)
class Dialect:
    """How to put a request so that this server takes it.

    Attributes:
        token_field: "max_tokens" or "max_completion_tokens".
        max_n: responses that one request may ask for, where known.
        seed, temperature: whether these may be sent.
        system: whether a system message may be sent; else it leads the user message.
    """

    token_field: str = "max_tokens"
    max_n: int | None = None
    seed: bool = True
    temperature: bool = True
    system: bool = True

    def body(self, request: LMRequest, *, model: str, n: int, offset: int) -> dict[str, Any]:
        """The JSON body that asks for `n` of the responses, the first being number `offset`."""
        n = min(n, self.max_n or n)
        system, message = valid_text(request.system), valid_text(request.message)
        messages = [{"role": "system", "content": system}] if system and self.system else []
        if system and not self.system:
            message = f"{system}\n\n{message}"
        messages.append({"role": "user", "content": message})
        body: dict[str, Any] = {"model": model, "messages": messages}
        body[self.token_field] = request.max_tokens
        if self.temperature:
            body["temperature"] = request.temperature
        if n > 1:
            body["n"] = n
        if self.seed and request.seed is not None:
            # Asked again with the same seed, a server would give the same response again.
            body["seed"] = (request.seed + offset) % 2**31
        return body

    def adapt(self, failure: Failure, body: dict[str, Any], tried: set[str]) -> bool:
        """Whether the refusal of `body` taught us another way to put it.

        `tried` holds what was changed for this request already; nothing is changed twice.
        """
        words = f"{failure.code} {failure.detail}"
        if failure.status not in (400, 422) or not _REFUSED.search(words):
            return False
        for name in ("max_completion_tokens", "max_tokens", "seed", "temperature", "n", "system"):
            if name not in tried and self._sends(name, body) and _names(failure, name):
                tried.update({name, _SWAPPED.get(name, name)})
                self._give_up(name, failure, body)
                return True
        return False

    def _sends(self, name: str, body: dict[str, Any]) -> bool:
        if name == "system":
            return any(message["role"] == "system" for message in body["messages"])
        return name in body

    def _give_up(self, name: str, failure: Failure, body: dict[str, Any]) -> None:
        if name in _SWAPPED:
            self.token_field = _SWAPPED[name]
        elif name == "n":
            bounds = _UPPER_BOUND.search(failure.detail)
            most = int(bounds.group(1)) if bounds else 1
            self.max_n = most if 1 <= most < body["n"] else 1
        else:
            setattr(self, name, False)


def _names(failure: Failure, name: str) -> bool:
    if name in _SWAPPED and re.search(r"too (large|high|big)|at most \d", failure.detail):
        return False  # the figure is refused, not the field
    if failure.param:
        return failure.param == name or (
            name == "system" and failure.param.startswith("messages") and "system" in failure.detail
        )
    if name == "system":
        return re.search(r"['\"`]?system['\"`]? (role|message)", failure.detail) is not None
    pattern = rf"['\"`]{name}['\"`]" if len(name) == 1 else rf"\b{name}\b"
    return re.search(pattern, failure.detail) is not None
