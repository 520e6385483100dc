"""What an improver sees of the world: `utility` and `language_model`, both on the host.

The objects here only carry requests. Whatever a program does to them (attributes, subclasses, new
instances) changes nothing on the host, where budgets, scores and the model live.
"""

import itertools
import sys
import threading
import types

import frames
import helpers
import hooks

_connection = None
_granted = False
"""Whether the improver has been handed its two objects; whoever makes more makes its own."""


def send(channel, header, blobs=b""):
    channel.sendall(frames.encode(header, blobs))


def receive(channel):
    """The next frame: its header, with "args" and "value" unpacked."""
    header_size, blob_size = frames.PREFIX.unpack(_exactly(channel, frames.PREFIX.size))
    header = frames.decode_header(_exactly(channel, header_size))
    blobs = _exactly(channel, blob_size)
    for name in ("args", "value"):
        if name in header:
            header[name] = frames.unpack(header[name], blobs)
    return header


def _exactly(channel, count):
    data = bytearray()
    while len(data) < count:
        piece = channel.recv(min(count - len(data), 1 << 20))
        if not piece:
            raise EOFError("the host has closed the channel")
        data += piece
    return bytes(data)


def connect(channel, description):
    """(utility, language_model) for one call of an improver, as its last two arguments."""
    global _connection, _granted  # noqa: PLW0603 - one call at a time in this process
    _connection, _granted = Connection(channel), False
    module = types.ModuleType("helpers")
    module.extract_code = helpers.extract_code
    sys.modules["helpers"] = module
    utility = Utility(description["utility"])
    language_model = LanguageModel(description["language_model"])
    _granted = True
    hooks.guard(_GUARDED)
    return utility, language_model


def disconnect():
    if _connection is not None:
        _connection.stop()


class Connection:
    """Requests from any number of threads over the one channel; replies are matched by id."""

    def __init__(self, channel):
        self._channel = channel
        self._send_lock = threading.Lock()
        self._ids = itertools.count(1)
        self._waiting = {}
        self._stopped = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def request(self, operation, value):
        node, blobs = frames.pack(value)
        slot = [threading.Event(), None]
        number = next(self._ids)
        self._waiting[number] = slot
        header = {"op": "request", "id": number, "service": operation, "value": node}
        with self._send_lock:
            if self._stopped:
                raise RuntimeError("the improver has returned: nobody answers any more")
            send(self._channel, header, blobs)
        slot[0].wait()
        del self._waiting[number]
        return slot[1]

    def _listen(self):
        while True:
            header = receive(self._channel)
            if header["op"] == "halt":
                return
            slot = self._waiting.get(header["id"])
            if slot is not None:
                slot[1] = header["value"]
                slot[0].set()

    def stop(self):
        """The relay echoes "halt" so that the listening thread gives the channel back."""
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
    """Classes whose replaced methods are told of."""

    def __setattr__(cls, name, value):
        if name != "__slotnames__":  # of copyreg, when an object is pickled
            hooks.tell("client", f"{cls.__name__}.{name} was replaced")
        type.__setattr__(cls, name, value)


class _Remote(metaclass=_Guarded):
    """Copies and deep copies are the same object: improvers copy what they are handed.

    What a program writes to it is its own affair, and told where it would raise a limit.
    """

    def __init__(self, **values):
        if _granted and any(values.values()):
            hooks.tell("budget", f"a {type(self).__name__} of its own was made")
        self._set(_first=values, **values)

    def _set(self, **values):
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name, value):
        if name in ("budget", "max_responses_per_call", "uses", "times_used"):
            self._told(name, value)
        elif name == "__class__":
            hooks.tell("client", f"{type(self).__name__} was given another class")
        object.__setattr__(self, name, value)

    def _told(self, name, value):
        """More than was granted, or less than was used."""
        try:
            if name in ("uses", "times_used"):
                gains = value < getattr(self, name)
            else:
                gains = value > self._first[name]
        except Exception:  # no number: it means nothing here
            gains = False
        if gains:
            hooks.tell("budget", f"{type(self).__name__}.{name} was set to {value!r}"[:200])

    def __copy__(self):
        return self

    def __deepcopy__(self, _memo):
        return self


def _text(value):
    return value if isinstance(value, str) else repr(value)


class Utility(_Remote):
    """`utility(solution)` -> float. `.str` is its text, `.budget` and `.uses` count calls."""

    def __init__(self, description=None, **_ignored):
        description = description if isinstance(description, dict) else {}
        super().__init__(
            str=description.get("text", ""), budget=description.get("budget", 0), uses=0
        )

    def __call__(self, solution, *args, **kwargs):
        flags = {f"positional {i}": _plain(v) for i, v in enumerate(args, 2)}
        flags.update((str(name), _plain(v)) for name, v in kwargs.items())
        program = solution if isinstance(solution, str) else None
        reply = _connection.request(
            "utility", {"program": program, "flags": flags, "believed": _plain(self.budget)}
        )
        self._set(uses=reply["uses"])
        return reply["score"]


def _plain(value):
    """A flag as it came, where a frame can hold it, else its representation."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    try:
        text = f"{type(value).__name__}: {value!r}"[:200]
        return text if value else f"{text} (false)"
    except Exception:
        return type(value).__name__


class LanguageModel(_Remote):
    """The model behind the broker; every limit is kept on the host."""

    def __init__(self, description=None, **_ignored):
        description = description if isinstance(description, dict) else {}
        super().__init__(
            budget=description.get("budget", 0),
            max_responses_per_call=description.get("max_responses_per_call", 0),
            times_used=0,
        )

    def prompt(self, expertise, message, n_responses=1, temperature=0.7):
        """`n_responses` independent answers to one message, as a list of strings."""
        return self._ask(
            expertise, {"message": _text(message), "n": n_responses, "temperature": temperature}
        )

    def batch_prompt(self, expertise, message_batch, temperature=0.7):
        """One answer per message, in order. Counts as one call."""
        messages = [_text(message) for message in message_batch]
        return self._ask(expertise, {"messages": messages, "temperature": temperature})

    def _ask(self, expertise, body):
        body = {"expertise": _text(expertise), "believed": _plain(self.budget), **body}
        reply = _connection.request("language_model", body)
        self._set(times_used=reply["times_used"])
        if "over_budget" in reply:
            raise BudgetExceeded(reply["over_budget"])
        if "refused" in reply:
            raise LanguageModelError(reply["refused"])
        return reply["responses"]


_GUARDED = (
    *(Utility.__call__, LanguageModel.prompt, LanguageModel.batch_prompt, LanguageModel._ask),
    *(Connection.request, Connection._listen, send, receive, frames.encode, frames.pack),
)
