"""What one answer of a server cost: its own figures where they can be true, else ours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from stop.lm import prices, tokens
from stop.lm.base import LMRequest, Usage
from stop.lm.remote.wire import Reply

_MOST_CHARACTERS = 12  # of a token, on average over a text; true figures are 3 to 5
_MOST_CHARACTERS_OF_SEVERAL = 6  # stricter where one choice may have been counted for all


@dataclass(frozen=True, slots=True)
class Meter:
    """Counts and prices the tokens of one model on one server."""

    model: str
    base_url: str
    per_million: tuple[float, float] | None = None

    def usage(self, request: LMRequest, reply: Reply) -> Usage:
        """Tokens and money of `reply`; `estimated` when the server's figures were not usable.

        llama.cpp's server, asked for n > 1, counts the completion tokens of one choice only.
        """
        prompt, completion = reply.prompt_tokens, reply.completion_tokens
        estimated = False
        sent = f"{request.system}\n{request.message}"
        if not prompt or prompt < tokens.least_tokens(sent, _MOST_CHARACTERS):
            counted = tokens.count_tokens(sent, self.model) + tokens.CHAT_OVERHEAD
            prompt, estimated = max(counted, prompt or 0), True
        texts = [choice.text for choice in reply.choices]
        each = _MOST_CHARACTERS_OF_SEVERAL if len(texts) > 1 else _MOST_CHARACTERS
        least = sum(tokens.least_tokens(text, each) for text in texts)
        if completion is None or completion < max(least, any(texts)):
            counted = sum(tokens.count_tokens(text, self.model) for text in texts)
            completion, estimated = max(counted, completion or 0), True
        usage = Usage(prompt, completion, estimated=estimated)
        return self._priced(usage, cached_tokens=reply.cached_tokens, served_as=reply.model)

    def worst_case(self, request: LMRequest, *, prompts: int = 1) -> Usage:
        """Upper bound for a request whose prompt is sent `prompts` times."""
        return self._priced(tokens.worst_case(request, prompts=prompts))

    def price_list(self) -> dict[str, Any] | None:
        """As `stop.lm.prices.price_list`."""
        return prices.price_list(
            model=self.model, base_url=self.base_url, per_million=self.per_million
        )

    def _priced(self, usage: Usage, *, cached_tokens: int = 0, served_as: str = "") -> Usage:
        """`usage` with its price under the model's name, else under the server's name for it."""
        for name in dict.fromkeys((self.model, served_as or self.model)):
            usd = prices.price_usd(
                usage,
                model=name,
                base_url=self.base_url,
                cached_tokens=cached_tokens,
                per_million=self.per_million,
            )
            if usd is not None:
                break
        return replace(usage, usd=usd)
