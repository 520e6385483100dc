"""The local server's process; with real weights only where marked."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from stop.errors import LMUnavailable
from stop.lm import LMOptions, LMRequest
from stop.lm.local import model as local_module
from stop.lm.local import server as local_server
from stop.lm.local.model import LocalModel
from stop.lm.local.pull import pull_model


async def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"not a model")
    lm = LocalModel(str(path))
    with pytest.raises(LMUnavailable, match="before it was ready") as caught:
        await lm.start()
    assert "gguf" in caught.value.message
    await lm.aclose()


async def test_a_missing_library_has_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.gguf"
    path.touch()
    script = tmp_path / "server.py"
    script.write_text(f"raise SystemExit({local_server.MISSING_LIBRARY})")
    monkeypatch.setattr(local_module.server_program, "__file__", str(script))
    with pytest.raises(LMUnavailable, match="xllamacpp") as caught:
        await LocalModel(str(path)).start()
    assert "stop-optimizer[local]" in caught.value.hint


async def test_a_server_that_is_never_ready_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.gguf"
    path.touch()
    script = tmp_path / "server.py"
    script.write_text(
        "import sys; sys.stderr.write('loading'); sys.stderr.flush(); sys.stdin.read()"
    )
    monkeypatch.setattr(local_module.server_program, "__file__", str(script))
    servers: list[local_module._Server] = []
    send_key = local_module._Server._send_key

    def once_it_loads(self: local_module._Server) -> None:
        servers.append(self)
        while "loading" not in self.log_tail():  # a busy machine takes its time to begin
            time.sleep(0.01)
        send_key(self)

    monkeypatch.setattr(local_module._Server, "_send_key", once_it_loads)
    monkeypatch.setattr(local_module, "START_SECONDS", 0.05)
    with pytest.raises(LMUnavailable, match=r"not ready.*loading"):
        await LocalModel(str(path)).start()
    assert not servers[0].alive


@pytest.mark.slow
@pytest.mark.model
async def test_a_real_model() -> None:
    pytest.importorskip("xllamacpp")
    name = "qwen2.5-coder-0.5b"
    pull_model(name)
    lm = LocalModel(name, LMOptions(context_tokens=4096))
    try:
        request = LMRequest("You are a Python expert.", "Add two numbers.", n=2, max_tokens=40)
        response = await lm.complete(request)
        assert len(response.texts) == 2
        assert all(response.texts)
        usage = response.usage
        assert not usage.estimated
        assert usage.usd == 0
        bound = lm.worst_case(request)
        assert 0 < usage.prompt_tokens <= bound.prompt_tokens
        for choice in response.choices:
            assert choice.finish_reason in ("stop", "length")
        if all(choice.finish_reason == "length" for choice in response.choices):
            assert usage.completion_tokens == 80
        assert 0 < usage.completion_tokens <= bound.completion_tokens
        assert lm._server is not None
        with pytest.raises(urllib.error.HTTPError, match="401"):
            await asyncio.to_thread(
                urllib.request.urlopen, f"{lm._server.address}/v1/chat/completions", b"{}"
            )
        # More responses than slots are split, and a server that was killed comes back.
        lm._server._process.kill()
        many = await lm.complete(LMRequest("", "Say hi.", n=5, max_tokens=5))
        assert len(many.texts) == 5
        assert many.faults[0] == "server ended"
    finally:
        await lm.aclose()


@pytest.mark.model
def test_the_server_ends_with_its_parent() -> None:
    pytest.importorskip("xllamacpp")
    path = pull_model("qwen2.5-coder-0.5b")
    with subprocess.Popen(
        [sys.executable, "-P", local_server.__file__, "--model", str(path), "--context", "512"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdin.write(b"0123456789abcdef\n")
        process.stdin.flush()
        assert b"http://127.0.0.1:" in process.stdout.readline()
        process.stdin.close()  # what the kernel does when the parent is killed
        assert process.wait(60) == 0
