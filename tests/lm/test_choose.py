from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import stop.lm
from stop.errors import ConfigError, LMUnavailable
from stop.lm import LMOptions, default_spec, open_model
from stop.lm.local.models import store_folder
from stop.lm.manual import ManualLM
from stop.lm.remote.openai import OpenAIModel
from stop.lm.scripted import ScriptedLM


@pytest.mark.parametrize(
    "spec", ["", "openai", "openai:", "gpt-4o", "local:", "other:x", "manual:"]
)
def test_unknown_specs_name_the_kinds(spec: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_model(spec)
    for kind in ("openai:MODEL", "local:NAME", "scripted:FILE", "manual:DIR"):
        assert kind in caught.value.hint


def test_specs_open_their_kind(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('"a"\n')
    assert isinstance(open_model(f"scripted:{path}"), ScriptedLM)
    assert isinstance(open_model(f"manual:{tmp_path}"), ManualLM)
    hosted = open_model("openai:org/model:free", base_url="http://127.0.0.1:1/v1")
    assert isinstance(hosted, OpenAIModel)
    assert hosted.spec == "openai:org/model:free"
    assert hosted.base_url == "http://127.0.0.1:1/v1"


def test_local_models_that_are_not_here() -> None:
    with pytest.raises(LMUnavailable) as caught:
        open_model("local:qwen2.5-coder-0.5b")
    assert "stop model pull qwen2.5-coder-0.5b" in caught.value.hint
    with pytest.raises(ConfigError) as unknown:
        open_model("local:nobody")
    assert "qwen2.5-coder-1.5b" in unknown.value.hint


def test_default_is_the_environment_then_a_local_model(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LMUnavailable) as caught:
        default_spec()
    for way in ("OPENAI_API_KEY", "stop model pull", "scripted:FILE"):
        assert way in caught.value.hint
    store_folder().mkdir(parents=True)
    (store_folder() / "mine.gguf").touch()
    assert default_spec() == "local:mine"
    (store_folder() / "qwen2.5-coder-1.5b.gguf").touch()
    assert default_spec() == "local:qwen2.5-coder-1.5b"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert default_spec() == "openai:gpt-4o-mini"
    monkeypatch.setenv("OPENAI_MODEL", "m")
    assert default_spec() == "openai:m"


@pytest.mark.parametrize(
    "options",
    [{"timeout": 0}, {"patience": -1}, {"max_concurrency": 0}, {"price_per_million": (-1.0, 0.0)}],
)
def test_options_without_sense(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        LMOptions(**options)  # type: ignore[arg-type]


def test_import_is_light() -> None:
    heavy = "{'openai', 'tiktoken', 'genai_prices', 'xllamacpp', 'huggingface_hub', 'httpx2'}"
    code = (
        f"import sys, stop.lm, stop.lm.scripted, stop.lm.manual, stop.lm.recorded, stop.lm.tape; "
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(stop.lm.__file__).parents[2],
    )
    assert result.stdout.strip() == "[]"
