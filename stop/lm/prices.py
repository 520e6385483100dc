"""Money: what tokens of a hosted model cost, from the price list that genai-prices carries."""

from __future__ import annotations

import functools
from decimal import Decimal
from importlib import metadata
from typing import Any

from stop.lm.base import Usage


def price_usd(
    usage: Usage,
    *,
    model: str,
    base_url: str,
    cached_tokens: int = 0,
    per_million: tuple[float, float] | None = None,
) -> float | None:
    """US dollars for `usage`, None where no price is known.

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
    import genai_prices  # noqa: PLC0415 - its price list is large

    try:
        result = genai_prices.calc_price(
            genai_prices.Usage(
                input_tokens=usage.prompt_tokens,
                output_tokens=usage.completion_tokens,
                cache_read_tokens=min(cached_tokens, usage.prompt_tokens),
            ),
            model_ref=model,
            provider_api_url=base_url,
        )
    except LookupError:
        return None
    return float(result.total_price)


def price_list(
    *, model: str, base_url: str, per_million: tuple[float, float] | None = None
) -> dict[str, Any] | None:
    """The prices that `price_usd` takes, in US dollars for a million tokens, and whose they are.

    None where no price is known. A price that depends on the length of the prompt is a text.
    """
    if per_million is not None:
        prompt, completion = per_million
        return {"source": "given", "prompt": prompt, "completion": completion}
    import genai_prices  # noqa: PLC0415

    try:
        result = genai_prices.calc_price(
            genai_prices.Usage(input_tokens=1, output_tokens=1),
            model_ref=model,
            provider_api_url=base_url,
        )
    except LookupError:
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
    import genai_prices  # noqa: PLC0415

    try:
        result = genai_prices.calc_price(
            genai_prices.Usage(input_tokens=1, output_tokens=1),
            model_ref=model,
            provider_api_url=base_url,
        )
    except LookupError:
        return None
    return result.model.context_window
