"""Turns docker-py's attached stream, a container's stdin and stdout, into a plain socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any


def plain_socket(attached: Any) -> socket.socket:
    """Returns a socket with a container's raw stdin and stdout.

    The engine interleaves stdout and stderr in packets with an 8-byte head; two threads take them
    apart. They also make TLS and SSH transports look like plain sockets to asyncio.

    Args:
        attached: what docker-py's `attach_socket` returns.
    """
    raw = getattr(attached, "_sock", attached)
    if hasattr(raw, "settimeout"):
        raw.settimeout(None)  # docker-py's time-out would end a silent container after a minute
    packets = raw.makefile("rb")
    ours, theirs = socket.socketpair()

    def upstream() -> None:
        with contextlib.suppress(OSError):
            while data := theirs.recv(1 << 16):
                raw.sendall(data)
        with contextlib.suppress(OSError):
            raw.shutdown(socket.SHUT_RDWR)

    def downstream() -> None:
        with contextlib.suppress(OSError):
            while len(head := packets.read(8)) == 8:
                data = packets.read(int.from_bytes(head[4:], "big"))
                if head[0] == 1:  # stderr of the supervisor is not for us
                    theirs.sendall(data)
        with contextlib.suppress(OSError):
            theirs.shutdown(socket.SHUT_RDWR)
        up.join()  # it ends now that its end of the pair is shut
        theirs.close()
        for part in (packets, attached, raw, getattr(attached, "_response", raw)):
            with contextlib.suppress(OSError, ValueError):  # ValueError: one closed the other
                part.close()  # docker-py leaves the socket under the stream open

    up = threading.Thread(target=upstream, daemon=True, name="stop-upstream")
    up.start()
    threading.Thread(target=downstream, daemon=True, name="stop-downstream").start()
    return ours
