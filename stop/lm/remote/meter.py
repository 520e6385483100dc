"""What one answer of a server cost: its own figures where they can be true, else ours.

Prices are the user's own, or those of the price list that genai-prices carries.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from decimal import Decimal
from importlib import metadata
from typing import TYPE_CHECKING, Any

from stop.lm import tokens
from stop.lm.base import LMRequest, Usage
from stop.lm.remote.wire import Reply

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation

_ONE_TOKEN_EACH = Usage(1, 1)
_MOST_CHARACTERS = 12  # of a token, on average over a text; true figures are 3 to 5
_MOST_CHARACTERS_OF_SEVERAL = 6  # stricter where one choice may have been counted for all


@dataclass(frozen=True, slots=True)
class Meter:
    """Counts and prices the tokens of one model on one server.

    Attributes:
        model: its name on the server.
        base_url: of the server; tells the provider.
        per_million: the user's own prices of a million prompt and completion tokens, in US dollars.
    """

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
        return self._priced(usage, reply.cached_tokens, reply.model)

    def worst_case(self, request: LMRequest, *, prompts: int = 1) -> Usage:
        """Upper bound for a request whose prompt is sent `prompts` times."""
        return self._priced(tokens.worst_case(request, prompts=prompts))

    def price_list(self) -> dict[str, Any] | None:
        """Return the prices of a million tokens in US dollars, with their source.

        None where no price is known. A price that depends on the length of the prompt is a text.
        """
        if self.per_million is not None:
            prompt, completion = self.per_million
            return {"source": "given", "prompt": prompt, "completion": completion}
        result = _calculated(self.model, self.base_url)
        if result is None:
            return None
        price = result.model_price
        return {
            "source": f"genai-prices {metadata.version('genai-prices')}",
            "model": f"{result.provider.id}:{result.model.id}",
            "prompt": _plain(price.input_mtok),
            "cached_prompt": _plain(price.cache_read_mtok),
            "completion": _plain(price.output_mtok),
        }

    def _priced(self, usage: Usage, cached_tokens: int = 0, served_as: str = "") -> Usage:
        """`usage` with its price under the model's name, else under the server's name for it."""
        if self.per_million is not None:
            prompt, completion = self.per_million
            usd = (usage.prompt_tokens * prompt + usage.completion_tokens * completion) / 1e6
            return replace(usage, usd=usd)
        for name in dict.fromkeys((self.model, served_as or self.model)):
            if (result := _calculated(name, self.base_url, usage, cached_tokens)) is not None:
                return replace(usage, usd=float(result.total_price))
        return replace(usage, usd=None)


@functools.lru_cache(maxsize=64)
def context_window(model: str, base_url: str) -> int | None:
    """Tokens that `model` takes, prompt and response together, where the price list says so."""
    result = _calculated(model, base_url)
    return None if result is None else result.model.context_window


def _plain(price: object) -> float | str | None:
    return float(price) if isinstance(price, Decimal) else None if price is None else str(price)


def _calculated(
    model: str, base_url: str, usage: Usage = _ONE_TOKEN_EACH, cached_tokens: int = 0
) -> PriceCalculation | None:
    """The price of `usage`; None for a model that is not in the price list."""
    import genai_prices  # noqa: PLC0415 - its price list is large

    counts = genai_prices.Usage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cache_read_tokens=min(cached_tokens, usage.prompt_tokens),
    )
    try:
        return genai_prices.calc_price(counts, model_ref=model, provider_api_url=base_url)
    except LookupError:
        return None
