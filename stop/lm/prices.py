"""Money: what tokens of a hosted model cost, from the price list that genai-prices carries."""

from __future__ import annotations

import functools
from decimal import Decimal
from importlib import metadata
from typing import TYPE_CHECKING, Any

from stop.lm.base import Usage

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation

_ONE_TOKEN_EACH = Usage(1, 1)


def price_usd(
    usage: Usage,
    *,
    model: str,
    base_url: str,
    cached_tokens: int = 0,
    per_million: tuple[float, float] | None = None,
) -> float | None:
    """Return the price of `usage` in US dollars; None where no price is known.

    Args:
        usage: prompt and completion tokens of one request.
        model: the model as the server knows it.
        base_url: the server; tells the provider.
        cached_tokens: the part of the prompt that the server read from its cache.
        per_million: the user's own prices of a million prompt and completion tokens.
    """
    if per_million is not None:
        prompt, completion = per_million
        return (usage.prompt_tokens * prompt + usage.completion_tokens * completion) / 1e6
    result = _calculated(model, base_url, usage, cached_tokens)
    return None if result is None else float(result.total_price)


def price_list(
    *, model: str, base_url: str, per_million: tuple[float, float] | None = None
) -> dict[str, Any] | None:
    """Return the prices that `price_usd` takes, in US dollars for a million tokens, with a source.

    None where no price is known; arguments as in `price_usd`. A price that depends on the length of
    the prompt is a text.
    """
    if per_million is not None:
        prompt, completion = per_million
        return {"source": "given", "prompt": prompt, "completion": completion}
    result = _calculated(model, base_url)
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


def _plain(price: object) -> float | str | None:
    return float(price) if isinstance(price, Decimal) else None if price is None else str(price)


@functools.lru_cache(maxsize=64)
def context_window(model: str, base_url: str) -> int | None:
    """Tokens that `model` takes, prompt and response together, where the price list says so."""
    result = _calculated(model, base_url)
    return None if result is None else result.model.context_window


def _calculated(
    model: str, base_url: str, usage: Usage = _ONE_TOKEN_EACH, cached_tokens: int = 0
) -> PriceCalculation | None:
    """The price of `usage`; None for a model that is not in the price list."""
    import genai_prices  # noqa: PLC0415 - its price list is large

    tokens = genai_prices.Usage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cache_read_tokens=min(cached_tokens, usage.prompt_tokens),
    )
    try:
        return genai_prices.calc_price(tokens, model_ref=model, provider_api_url=base_url)
    except LookupError:
        return None
