"""One request to an OpenAI-compatible server, and its outcome as a value."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stop.errors import LMUnavailable, machine_trouble
from stop.lm.remote.wire import Failure, Reply, parse_reply, status_failure

if TYPE_CHECKING:
    import openai

CONNECT_SECONDS = 20.0
# The HTTP library's names for failures before anything was sent.
_UNSENT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol"}


async def exchange(
    client: openai.AsyncOpenAI,
    body: dict[str, Any],
    seconds: float,
    *,
    clean: Callable[[str], str],
    on_cut: Callable[[], None],
) -> Reply | Failure:
    """Send `body` once.

    Args:
        client: of the server.
        body: of a chat completion.
        seconds: that it may take, until the last byte.
        clean: takes keys out of a server's words.
        on_cut: called when it was sent and no whole answer came, so it may be charged for; also
            when it is cancelled.

    Raises:
        LMUnavailable: this machine cannot send anything.
    """
    import openai  # noqa: PLC0415 - half a second

    try:
        # The library's time-out is for each read; a server that trickles would never end.
        async with asyncio.timeout(seconds):
            raw = await client.chat.completions.with_raw_response.create(
                **body, timeout=openai.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
            )
            content = raw.http_response.content
    except (TimeoutError, openai.APIConnectionError) as error:
        if trouble := machine_trouble(error):  # ours: no server is to blame, or to wait for
            raise LMUnavailable(trouble.message, hint=trouble.remedy, resume="") from error
        cause = error.__cause__ or error
        kind = type(cause).__name__
        if kind not in _UNSENT:
            on_cut()
            if isinstance(error, TimeoutError | openai.APITimeoutError):
                return Failure("timeout", f"no answer within {seconds:.0f} s", True, server=True)
        return Failure("connection", clean(f"{kind}: {cause}"), True, server=True)
    except asyncio.CancelledError:
        on_cut()
        raise
    except openai.APIStatusError as error:
        return status_failure(error.status_code, error.body, error.response.headers, clean)
    outcome = parse_reply(content, clean)
    if isinstance(outcome, Failure) and not outcome.status:  # a model may have worked for it
        on_cut()
    return outcome
