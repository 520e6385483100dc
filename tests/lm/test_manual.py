from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from stop.errors import LMRequestRefused, LMUnavailable
from stop.lm import LMRequest
from stop.lm.manual import ManualLM

ASK = LMRequest("You are good.", "Improve this.", max_tokens=77)


def model(folder: Path) -> ManualLM:
    return ManualLM(folder, poll_seconds=0.005)


async def appears(path: Path) -> str:
    for _ in range(30_000):
        if exists(path):
            return read(path)
        await asyncio.sleep(0.002)
    raise AssertionError(f"{path} did not appear")


def exists(path: Path) -> bool:
    return path.exists()


def read(path: Path) -> str:
    return path.read_text()


def count_requests(folder: Path) -> int:
    return len(list(folder.glob("*.request.md")))


async def test_the_request_file_says_how_to_answer(tmp_path: Path) -> None:
    task = asyncio.create_task(model(tmp_path).complete(ASK))
    text = await appears(tmp_path / "0001.request.md")
    for words in ("You are good.", "Improve this.", "0001.reply.md", "77 tokens"):
        assert words in text
    (tmp_path / "0001.reply.md").write_text("answer\n")
    assert (await task).texts == ["answer\n"]


async def test_several_replies_each_have_a_file(tmp_path: Path) -> None:
    task = asyncio.create_task(model(tmp_path).complete(LMRequest("s", "m", n=2)))
    assert "`0001.1.reply.md`, `0001.2.reply.md`" in await appears(tmp_path / "0001.request.md")
    (tmp_path / "0001.2.reply.md").write_text("second")
    await asyncio.sleep(0.05)
    assert not task.done()
    (tmp_path / "0001.1.reply.md").write_text("first")
    assert (await task).texts == ["first", "second"]


async def test_a_growing_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reply = tmp_path / "0001.reply.md"
    parts = ["", *(f"{number} " for number in range(10))]  # editors make an empty file first

    async def grows(seconds: float) -> None:
        """What happens between two looks at the file."""
        if parts:
            with reply.open("a") as file:
                file.write(parts.pop(0))

    monkeypatch.setattr("stop.lm.manual.asyncio", SimpleNamespace(sleep=grows))
    assert (await model(tmp_path).complete(ASK)).texts == ["0 1 2 3 4 5 6 7 8 9 "]


async def test_a_restart_uses_the_replies_that_are_there(tmp_path: Path) -> None:
    """Twice the same request, then another: the second life finds each one's own reply."""
    other = LMRequest("s", "other")
    for number in range(3):
        (tmp_path / f"{number + 1:04d}.reply.md").write_text(f"reply {number}")
    lm = model(tmp_path)
    first = [(await lm.complete(request)).texts for request in (ASK, ASK, other)]
    again = model(tmp_path)
    second = [(await again.complete(request)).texts for request in (other, ASK, ASK)]
    assert first == [["reply 0"], ["reply 1"], ["reply 2"]]
    assert second == [["reply 2"], ["reply 0"], ["reply 1"]]
    assert count_requests(tmp_path) == 3
    task = asyncio.create_task(again.complete(ASK))
    await appears(tmp_path / "0004.request.md")
    task.cancel()


async def test_waiting_is_announced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = asyncio.create_task(model(tmp_path).complete(ASK))
    await appears(tmp_path / "0001.request.md")
    assert "0001.request.md" in caplog.text
    task.cancel()


async def test_a_reply_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "0001.reply.md").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(LMRequestRefused, match="UTF-8"):
        await model(tmp_path).complete(ASK)


async def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LMUnavailable, match="cannot use the folder"):
        await model(tmp_path / "file").start()


def test_about_txt_says_who_answers(tmp_path: Path) -> None:
    assert model(tmp_path).facts() == {}
    (tmp_path / "about.txt").write_text(
        "\n A model,\t by \x1b[31mhand\n\u202e" + "x" * 9000, "utf-8"
    )
    about = model(tmp_path).facts()["about"]
    assert about.startswith("A model, by [31mhand xxx")
    assert about.isprintable()
    assert len(about) == 500
    (tmp_path / "about.txt").write_bytes(b"\xff\n")
    assert model(tmp_path).facts() == {"about": "\ufffd"}
