"""Language models behind one protocol: hosted, local, scripted, recorded, or a person.

Each kind lives in a module of its own, which loads when `open_model` first opens such a model.
"""

from __future__ import annotations

from stop.lm.base import Choice, Completer, LanguageModel, LMRequest, LMResponse, Usage
from stop.lm.choose import default_spec, open_model
from stop.lm.options import LMOptions

__all__ = [
    "Choice",
    "Completer",
    "LMOptions",
    "LMRequest",
    "LMResponse",
    "LanguageModel",
    "Usage",
    "default_spec",
    "open_model",
]
