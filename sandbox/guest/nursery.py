"""The relay's dealings with the zygote: guests are ordered ahead, taken when needed, and ended.

While one guest works, the next is forked, confined and made warm; nobody waits for that.
"""

import json
import os
import socket
import time

from watch import Guest, private_bytes

_KILL_SECONDS = 5.0


class ZygoteGone(Exception):
    """Process 1 has ended, and with it everything here."""


class Nursery:
    """Makes and ends guests. At most one is `spare`: confined, waiting, without a job."""

    def __init__(self, zygote, namespaces):
        self._zygote = zygote
        self._namespaces = namespaces
        self._baseline = private_bytes()
        self._ordered = None  # what the next guest gets, while the zygote makes it
        self._spare = None

    @property
    def unborn(self):
        """Whether a guest is being made whose process id is not known yet."""
        return self._ordered is not None

    def our_pids(self):
        """Process 1, the relay and the spare guest: none of the candidate's doing."""
        return {1, os.getpid(), self._spare.pid if self._spare else 0}

    def order(self):
        """Have the next guest made, unless it is there or under way; does not wait."""
        if self._spare is not None or self._ordered is not None:
            return
        ours, theirs = socket.socketpair()
        words, their_words = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        out_r, out_w = os.pipe()
        err_r, err_w = os.pipe()
        fds = [theirs.fileno(), out_w, err_w, their_words.fileno()]
        socket.send_fds(self._zygote, [b'{"do":"spawn"}'], fds)
        theirs.close()
        their_words.close()
        os.close(out_w)
        os.close(err_w)
        ours.setblocking(False)
        words.setblocking(False)
        for fd in (out_r, err_r):
            os.set_blocking(fd, False)
        self._ordered = (ours, words, (out_r, err_r))

    def collect(self):
        """Take in the guest that was ordered; waits for its fork."""
        if self._ordered is not None:
            answer = self._hear()
            uid = None if self._namespaces else answer["uid"]
            channel, words, pipes = self._ordered
            self._spare = Guest(
                answer["pid"], uid, channel=channel, words=words, pipes=pipes,
                baseline=self._baseline,
            )  # fmt: skip
            self._ordered = None

    def take(self):
        """The next guest, made now if it was not ordered or did not live."""
        self.order()
        self.collect()
        while not _runs(self._spare.pid):  # the kernel ended it, short of memory
            dead, self._spare = self._spare, None
            self._reap(dead)
            dead.close()
            self.order()
            self.collect()
        guest, self._spare = self._spare, None
        return guest

    def end(self, guest):
        """Kill all of a guest, again until none is left.

        Returns ([pid, wait status, CPU seconds] of what ended, whether nothing is left).
        """
        deadline = time.monotonic() + _KILL_SECONDS
        ends, clean = [], False
        while not clean and time.monotonic() < deadline:
            guest.kill()
            answer = self._reap(guest)
            ends += answer["ends"]
            clean = answer["clean"]
        return ends, clean

    def bury(self, guest):
        """Close a guest that has ended; the zygote takes its mounts apart while we go on."""
        if guest.mounts is not None:
            socket.send_fds(self._zygote, [b'{"do":"drop"}'], [guest.mounts])
            os.close(guest.mounts)
        guest.close()

    def _reap(self, guest):
        self.collect()  # answers come in the order of the questions
        spare = self._spare.pid if self._spare else 0
        order = {"do": "reap", "pid": guest.pid, "spare": spare}
        self._zygote.send(json.dumps(order).encode())
        return self._hear()

    def _hear(self):
        data = self._zygote.recv(1 << 20)
        if not data:
            raise ZygoteGone
        return json.loads(data)


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            return f.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (FileNotFoundError, ProcessLookupError):
        return False
