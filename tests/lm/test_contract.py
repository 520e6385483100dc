"""The contract, for every backend that needs no weights."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import stop.lm
from stop.lm import Choice, LanguageModel, LMOptions, LMRequest, LMResponse, Usage, _clock
from stop.lm.local import model as local_module
from stop.lm.local.model import LocalModel
from stop.lm.manual import ManualLM
from stop.lm.recorded import RecordedLM
from stop.lm.remote.openai import OpenAIModel
from stop.lm.scripted import ScriptedLM
from stop.lm.tape import Place
from stop.store import Store
from stop.testing.lm_contract import REPLIES, LMContract
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


class TestTape(LMContract):
    """A tape on which all that the contract asks was recorded, in places of its own."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "run"
        self.folder.mkdir()

    async def make(self, replies: Sequence[str]) -> LanguageModel:
        asked = [(LMRequest("system", "message", n=n), 0) for n in (1, 2, 4)]
        asked += [(LMRequest("s", "a"), 0), (LMRequest("s", "b"), 1)]
        asked += [(LMRequest("s", "again"), 0), (LMRequest("s", "again"), 1)]
        asked += [(LMRequest("s", f"m{i}"), i) for i in range(4)]
        plausible = "Improve this: " + "word " * 50
        asked += [(LMRequest("You are good.", plausible, n=2, max_tokens=200), 0)]
        asked += [(LMRequest("s", "m", n=3, max_tokens=100), 0), (LMRequest("s", "m", n=2), 0)]
        texts = ["", " ", "```\n'\"\\\x00\x1b[0m", "naïve 模型 😀", "lone \ud800 surrogate"]
        asked += [(LMRequest(t, t), 0) for t in [*texts, "x" * 50_000]]
        asked += [(LMRequest("s", "m"), 0), (LMRequest("s", "cancelled"), 0)]
        asked += [(LMRequest("s", "next"), 0)]
        record(self.folder, asked, replies)
        return RecordedLM(self.folder)


def record(folder: Path, asked: Sequence[tuple[LMRequest, int]], replies: Sequence[str]) -> None:
    """A run's store that holds these requests, answered from the reply of that number on."""
    store = Store(folder / "run.db")
    for occurrence, (request, first) in enumerate(asked):
        choices = tuple(Choice(replies[(first + i) % len(replies)]) for i in range(request.n))
        response = LMResponse(choices, Usage(9, 5 * request.n, usd=0.1), "m")
        place = Place("scope", "improver run", request, occurrence)
        store.record(place, response, started=0.0)
    store.close()


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
        monkeypatch.setattr(local_module.server_program, "__file__", str(self.script))

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

    async def test_a_server_that_ended_is_started_again_without_waiting(self) -> None:
        async with self.model() as lm:
            assert isinstance(lm, LocalModel)
            await lm.complete(LMRequest("s", "before"))
            server = lm._server
            assert server is not None
            count_tokens = server.count_tokens

            async def count_and_die(text: str) -> int:
                counted = await count_tokens(text)
                server._process.kill()
                return counted

            server.count_tokens = count_and_die  # type: ignore[method-assign]
            began = _clock.now()
            response = await lm.complete(LMRequest("s", "after"))
            assert response.faults[0] == "server ended"
            assert response.texts == [REPLIES[0]]
            assert _clock.now() - began < 30


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
