"""Enough file descriptors: each sandbox takes several, and programs inherit the limit."""

from __future__ import annotations

import resource

from stop.errors import SandboxUnavailable

NEEDED = 256
WANTED = 4096


def ensure_descriptors() -> None:
    """Take as many as this process may have, up to `WANTED`.

    Raises:
        SandboxUnavailable: the hard limit leaves fewer than `NEEDED`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if most < NEEDED:
        raise SandboxUnavailable(
            f"this process may open only {most} files; sandboxes need {NEEDED}",
            hint=f"raise the limit: ulimit -n {WANTED}",
        )
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
