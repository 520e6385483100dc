"""The relay's dealings with the zygote: it orders guests ahead, takes them, and ends them.

While one guest works, the next is forked, confined and warmed up, and nothing waits for that.
"""

from __future__ import annotations

import json
import os
import socket
import time
from typing import Any

from .watch import End, Guest, Lines, is_running, private_bytes

_KILL_SECONDS = 5.0


class ZygoteGone(Exception):
    """Process 1 has ended, and with it everything here."""


class Nursery:
    """Makes and ends guests. At most one is spare: confined and waiting for a job."""

    def __init__(self, zygote: socket.socket, namespaces: bool) -> None:
        self._zygote = zygote
        self._namespaces = namespaces
        self._baseline = private_bytes()
        self._ordered: Lines | None = None
        self._spare: Guest | None = None

    @property
    def is_spawning(self) -> bool:
        """Whether a guest is being made whose process id is not known yet."""
        return self._ordered is not None

    def own_pids(self) -> set[int]:
        """Process 1, the relay and the spare guest, none of which is the candidate's."""
        return {1, os.getpid(), self._spare_pid()}

    def order(self) -> None:
        """Asks for the next guest, unless it exists or is being made; does not wait."""
        if self._spare is not None or self._ordered is not None:
            return
        channel, their_channel = socket.socketpair()
        reports, their_reports = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        out_r, out_w = os.pipe()
        err_r, err_w = os.pipe()
        fds = [their_channel.fileno(), out_w, err_w, their_reports.fileno()]
        socket.send_fds(self._zygote, [b'{"do":"spawn"}'], fds)
        their_channel.close()
        their_reports.close()
        os.close(out_w)
        os.close(err_w)
        channel.setblocking(False)
        reports.setblocking(False)
        for fd in (out_r, err_r):
            os.set_blocking(fd, False)
        self._ordered = Lines(channel, reports, (out_r, err_r))

    def collect(self) -> None:
        """Takes in the guest that was ordered; waits for its fork."""
        if self._ordered is None:
            return
        answer = self._receive()
        uid = None if self._namespaces else answer["uid"]
        self._spare = Guest(answer["pid"], uid, self._ordered, self._baseline)
        self._ordered = None

    def take(self) -> Guest:
        """Returns the spare guest, or one made now if there is none or it has died."""
        while True:
            self.order()
            self.collect()
            guest, self._spare = self._spare, None
            assert guest is not None
            if is_running(guest.pid):
                return guest
            self._reap(guest)  # the kernel ended it, short of memory
            guest.close()

    def end(self, guest: Guest) -> tuple[list[End], bool]:
        """Kills its processes, again until none is left. Returns their ends, and if none is."""
        deadline = time.monotonic() + _KILL_SECONDS
        ends, clean = [], False
        while not clean and time.monotonic() < deadline:
            guest.kill()
            answer = self._reap(guest)
            ends += [End(*end) for end in answer["ends"]]
            clean = answer["clean"]
        return ends, clean

    def release(self, guest: Guest) -> None:
        """Closes a guest that has ended; the zygote takes its mounts apart in the background."""
        if guest.mounts is not None:
            socket.send_fds(self._zygote, [b'{"do":"drop"}'], [guest.mounts])
            os.close(guest.mounts)
        guest.close()

    def _spare_pid(self) -> int:
        return self._spare.pid if self._spare else 0

    def _reap(self, guest: Guest) -> dict[str, Any]:
        self.collect()  # answers come in the order of the questions
        order = {"do": "reap", "pid": guest.pid, "spare": self._spare_pid()}
        self._zygote.send(json.dumps(order).encode())
        return self._receive()

    def _receive(self) -> dict[str, Any]:
        data = self._zygote.recv(1 << 20)
        if not data:
            raise ZygoteGone
        answer: dict[str, Any] = json.loads(data)
        return answer
