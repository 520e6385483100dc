"""What an improver is given: `utility` and `language_model`, whose work the host does.

The objects here only carry requests. Whatever a program does to them (attributes, subclasses, new
instances) changes nothing on the host, where budgets, scores and the model live.
"""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Iterable
from queue import SimpleQueue
from typing import Any

from stop.sandbox import frames

from . import hooks

_connection: Connection | None = None
_granted = False
"""Whether the improver has its two objects; any made after that are its own."""


def send(channel: socket.socket, header: dict[str, Any], blobs: bytes = b"") -> None:
    channel.sendall(frames.encode(header, blobs))


def receive(channel: socket.socket) -> dict[str, Any]:
    """Returns the header of the next frame, with "args" and "value" unpacked."""
    header_size, blob_size = frames.PREFIX.unpack(_exactly(channel, frames.PREFIX.size))
    header = frames.decode_header(_exactly(channel, header_size))
    blobs = _exactly(channel, blob_size)
    for name in ("args", "value"):
        if name in header:
            header[name] = frames.unpack(header[name], blobs)
    return header


def _exactly(channel: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = channel.recv(min(count - len(data), 1 << 20))
        if not piece:
            raise EOFError("the host has closed the channel")
        data += piece
    return bytes(data)


def connect(channel: socket.socket, description: dict[str, Any]) -> tuple[Utility, LanguageModel]:
    """Returns the last two arguments of one call of an improver."""
    global _connection, _granted  # noqa: PLW0603 - one call at a time in this process
    _connection, _granted = Connection(channel), False
    utility = Utility(description["utility"])
    language_model = LanguageModel(description["language_model"])
    _granted = True
    hooks.guard(_GUARDED)
    return utility, language_model


def disconnect() -> None:
    if _connection is not None:
        _connection.stop()


class Connection:
    """Sends requests from any number of threads over one channel; replies are matched by id."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._send_lock = threading.Lock()
        self._ids = itertools.count(1)
        self._waiting: dict[int, SimpleQueue[Any]] = {}
        self._stopped = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def request(self, service: str, body: dict[str, Any]) -> Any:
        """Waits for the host's reply and returns it."""
        node, blobs = frames.pack(body)
        number = next(self._ids)
        reply = self._waiting[number] = SimpleQueue()
        header = {"op": "request", "id": number, "service": service, "value": node}
        with self._send_lock:
            if self._stopped:
                raise RuntimeError("the improver has returned: its requests are not answered now")
            send(self._channel, header, blobs)
        value = reply.get()
        del self._waiting[number]
        return value

    def _listen(self) -> None:
        while True:
            header = receive(self._channel)
            if header["op"] == "halt":
                return
            reply = self._waiting.get(header["id"])
            if reply is not None:
                reply.put(header["value"])

    def stop(self) -> None:
        """Ends the listening thread: the relay echoes "halt", so that it gives the channel back."""
        if not self._stopped:
            with self._send_lock:
                self._stopped = True
                send(self._channel, {"op": "halt"})
            self._thread.join()


class BudgetExceeded(Exception):
    """The host's budget for this improver run is used up."""


class LanguageModelError(Exception):
    """The request cannot be answered as it was put."""


class _Guarded(type):
    """Metaclass of classes whose replaced methods are reported."""

    def __setattr__(cls, name: str, value: Any) -> None:
        if name != "__slotnames__":  # of copyreg, when an object is pickled
            hooks.report("client", f"{cls.__name__}.{name} was replaced")
        type.__setattr__(cls, name, value)


class _Remote(metaclass=_Guarded):
    """Base of the two clients. A copy is the same object: improvers copy what they are given.

    A program may write what it likes to it; a value that would raise a limit is reported.
    """

    budget: Any
    _first: dict[str, Any]

    def __init__(self, **values: Any) -> None:
        if _granted and any(values.values()):
            hooks.report("budget", f"a {type(self).__name__} of its own was made")
        self._set(_first=values, **values)

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("budget", "max_responses_per_call", "uses", "times_used"):
            if self._would_gain(name, value):
                what = f"{type(self).__name__}.{name} was set to {value!r}"
                hooks.report("budget", what[:200])
        elif name == "__class__":
            hooks.report("client", f"{type(self).__name__} was given another class")
        object.__setattr__(self, name, value)

    def _would_gain(self, name: str, value: Any) -> bool:
        """Whether the value is more than was granted, or less than was used."""
        try:
            if name in ("uses", "times_used"):
                return bool(value < getattr(self, name))
            return bool(value > self._first[name])
        except Exception:  # not a number: it means nothing here
            return False

    def _request(self, service: str, body: dict[str, Any]) -> Any:
        assert _connection is not None, "requests are answered only during an improver run"
        return _connection.request(service, {**body, "believed": _plain(self.budget)})

    def __copy__(self) -> _Remote:
        return self

    def __deepcopy__(self, _memo: object) -> _Remote:
        return self


def _text(value: object) -> str:
    return value if isinstance(value, str) else repr(value)


def _plain(value: Any) -> bool | int | float | str | None:
    """Returns a flag as it came where a frame can hold it, else its representation."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    try:
        text = f"{type(value).__name__}: {value!r}"[:200]
        return text if value else f"{text} (false)"
    except Exception:
        return type(value).__name__


class Utility(_Remote):
    """`utility(solution)` -> float. `.str` is its text, `.budget` and `.uses` count calls."""

    def __init__(self, description: object = None, **_ignored: object) -> None:
        description = description if isinstance(description, dict) else {}
        super().__init__(
            str=description.get("text", ""), budget=description.get("budget", 0), uses=0
        )

    def __call__(self, solution: object, *args: object, **kwargs: object) -> float:
        flags = {f"positional {i}": _plain(v) for i, v in enumerate(args, 2)}
        flags.update((str(name), _plain(v)) for name, v in kwargs.items())
        program = solution if isinstance(solution, str) else None
        reply = self._request("utility", {"program": program, "flags": flags})
        self._set(uses=reply["uses"])
        score: float = reply["score"]
        return score


class LanguageModel(_Remote):
    """The model behind the broker; every limit is kept on the host."""

    def __init__(self, description: object = None, **_ignored: object) -> None:
        description = description if isinstance(description, dict) else {}
        super().__init__(
            budget=description.get("budget", 0),
            max_responses_per_call=description.get("max_responses_per_call", 0),
            times_used=0,
        )

    def prompt(
        self, expertise: object, message: object, n_responses: int = 1, temperature: float = 0.7
    ) -> list[str]:
        """Returns `n_responses` independent answers to one message."""
        return self._ask(
            expertise, {"message": _text(message), "n": n_responses, "temperature": temperature}
        )

    def batch_prompt(
        self, expertise: object, message_batch: Iterable[object], temperature: float = 0.7
    ) -> list[str]:
        """Returns one answer per message, in order. Counts as one call."""
        messages = [_text(message) for message in message_batch]
        return self._ask(expertise, {"messages": messages, "temperature": temperature})

    def _ask(self, expertise: object, body: dict[str, Any]) -> list[str]:
        reply = self._request("language_model", {"expertise": _text(expertise), **body})
        self._set(times_used=reply["times_used"])
        if "over_budget" in reply:
            raise BudgetExceeded(reply["over_budget"])
        if "refused" in reply:
            raise LanguageModelError(reply["refused"])
        responses: list[str] = reply["responses"]
        return responses


_GUARDED = (
    *(Utility.__call__, LanguageModel.prompt, LanguageModel.batch_prompt, LanguageModel._ask),
    *(_Remote._request, Connection.request, Connection._listen, send, receive),
    *(frames.encode, frames.pack),
)
