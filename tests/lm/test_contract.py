"""The contract, for every backend that needs no weights."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import stop.lm
from stop.lm import (
    LanguageModel,
    LMOptions,
    LMRequest,
    LocalModel,
    ManualLM,
    OpenAIModel,
    ScriptedLM,
)
from stop.lm import local as local_module
from stop.testing.lm_contract import LMContract
from stop.testing.openai_server import OpenAIServer


class TestScripted(LMContract):
    async def make(self, replies: Sequence[str]) -> LanguageModel:
        return ScriptedLM(replies)


class TestScriptedFile(LMContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "replies.jsonl"

    async def make(self, replies: Sequence[str]) -> LanguageModel:
        self.path.write_text("".join(json.dumps(reply) + "\n" for reply in replies))
        return ScriptedLM.from_file(self.path)


class _OpenAI(LMContract):
    honours_n = True
    max_n: int | None = None

    @pytest.fixture(autouse=True)
    def _servers(self) -> Iterator[None]:
        self.servers: list[OpenAIServer] = []
        yield
        for server in self.servers:
            server.close()

    async def make(self, replies: Sequence[str]) -> LanguageModel:
        server = OpenAIServer(replies, honours_n=self.honours_n, max_n=self.max_n)
        self.servers.append(server)
        # One at a time, so that the order of choices is the server's.
        return OpenAIModel("m", LMOptions(base_url=server.base_url, max_concurrency=1))


class TestOpenAI(_OpenAI):
    pass


class TestOpenAIWithoutN(_OpenAI):
    honours_n = False


class TestOpenAIWithLimitedN(_OpenAI):
    max_n = 2


class TestLocal(LMContract):
    """The process and the counting of `LocalModel`, with a server that needs no weights."""

    @pytest.fixture(autouse=True)
    def _fake_server(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.weights = tmp_path / "tiny.gguf"
        self.weights.touch()
        self.script = tmp_path / "server.py"
        monkeypatch.setattr(local_module.local_server, "__file__", str(self.script))

    async def make(self, replies: Sequence[str]) -> LanguageModel:
        self.script.write_text(
            f"""
import json, sys
sys.path.insert(0, {str(Path(stop.lm.__file__).parents[2])!r})
from stop.testing.openai_server import OpenAIServer
key = sys.stdin.readline().strip()
with OpenAIServer({list(replies)!r}, key=key, max_n=4, usage="one choice") as server:
    print(json.dumps({{"address": server.base_url.removesuffix("/v1")}}), flush=True)
    sys.stdin.read()
"""
        )
        return LocalModel(str(self.weights))

    async def test_tokens_of_several_choices_are_counted(self) -> None:
        async with self.model() as lm:
            response = await lm.complete(LMRequest("s", "m", n=6))
        wanted = sum(len(text.encode()) // 4 + 1 for text in response.texts)
        assert response.usage.completion_tokens == wanted
        assert not response.usage.estimated
        assert response.usage.usd == 0


class TestManual(LMContract):
    """A thread plays the person: it answers each request as it appears."""

    @pytest.fixture(autouse=True)
    def _person(self, tmp_path: Path) -> Iterator[None]:
        self.folder = tmp_path / "answers"
        self.replies: Sequence[str] = []
        gone = threading.Event()

        def answer() -> None:
            given = 0
            answered: set[str] = set()
            while not gone.wait(0.002):
                for path in sorted(self.folder.glob("*.request.md")):
                    text = path.read_text(errors="replace")
                    if path.name in answered or "## Message" not in text:
                        continue
                    answered.add(path.name)
                    number = path.name.split(".")[0]
                    names = [f"{number}.reply.md"]
                    if "independent replies" in text:
                        count = text.count(".reply.md`")
                        names = [f"{number}.{index + 1}.reply.md" for index in range(count)]
                    for name in names:
                        draft = self.folder / "draft"
                        draft.write_text(self.replies[given % len(self.replies)])
                        draft.rename(self.folder / name)
                        given += 1

        thread = threading.Thread(target=answer)
        thread.start()
        yield
        gone.set()
        thread.join()

    async def make(self, replies: Sequence[str]) -> LanguageModel:
        self.replies = replies
        return ManualLM(self.folder, poll_seconds=0.005)
