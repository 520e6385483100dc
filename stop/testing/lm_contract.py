"""What every language model backend must do, as tests to inherit.

    from stop.testing.lm_contract import LMContract

    class TestMine(LMContract):
        async def make(self, replies):
            return MyModel(...)          # gives `replies` in order, one for each choice

Needs pytest and pytest-asyncio.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence

import pytest

from stop.lm.base import LanguageModel, LMRequest

REPLIES = (
    "def f():\n    return 1\n",
    "Here it is:\n```python\nx = 'naïve — 模型 😀'\n```\n",
    "  leading and trailing blanks  ",
    "fourth",
)


class LMContract:
    """Inherit, implement `make`, and pytest does the rest."""

    pytestmark = pytest.mark.asyncio

    async def make(self, replies: Sequence[str]) -> LanguageModel:
        """A new model that gives `replies` in order, one for each choice."""
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def model(self, replies: Sequence[str] = REPLIES) -> AsyncIterator[LanguageModel]:
        lm = await self.make(replies)
        await lm.start()
        try:
            yield lm
        finally:
            await lm.aclose()

    async def test_spec_names_its_kind(self) -> None:
        async with self.model() as lm:
            kind, colon, name = lm.spec.partition(":")
            assert kind
            assert colon
            assert name

    async def test_context_is_none_or_positive(self) -> None:
        async with self.model() as lm:
            assert lm.context_tokens is None or lm.context_tokens > 0

    @pytest.mark.parametrize("n", [1, 2, 4])
    async def test_exactly_n_choices_in_order(self, n: int) -> None:
        async with self.model() as lm:
            response = await lm.complete(LMRequest("system", "message", n=n))
        assert response.texts == list(REPLIES[:n])
        assert all(choice.finish_reason for choice in response.choices)

    async def test_requests_after_each_other_go_on(self) -> None:
        async with self.model() as lm:
            first = await lm.complete(LMRequest("s", "a"))
            second = await lm.complete(LMRequest("s", "b"))
        assert [*first.texts, *second.texts] == list(REPLIES[:2])

    async def test_the_same_request_twice_is_two_samples(self) -> None:
        async with self.model() as lm:
            request = LMRequest("s", "again", seed=1)
            texts = [(await lm.complete(request)).texts[0] for _ in range(2)]
        assert texts == list(REPLIES[:2])

    async def test_concurrent_requests_share_nothing(self) -> None:
        async with self.model() as lm:
            requests = [LMRequest("s", f"m{i}") for i in range(4)]
            responses = await asyncio.gather(*map(lm.complete, requests))
        assert sorted(text for r in responses for text in r.texts) == sorted(REPLIES)

    async def test_usage_is_plausible_and_below_the_worst_case(self) -> None:
        request = LMRequest("You are good.", "Improve this: " + "word " * 50, n=2, max_tokens=200)
        async with self.model() as lm:
            bound = lm.worst_case(request)
            usage = (await lm.complete(request)).usage
        assert 0 < usage.prompt_tokens <= bound.prompt_tokens
        assert 0 < usage.completion_tokens <= bound.completion_tokens
        assert usage.usd is None or usage.usd >= 0
        assert (usage.usd is None) == (bound.usd is None)
        assert usage.usd is None or bound.usd is None or usage.usd <= bound.usd

    async def test_worst_case_does_not_change(self) -> None:
        request = LMRequest("s", "m", n=3, max_tokens=100)
        async with self.model() as lm:
            before = lm.worst_case(request)
            await lm.complete(request)
            assert lm.worst_case(request) == before
        assert before.completion_tokens >= 300

    async def test_any_text_can_be_sent(self) -> None:
        texts = [
            "",
            " ",
            "```\n'\"\\\x00\x1b[0m",
            "naïve 模型 😀",
            "lone \ud800 surrogate",
            "x" * 50_000,
        ]
        async with self.model() as lm:
            for text in texts:
                assert len((await lm.complete(LMRequest(text, text))).texts) == 1

    async def test_response_is_plain_data(self) -> None:
        async with self.model() as lm:
            response = await lm.complete(LMRequest("s", "m", n=2))
        assert json.loads(json.dumps(response.to_dict()))["choices"][1]["text"] == REPLIES[1]

    async def test_start_and_aclose_are_idempotent(self) -> None:
        lm = await self.make(REPLIES)
        await lm.aclose()
        await lm.start()
        await lm.start()
        assert len((await lm.complete(LMRequest("s", "m"))).texts) == 1
        await lm.aclose()
        await lm.aclose()

    async def test_a_cancelled_request_leaves_the_model_usable(self) -> None:
        async with self.model() as lm:
            task = asyncio.ensure_future(lm.complete(LMRequest("s", "cancelled")))
            await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert len((await lm.complete(LMRequest("s", "next"))).texts) == 1
