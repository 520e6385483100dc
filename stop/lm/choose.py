"""Opens the model that the user names."""

from __future__ import annotations

import os
import pkgutil
from dataclasses import replace

from stop.errors import ConfigError, LMUnavailable
from stop.lm.base import LanguageModel
from stop.lm.options import LMOptions

KINDS = {
    "openai": ("remote.openai:OpenAIModel", "openai:MODEL (any OpenAI-compatible server)"),
    "local": ("local.model:LocalModel", "local:NAME (a pulled model, or a .gguf file)"),
    "scripted": ("scripted:ScriptedLM.from_file", "scripted:FILE (replies from a JSONL file)"),
    "manual": ("manual:ManualLM", "manual:DIR (a person answers)"),
    "tape": ("recorded:RecordedLM", "tape:RUN (the responses of an earlier run)"),
}
"""By kind what opens it, in a module that is imported when it is needed, and its help."""
_WITH_OPTIONS = ("openai", "local")
DEFAULT_OPENAI_MODEL = "gpt-4o-mini"
PREFERRED_LOCAL = "qwen2.5-coder-1.5b"


def open_model(
    spec: str, *, base_url: str | None = None, options: LMOptions | None = None
) -> LanguageModel:
    """Open the model that `spec` names, without starting it.

    Args:
        spec: `openai:MODEL`, `local:NAME`, `scripted:FILE`, `manual:DIR` or `tape:FOLDER`.
        base_url: the server of `openai`, before that of `options` and of OPENAI_BASE_URL.
        options: timeouts in seconds, limits and prices, for the kinds that have a use for them.

    Raises:
        ConfigError: there is no such kind, model or run; an option makes no sense; the file of
            replies is broken.
        LMUnavailable: the local model is not pulled.
        RunError: a process is at work on the recorded run.
    """
    kind, _, name = spec.partition(":")
    if kind not in KINDS or not name:
        raise ConfigError(
            f"{spec!r} names no language model",
            hint="write one of: " + ", ".join(text for _, text in KINDS.values()),
        )
    opens = pkgutil.resolve_name(f"stop.lm.{KINDS[kind][0]}")
    options = options or LMOptions()
    if base_url is not None:
        options = replace(options, base_url=base_url)
    model: LanguageModel = opens(name, options) if kind in _WITH_OPTIONS else opens(name)
    return model


def default_spec() -> str:
    """The model to use when the user named none: that of the environment's OpenAI variables (its
    name from OPENAI_MODEL), else a pulled local model.

    Raises:
        LMUnavailable: there is neither; the hint names the ways.
    """
    if os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"):
        return f"openai:{os.environ.get('OPENAI_MODEL') or DEFAULT_OPENAI_MODEL}"
    from stop.lm.local.models import pulled_models  # noqa: PLC0415

    pulled = pulled_models()
    if pulled:
        return f"local:{PREFERRED_LOCAL if PREFERRED_LOCAL in pulled else min(pulled)}"
    raise LMUnavailable(
        "no language model is configured",
        hint="one of: export OPENAI_API_KEY=… (and OPENAI_BASE_URL for another server); "
        f"stop model pull {PREFERRED_LOCAL} and then local:{PREFERRED_LOCAL}; "
        "scripted:FILE or manual:DIR for replies that are written by hand",
    )
