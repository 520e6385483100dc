"""The docker backend: containers of any engine that `DOCKER_HOST` names.

One container per warm sandbox: no network, read-only root, own seccomp profile, no new privileges,
limits of memory (no swap), processes, CPU and files. The supervisor inside holds the five
capabilities that it takes to give each guest a user id of its own, to clean up after it and to kill
it; guests hold none. After creation the container is inspected: a limit that the engine did not
apply stops the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
import requests
import tenacity

from stop.errors import SandboxError, SandboxUnavailable, machine_trouble
from stop.sandbox import seccomp
from stop.sandbox._attach import plain_socket
from stop.sandbox.guest import Gone, StreamGuest, command
from stop.sandbox.image import ENVIRONMENT, build_rootfs, tar_of
from stop.sandbox.owner import owner_is_dead, owner_mark
from stop.sandbox.protocol import GuestConfig, GuestLimits

LABEL = "stop-optimizer"
_REMOVED_AT_ONCE = 8
ENGINE_PATIENCE_SECONDS = 60
_LOG = logging.getLogger(__name__)
_CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "KILL", "SETGID", "SETPCAP", "SETUID"]
_REPOSITORY = "stop-sandbox"
_CANARY_MOUNT = "rw,noexec,nosuid,nodev,size=64k,nr_inodes=16,mode=0755"
_GONE = (docker.errors.DockerException, requests.RequestException, OSError)
"""What docker-py raises where the engine, or what it is asked about, is not there."""


class DockerSandbox:
    """Starts guests in containers. See `stop.sandbox.protocol.Sandbox`.

    Args:
        packages: distributions to carry into the image in addition to numpy.
        image: an image to use instead of the one made from this interpreter, by name or id;
            it must hold `python3` at the place that `sandbox/Dockerfile` puts it.
    """

    name = "docker"

    def __init__(self, packages: tuple[str, ...] = (), image: str | None = None) -> None:
        self._packages = packages
        self._image_wanted = image
        self._client: Any = None
        self.image_digest = ""
        self._guests: set[StreamGuest] = set()

    async def open(self) -> None:
        if self._client is not None:
            return
        client = await asyncio.to_thread(connect)
        try:
            self.image_digest = await asyncio.to_thread(self._prepare, client)
        except BaseException:
            client.close()
            raise
        self._client = client

    def _prepare(self, client: Any) -> str:
        prune(client, dead_owners_only=True)
        if not self._image_wanted:
            return ensure_image(client, self._packages)
        try:
            return str(client.images.get(self._image_wanted).id)
        except docker.errors.ImageNotFound:
            raise SandboxUnavailable(
                f"the engine has no image {self._image_wanted!r}",
                hint="stop sandbox build, or leave --image out",
            ) from None

    async def start(self, limits: GuestLimits) -> StreamGuest:
        """Starts a container; waits for an engine that is being restarted."""
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_EngineGone),
            stop=tenacity.stop_after_delay(ENGINE_PATIENCE_SECONDS),
            wait=tenacity.wait_exponential(multiplier=0.5, max=5) + tenacity.wait_random(0, 1),
            before_sleep=_say_that_we_wait,
            reraise=True,
        )
        return await retrying(self._start, limits)

    async def _start(self, limits: GuestLimits) -> StreamGuest:
        assert self._client is not None, "open() comes first"
        with _engine_errors("a container could not be started"):
            container, attached = await asyncio.to_thread(self._create, limits)
            reader, writer = await asyncio.open_connection(sock=attached, limit=1 << 20)
            guest = _DockerGuest(container, reader, writer)
            try:
                await asyncio.to_thread(container.start)
                await asyncio.to_thread(_verify, container, limits)
                await guest.boot(_config(limits))
            except BaseException:
                await guest.aclose()
                raise
        self._guests = {g for g in self._guests if not g.closed} | {guest}
        return guest

    def _create(self, limits: GuestLimits) -> tuple[Any, socket.socket]:
        tmpfs = f"rw,noexec,nosuid,nodev,size={limits.tmpfs_mb}m,nr_inodes=4096,mode=1777"
        container = self._client.containers.create(
            self.image_digest,
            list(command()),
            entrypoint=[],
            name=f"stop-{uuid.uuid4().hex[:12]}",
            hostname="sandbox",
            user="0:0",
            working_dir="/",
            labels={LABEL: "guest", f"{LABEL}.owner": owner_mark()},
            environment=ENVIRONMENT,
            stdin_open=True,
            network_mode="none",
            ipc_mode="none",
            read_only=True,
            tmpfs={"/tmp": tmpfs, "/dev/shm": tmpfs, "/run": _CANARY_MOUNT},
            cap_drop=["ALL"],
            cap_add=_CAPABILITIES,
            security_opt=["no-new-privileges:true", f"seccomp={seccomp.profile_text()}"],
            pids_limit=limits.pids + 16,
            mem_limit=limits.memory_mb << 20,
            memswap_limit=limits.memory_mb << 20,
            nano_cpus=int(limits.cpus * 1e9),
            log_config={"type": "none"},
            oom_score_adj=500,
        )
        try:
            streams = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            return container, plain_socket(container.attach_socket(params=streams))
        except BaseException:
            container.remove(force=True)
            raise

    async def aclose(self) -> None:
        guests, self._guests = self._guests, set()
        await asyncio.gather(*(guest.aclose() for guest in guests))
        if self._client is not None:
            self._client.close()
            self._client = None


def _config(limits: GuestLimits) -> GuestConfig:
    """Adds to the engine's filter one of each guest's own, which reports what it denies."""
    try:
        program, watched = seccomp.compiled(), seccomp.watched()
    except SandboxUnavailable:  # no table of system calls on this host: denied, and not reported
        program, watched = [], {}
    first_uid = 0x60000000 + random.randrange(1 << 18) * 512
    return GuestConfig("uid", first_uid, limits.pids, limits.tmpfs_mb, program, watched)


def connect() -> Any:
    """Returns a client of the engine, which the caller closes.

    Raises:
        SandboxUnavailable: no engine answers; the hint says what helps.
    """
    place = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    try:
        if place.startswith("unix://"):  # docker-py leaves its end open if nothing listens there
            with socket.socket(socket.AF_UNIX) as attempt:
                attempt.connect(place.removeprefix("unix://"))
        client = docker.from_env(timeout=60)
        client.ping()
    except _GONE as error:
        raise SandboxUnavailable(
            f"no container engine answers at {place}: {_short(error)}",
            hint="start Docker or Podman (`sudo systemctl start docker`), set DOCKER_HOST, "
            "or use --sandbox bubblewrap",
        ) from None
    return client


def ensure_image(client: Any, packages: tuple[str, ...] = (), *, rebuild: bool = False) -> str:
    """Returns the id of the image made from this interpreter; imports it if the engine lacks it.

    Args:
        client: of `connect`.
        packages: distributions to carry into it in addition to numpy.
        rebuild: make and import it anew.

    Raises:
        SandboxError: it could not be built or imported.
    """
    rootfs = build_rootfs(packages, rebuild=rebuild)
    tag = rootfs.digest.removeprefix("sha256:")[:24]
    if not rebuild:
        with contextlib.suppress(docker.errors.ImageNotFound):
            return str(client.images.get(f"{_REPOSITORY}:{tag}").id)
    with _engine_errors("the sandbox image could not be imported"), tar_of(rootfs) as tar:
        label = [f"LABEL {LABEL}=image"]
        client.api.import_image_from_data(tar, repository=_REPOSITORY, tag=tag, changes=label)
        return str(client.images.get(f"{_REPOSITORY}:{tag}").id)


def build_from_dockerfile(
    client: Any,
    folder: Path,
    base: str | None = None,
    packages: tuple[str, ...] = (),
    *,
    rebuild: bool = False,
) -> str:
    """Returns the id of the image that `folder/Dockerfile` makes of the image `base`.

    Raises:
        SandboxError: the base cannot be fetched, or a step failed; its last output is in the text.
    """
    problem = "the Dockerfile could not be built"
    with _engine_errors(problem):
        try:
            image, _ = client.images.build(
                path=str(folder),
                tag=f"{_REPOSITORY}:dockerfile",
                buildargs={"PACKAGES": " ".join(packages)} | ({"BASE": base} if base else {}),
                nocache=rebuild,
                rm=True,
                forcerm=True,
            )
        except docker.errors.BuildError as error:
            log = " ".join("".join(line.get("stream", "") for line in error.build_log).split())
            message = f"{problem}: {_short(error)[:200]} … {log[-400:]}"
            raise SandboxError(message, hint="stop doctor") from error
    return str(image.id)


def prune(client: Any, *, dead_owners_only: bool, images: bool = False) -> tuple[int, int]:
    """Removes our containers, and our images if asked to.

    Args:
        client: of `connect`.
        dead_owners_only: leave containers alone whose run still goes on here, and those that
            another machine started on the same engine.
        images: also remove our images.

    Returns:
        The numbers of containers and of images removed.

    Raises:
        SandboxError: the engine refuses, or is gone.
    """

    def remove(row: dict[str, Any]) -> bool:
        try:
            client.api.remove_container(row["Id"], force=True, v=True)
        except docker.errors.APIError as error:
            if error.status_code in (404, 409):  # another process was first, or is at it
                return False
            raise
        return True

    with _engine_errors("left-over containers could not be removed"):
        found = client.api.containers(all=True, filters={"label": f"{LABEL}=guest"})
        if dead_owners_only:
            found = [f for f in found if owner_is_dead(f["Labels"].get(f"{LABEL}.owner", ""))]
        if len(found) > 50:  # that takes long enough to say so
            _LOG.warning("removing %d containers that dead runs left", len(found))
        with ThreadPoolExecutor(_REMOVED_AT_ONCE) as threads:
            containers = sum(threads.map(remove, found))
        unwanted = client.images.list(name=_REPOSITORY) if images else []
        for image in unwanted:
            client.images.remove(image.id, force=True)
    return containers, len(unwanted)


def _verify(container: Any, limits: GuestLimits) -> None:
    """Raises `SandboxUnavailable` unless the engine says that it applies each limit."""
    container.reload()
    host = container.attrs["HostConfig"]
    dropped = {c.removeprefix("CAP_") for c in host.get("CapDrop") or []}
    added = {c.removeprefix("CAP_") for c in host.get("CapAdd") or []}
    options = host.get("SecurityOpt") or []
    checks = {
        "no network": host.get("NetworkMode") == "none",
        "read-only root": host.get("ReadonlyRootfs") is True,
        "capabilities dropped": "ALL" in dropped and added <= set(_CAPABILITIES),
        "no new privileges": any(o.startswith("no-new-privileges") for o in options),
        "seccomp profile": any(o.startswith("seccomp=") and "unconfined" not in o for o in options),
        "memory limit": host.get("Memory") == limits.memory_mb << 20,
        "no swap": host.get("MemorySwap") in (limits.memory_mb << 20, 0),
        "process limit": host.get("PidsLimit") == limits.pids + 16,
        "CPU limit": host.get("NanoCpus") == int(limits.cpus * 1e9),
        "not privileged": not host.get("Privileged"),
        "no mounts from the host": not host.get("Binds") and not host.get("Mounts"),
        "no devices": not host.get("Devices"),
    }
    missing = [name for name, good in checks.items() if not good]
    if missing:
        raise SandboxUnavailable(
            f"the engine did not apply: {', '.join(missing)}",
            hint="`stop sandbox check` shows all limits; another engine or --sandbox bubblewrap",
        )


class _DockerGuest(StreamGuest):
    """A guest in one container."""

    def __init__(
        self, container: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        super().__init__(container.name, reader, writer)
        self._container = container

    async def _stop(self) -> None:
        with contextlib.suppress(*_GONE):  # what cannot be removed now is reaped at the next start
            await asyncio.to_thread(self._container.remove, force=True, v=True)

    async def _why_gone(self) -> Gone:
        try:
            await asyncio.to_thread(self._container.reload)
        except _GONE as error:
            return Gone(f"the engine does not know it any more ({_short(error)})")
        state = self._container.attrs["State"]
        if state.get("OOMKilled"):
            return Gone("out of memory: the kernel ended the whole container", True)
        return Gone(f"state {state.get('Status')}, exit code {state.get('ExitCode')}")


class _EngineGone(SandboxError):
    """The engine does not answer any more; it may be on its way back."""


def _say_that_we_wait(state: tenacity.RetryCallState) -> None:
    if state.attempt_number == 1:
        _LOG.warning(
            "the container engine does not answer; waiting up to %d s", ENGINE_PATIENCE_SECONDS
        )


@contextlib.contextmanager
def _engine_errors(what: str) -> Iterator[None]:
    """Turns docker-py's many exceptions into ours, whose message begins with `what`."""
    try:
        yield
    except (requests.ConnectionError, OSError) as error:
        if trouble := machine_trouble(error):
            message = f"{what}: {trouble.message}"
            raise SandboxError(message, hint=trouble.remedy, resume="") from error
        hint = "start it again (`stop doctor` says more), then go on"
        message = f"{what}: the engine is gone ({_short(error)})"
        raise _EngineGone(message, hint=hint, resume="") from error
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise SandboxError(f"{what}: {_short(error)}", hint="stop doctor") from error


def _short(error: BaseException) -> str:
    return " ".join(str(getattr(error, "explanation", None) or error).split())[:300]
