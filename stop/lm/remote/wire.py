"""What an OpenAI-compatible server says, read without trusting it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from stop.errors import LMError, LMRequestRefused, LMUnavailable
from stop.lm.base import Choice
from stop.lm.redact import valid_text

_PASSING = {408, 409, 425, 429}
Cause = Literal["", "credit", "quota", "context", "filter"]
"""What a refusal is about, where its words tell: no money, a quota (of a minute, or for good), too
long a prompt, a content filter."""

_CAUSES: dict[Cause, re.Pattern[str]] = {
    "credit": re.compile(
        r"insufficient[ _](quota|credits?|balance|funds)|billing[ _](hard[ _])?limit"
        r"|billing_not_active|account is not active|(no|out of) credits?\b",
        re.IGNORECASE,
    ),
    "quota": re.compile(r"exceeded your current quota", re.IGNORECASE),
    "context": re.compile(
        r"context[ _](length|size|window)|maximum context|prompt is too long"
        r"|too many (input )?tokens|exceeds? the (available|model'?s) context|input is too long",
        re.IGNORECASE,
    ),
    "filter": re.compile(r"content[ _](filter|policy|management)|responsible ai", re.IGNORECASE),
}
_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{0,12})?")
_LONGEST_DATE = 64  # characters
_LONGEST_NAME = 200  # characters
_LONGEST_WAIT = 7 * 24 * 3600.0  # who asks for more means something else
_MOST_TOKENS = 10**9  # of one answer; a larger figure is not a count
_READ = 20_000  # characters of a server's words that are looked at


@dataclass(frozen=True, slots=True)
class Failure:
    """One attempt that brought no answer. `detail` is already redacted.

    Attributes:
        reason: "429", "500", "timeout", "connection", "malformed" or "web page".
        retry: whether the same request may pass later.
        status: of HTTP; 0 when there was no answer.
        cause: what a refusal is about.
        code: the server's own, and its kind of error.
        param: the parameter that the server names.
        retry_after: seconds that the server asks us to wait.
        server: whether the server is in trouble, not this request.
        outage: for how long it has been, in words, when that was too long.
    """

    reason: str
    detail: str
    retry: bool
    status: int = 0
    cause: Cause = ""
    code: str = ""
    param: str = ""
    retry_after: float | None = None
    server: bool = False
    outage: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer. Token figures are None where the server gave none that make sense."""

    choices: tuple[Choice, ...]
    model: str
    fingerprint: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int


def parse_reply(content: bytes, clean: Callable[[str], str]) -> Reply | Failure:
    """Read a chat completion from the body of a 200."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):  # bad JSON, bad UTF-8, nested without end
        start = clean(content[:2000].decode("utf-8", "replace"))
        kind = "web page" if content[:200].lstrip().startswith(b"<") else "malformed"
        return Failure(kind, f"the body is not JSON: {start}", retry=True)
    if not isinstance(body, dict):
        return Failure("malformed", "the body is not a JSON object", retry=True)
    error = body.get("error")
    if error and "choices" not in body:  # some gateways put errors into a 200
        code = error.get("code") if isinstance(error, dict) else None
        status = code if isinstance(code, int) and 400 <= code < 600 else 502
        return status_failure(status, body, {}, clean)
    rows = body.get("choices")
    if not isinstance(rows, list):
        return Failure("malformed", "the body has no list of choices", retry=True)
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return Reply(
        choices=tuple(_choice(row, clean) for row in rows if isinstance(row, dict)),
        model=_name(body.get("model"), clean),
        fingerprint=_name(body.get("system_fingerprint"), clean),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        cached_tokens=_count(cached) or 0,
    )


def _name(value: object, clean: Callable[[str], str]) -> str:
    return clean(valid_text(value)[:_LONGEST_NAME]) if isinstance(value, str) else ""


def status_failure(
    status: int, body: object, headers: Mapping[str, str], clean: Callable[[str], str]
) -> Failure:
    """Return what a 4xx or 5xx means. `body` is the decoded error, or text."""
    inner = body
    if isinstance(inner, dict) and "error" in inner:
        inner = inner["error"]
    fields: dict[str, Any] = inner if isinstance(inner, dict) else {}
    message = fields.get("message") or fields.get("detail") or inner or ""
    words = message if isinstance(message, str) else json.dumps(message, default=str)
    detail = clean(words[:_READ])
    kinds = " ".join(str(fields[key])[:_READ] for key in ("code", "type") if fields.get(key))
    code = clean(kinds)
    text = f"{code} {detail}"
    cause: Cause = next((name for name, about in _CAUSES.items() if about.search(text)), "")
    wait = retry_after(headers)
    if status == 429:
        # Some servers say "quota" of what is full again in a minute; they say when.
        final = cause == "credit" or (cause == "quota" and wait is None)
    else:
        # llama.cpp says so with a 500: sending it again would not make it shorter.
        final = cause == "context"
    broken = status >= 500 and status != 501
    return Failure(
        reason=str(status),
        detail=detail,
        retry=(status in _PASSING or broken) and not final,
        status=status,
        cause=cause,
        code=code,
        param=clean(str(fields.get("param") or "")[:_READ]),
        retry_after=None if final else wait,
        server=broken and not final,
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the server asks us to wait: `retry-after-ms`, or `Retry-After` as
    seconds or as a date. None where it says nothing usable, and where it asks for more than a week.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = (headers.get(name) or "").strip()
        if _SECONDS.fullmatch(value):
            seconds: float | None = float(value) / unit
        else:
            seconds = _until(value) if unit == 1 else None
        if seconds is not None and seconds <= _LONGEST_WAIT:
            return seconds
    return None


def _until(date: str) -> float | None:
    """Seconds until an HTTP date; 0 when it has passed."""
    if len(date) > _LONGEST_DATE:
        return None
    try:
        moment = parsedate_to_datetime(date)
        if moment.tzinfo is None:  # "-0000": UTC, at an unknown place
            moment = moment.replace(tzinfo=UTC)
        return max(moment.timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return None


def final_error(failure: Failure, *, model: str, url: str, served: bool = False) -> LMError:
    """Return the error for a failure that trying again would not fix.

    Args:
        failure: one with a status.
        model: its name on the server.
        url: of the server, for people.
        served: the server has given answers before.
    """
    status = failure.status
    kind: type[LMError] = LMUnavailable
    resume: str | None = None
    if status in (401, 403) and served:
        message = f"{url} refuses the key that it took before: it was revoked, or has expired"
        hint, resume = "set OPENAI_API_KEY to a key in force, then go on", ""
    elif status in (401, 403):
        message = f"{url} refused the key"
        hint = "check OPENAI_API_KEY: whether it is complete, in force and may use this model"
    elif status == 407:
        message = f"a proxy on the way to {url} wants to know who you are"
        hint = "give user and password in HTTPS_PROXY, or set NO_PROXY for this server"
    elif status == 404:
        message = f"{url} knows no model {model!r}"
        hint = "check the name (openai:MODEL or OPENAI_MODEL); a base URL usually ends in /v1"
    elif status == 402 or failure.cause in ("credit", "quota"):
        message = f"{url} has no credit left for this key"
        hint, resume = "add credit with the provider, then go on", ""
    elif status == 413 or failure.cause == "context":
        kind, message = LMRequestRefused, f"prompt and max_tokens are more than {model!r} can take"
        hint = "shorten the programs or the task, lower max_tokens, or use a larger context"
    elif failure.cause == "filter":
        kind, message = LMRequestRefused, f"the content filter of {url} refused the request"
        hint = "other prompts may pass; a local model (local:NAME) has no filter"
    elif 400 <= status < 500:
        kind, message = LMRequestRefused, f"{url} refused the request to {model!r}"
        hint = "the server's words name what it does not accept"
    else:
        message = f"{url} cannot serve the request"
        hint = "check that the base URL is that of an OpenAI-compatible server"
    said = f" The server says: {failure.detail}" if failure.detail else ""
    return kind(f"{message} (HTTP {status}).{said}", hint=hint, resume=resume)


def _choice(row: dict[str, Any], clean: Callable[[str], str]) -> Choice:
    message = row.get("message")
    content = message.get("content") if isinstance(message, dict) else row.get("text")
    if isinstance(content, list):  # content parts
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    reason = row.get("finish_reason")
    return Choice(
        text=valid_text(content) if isinstance(content, str) else "",
        finish_reason=_name(reason, clean) or "stop",
    )


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_TOKENS:
        return None
    return value
