"""How many tokens a text has: exactly where a vocabulary is at hand, else more rather than less.

tiktoken fetches its vocabularies from the internet at first use, without a time limit. So it
only ever works in a thread of its own here: a vocabulary that lies in tiktoken's cache is waited
for, one that does not is used from the moment it has arrived, and until then (or for ever, on an
offline machine) `estimate_tokens` counts.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import tempfile
import threading
from pathlib import Path
from typing import Any

from stop.lm.base import LMRequest, Usage

CHAT_OVERHEAD = 24  # most tokens that a chat template puts around system and user message
_CACHED_WAIT_SECONDS = 5.0
_VOCABULARY_URL = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
_PIECES = re.compile(r"( )(?=[A-Za-z])|[A-Z]?[a-z]+|[A-Z]+|\s+|.", re.DOTALL)
_LONG_WORD = 14  # letters; what is longer is rarely a word
_RUNS = re.compile(r"(.)\1{2,}", re.DOTALL)


def estimate_tokens(text: str) -> int:
    """Tokens of `text` without a vocabulary: about twice the truth for prose and code, about the
    truth for figures and random letters.

    Deterministic, so budgets decide alike when a run is replayed on another machine. The rule:
    two letters a token, fewer in what is too long for a word; each digit and sign one; a character
    outside ASCII one per UTF-8 byte (no byte-level tokenizer takes more); a single space belongs
    to the word behind it; longer white space one per line break and eight characters.
    """
    count = 0
    for match in _PIECES.finditer(text):
        piece = match.group()
        if match.group(1):  # belongs to the word behind it
            continue
        if piece.isspace():
            count += min(len(piece), 1 + piece.count("\n") + len(piece) // 8)
        elif piece.isascii():
            letters = len(piece)
            count += (letters + 1) // 2 if letters <= _LONG_WORD else letters * 3 // 4
        else:
            count += len(piece.encode("utf-8", "replace"))
    return count


def least_tokens(text: str, characters_each: int = 6) -> int:
    """Fewer tokens than this for `text` cannot be the truth (runs of one character collapse)."""
    return len(_RUNS.sub(r"\1\1", " ".join(text.split()))) // characters_each


def count_tokens(text: str, model: str = "") -> int:
    """Tokens of `text` for `model`: by tiktoken for the models it knows, else estimated.

    Never waits for the network.
    """
    encoding = _vocabularies.get(model) if model else None
    if encoding is None:
        return estimate_tokens(text)
    return len(encoding.encode_ordinary(text))


def worst_case(request: LMRequest, *, prompts: int = 1) -> Usage:
    """Upper bound of the tokens of `request`, its prompt being sent `prompts` times, at 0 dollars.

    Always estimated, never by tiktoken: see `estimate_tokens` on replay.
    """
    prompt = prompt_tokens_estimate(request)
    return Usage(prompt * prompts, request.max_tokens * request.n, usd=0.0, estimated=True)


def prompt_tokens_estimate(request: LMRequest) -> int:
    """Upper bound of the tokens of the prompt, with what a chat template adds."""
    return estimate_tokens(request.system) + estimate_tokens(request.message) + CHAT_OVERHEAD


class _Vocabularies:
    """tiktoken encodings by model name, each loaded at most once per process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}
        self._encodings: dict[str, Any] = {}

    def get(self, model: str) -> Any | None:
        """The encoding of `model`; None where there is none, or it has not arrived yet."""
        name = _encoding_name(model)
        if name is None:
            return None
        with self._lock:
            if name not in self._threads:
                thread = threading.Thread(target=self._load, args=(name,), daemon=True)
                self._threads[name] = thread
                thread.start()
                if _is_cached(name):
                    thread.join(_CACHED_WAIT_SECONDS)
        return self._encodings.get(name)

    def _load(self, name: str) -> None:
        import tiktoken  # noqa: PLC0415

        try:
            self._encodings[name] = tiktoken.get_encoding(name)
        except Exception:  # noqa: BLE001 - whatever stops the fetch (proxy, TLS, disk): estimate
            return


@functools.cache
def _encoding_name(model: str) -> str | None:
    import tiktoken  # noqa: PLC0415 - heavy, and not needed by most runs

    try:
        return str(tiktoken.encoding_name_for_model(model))
    except KeyError:
        return None


def _is_cached(name: str) -> bool:
    """Whether tiktoken finds the vocabulary in its cache."""
    blob = "o200k_base" if name == "o200k_harmony" else name
    key = hashlib.sha1(_VOCABULARY_URL.format(blob).encode(), usedforsecurity=False)
    return (vocabulary_folder() / key.hexdigest()).is_file()


def vocabulary_folder() -> Path:
    """Where tiktoken keeps what it fetched (see `tiktoken.load`)."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    return Path(folder) if folder else Path(tempfile.gettempdir()) / "data-gym-cache"


_vocabularies = _Vocabularies()
