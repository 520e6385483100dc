"""Language models behind one protocol: hosted, local, scripted, recorded, or a person.

Import cost is kept low: a backend's module and its libraries load when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stop.lm.base import (
        Choice,
        LanguageModel,
        LMRequest,
        LMResponse,
        Usage,
    )
    from stop.lm.choose import default_spec, open_model
    from stop.lm.local.model import LocalModel
    from stop.lm.local.models import MODELS, ModelFile, find_model, pulled_models
    from stop.lm.local.pull import pull_model
    from stop.lm.manual import ManualLM
    from stop.lm.options import LMOptions
    from stop.lm.recorded import RecordedLM
    from stop.lm.remote.openai import OpenAIModel
    from stop.lm.scripted import ScriptedLM
    from stop.lm.tokens import count_tokens, estimate_tokens

_HOMES = {
    "Choice": "base",
    "LMOptions": "options",
    "LMRequest": "base",
    "LMResponse": "base",
    "LanguageModel": "base",
    "LocalModel": "local.model",
    "MODELS": "local.models",
    "ManualLM": "manual",
    "ModelFile": "local.models",
    "OpenAIModel": "remote.openai",
    "RecordedLM": "recorded",
    "ScriptedLM": "scripted",
    "Usage": "base",
    "count_tokens": "tokens",
    "default_spec": "choose",
    "estimate_tokens": "tokens",
    "find_model": "local.models",
    "open_model": "choose",
    "pull_model": "local.pull",
    "pulled_models": "local.models",
}

__all__ = [
    "MODELS",
    "Choice",
    "LMOptions",
    "LMRequest",
    "LMResponse",
    "LanguageModel",
    "LocalModel",
    "ManualLM",
    "ModelFile",
    "OpenAIModel",
    "RecordedLM",
    "ScriptedLM",
    "Usage",
    "count_tokens",
    "default_spec",
    "estimate_tokens",
    "find_model",
    "open_model",
    "pull_model",
    "pulled_models",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
