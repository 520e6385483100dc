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

_connection = None


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
    global _connection  # noqa: PLW0603 - one call at a time in this process
    _connection = Connection(channel)
    module = types.ModuleType("helpers")
    module.extract_code = helpers.extract_code
    sys.modules["helpers"] = module
    utility = Utility(description["utility"])
    language_model = LanguageModel(description["language_model"])
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


class _Remote:
    """Copies and deep copies are the same object: improvers copy what they are handed."""

    def __copy__(self):
        return self

    def __deepcopy__(self, _memo):
        return self


def _text(value):
    return value if isinstance(value, str) else repr(value)


class Utility(_Remote):
    """`utility(solution)` -> float. `.str` is its text, `.budget` and `.uses` count calls."""

    def __init__(self, description=None, **_ignored):
        description = description or {}
        self.str = description.get("text", "")
        self.budget = description.get("budget", 0)
        self.uses = 0

    def __call__(self, solution, *args, **kwargs):
        flags = {f"positional {i}": _plain(v) for i, v in enumerate(args, 2)}
        flags.update((str(name), _plain(v)) for name, v in kwargs.items())
        program = solution if isinstance(solution, str) else None
        reply = _connection.request("utility", {"program": program, "flags": flags})
        self.uses = reply["uses"]
        return reply["score"]


def _plain(value):
    """A flag as it came, where a frame can hold it, else its representation."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    try:
        return f"{type(value).__name__}: {value!r}"[:200]
    except Exception:
        return type(value).__name__


class LanguageModel(_Remote):
    """The model behind the broker; every limit is kept on the host."""

    def __init__(self, description=None, **_ignored):
        description = description if isinstance(description, dict) else {}
        self.budget = description.get("budget", 0)
        self.max_responses_per_call = description.get("max_responses_per_call", 0)
        self.times_used = 0

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
        reply = _connection.request("language_model", {"expertise": _text(expertise), **body})
        self.times_used = reply["times_used"]
        if "over_budget" in reply:
            raise BudgetExceeded(reply["over_budget"])
        if "refused" in reply:
            raise LanguageModelError(reply["refused"])
        return reply["responses"]
