"""Options of a language model that are not part of its name."""

from __future__ import annotations

from dataclasses import dataclass, field

from stop.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class LMOptions:
    """How to talk to a model. What a kind of model has no use for, it ignores.

    Attributes:
        base_url: the OpenAI-compatible server (openai); None takes OPENAI_BASE_URL.
        api_key: the server's key (openai); None takes OPENAI_API_KEY.
        timeout: seconds that one request may take; None for the kind's default.
        patience: seconds over which one request is tried again; None for the kind's default.
        max_concurrency: requests in flight at once (openai).
        requests_per_minute: upper bound of requests sent (openai).
        context_tokens: what prompt and response may have together. For `local` the size to
            serve with.
        price_per_million: US dollars for a million prompt and a million completion tokens,
            instead of the price list (openai).
        slots: responses that are generated side by side (local).
        threads: processor threads (local); None takes all cores but one, and both of two.
    """

    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    timeout: float | None = None
    patience: float | None = None
    max_concurrency: int = 8
    requests_per_minute: float | None = None
    context_tokens: int | None = None
    price_per_million: tuple[float, float] | None = None
    slots: int = 4
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in ("timeout", "requests_per_minute", "context_tokens", "threads"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} of a language model must be above 0, not {value}")
        if self.patience is not None and not self.patience >= 0:
            raise ConfigError(f"patience of a language model must not be below 0: {self.patience}")
        for name in ("max_concurrency", "slots"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} of a language model must be at least 1")
        if self.price_per_million and not min(self.price_per_million) >= 0:
            raise ConfigError("price_per_million of a language model must not be below 0")
