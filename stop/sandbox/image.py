"""The file system that guests see: an interpreter, numpy, the libraries they load, nothing else.

Built from the interpreter that runs us, so no registry is needed: bubblewrap mounts the folder,
Docker imports it as an image. Home folders, sources, keys and tasks are not in it.

    interpreter ─┐
    stdlib       ├─ copied ──► <cache>/rootfs/<key>/ ──┬─ --ro-bind ► bubblewrap
    numpy, ...   │                                     └─ tar ──────► docker import
    ldd of all  ─┘
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import platformdirs
from filelock import FileLock

from stop.errors import PackageMissing, SandboxError, SandboxUnavailable

_FORMAT = "6"  # raise when the layout changes: old folders are then left alone
_SKIP = {
    "__pycache__", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3",
    "site-packages", "dist-packages", "pydoc_data", "venv",
}  # fmt: skip
_SYSTEM_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
PYTHON = "/opt/python/bin/python3"
"""Where the interpreter lies in the image."""
PACKAGES = "/opt/python/packages"
"""Where numpy and others lie; named by PYTHONPATH, as distributions move their site-packages."""
_RECORD = "record.json"
ENVIRONMENT = {
    "LD_LIBRARY_PATH": "/opt/python/lib",
    "PYTHONPATH": PACKAGES,
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}
"""What the interpreter in the image is started with."""


@dataclass(frozen=True, slots=True)
class Rootfs:
    """A built file system.

    Attributes:
        folder: its root.
        key: name of this interpreter with these packages, 16 hexadecimal digits.
        digest: "sha256:...", of every path, mode and byte of it.
        packages: names of the distributions in it.
        bytes: its size.
    """

    folder: Path
    key: str
    digest: str
    packages: tuple[str, ...]
    bytes: int


def cache_folder() -> Path:
    """Returns where images are kept; for root a place that the users of sandboxes may read."""
    if chosen := os.environ.get("STOP_CACHE_DIR"):
        return Path(chosen)
    if os.name == "posix" and os.geteuid() == 0:
        return Path(platformdirs.site_cache_dir("stop-optimizer"))
    return Path(platformdirs.user_cache_dir("stop-optimizer"))


def build_rootfs(packages: tuple[str, ...] = (), *, rebuild: bool = False) -> Rootfs:
    """Returns the file system for this interpreter with numpy and `packages`, built once and kept.

    Args:
        packages: names of installed distributions to carry along, with what they require.
        rebuild: build anew even if it is there.

    Raises:
        SandboxUnavailable: not on Linux, or a package is not installed here.
        SandboxError: the disk is full or a file cannot be read.
    """
    if sys.platform != "linux":
        raise SandboxUnavailable(
            "an image can be built from this interpreter only on Linux",
            hint="stop sandbox build --dockerfile",
        )
    distributions = _with_requirements(("numpy", *packages))
    key = _key(distributions)
    base = cache_folder() / "rootfs"
    try:
        base.mkdir(parents=True, exist_ok=True)
        with FileLock(base / f"{key}.lock"):  # one builder at a time; others then find it built
            folder = base / key
            if rebuild and folder.exists():
                shutil.rmtree(folder)
            if not folder.exists():
                _build(folder, distributions)
            record = json.loads((folder / _RECORD).read_text("utf-8"))
    except OSError as error:
        raise SandboxError(
            f"the sandbox image cannot be built in {base}: {error.strerror or error}",
            hint="free some disk space (about 200 MB), or set STOP_CACHE_DIR to another folder",
        ) from error
    names = tuple(sorted(distributions))
    return Rootfs(folder / "root", key, record["digest"], names, record["bytes"])


@contextmanager
def tar_of(rootfs: Rootfs) -> Iterator[IO[bytes]]:
    """Yields the rootfs as an uncompressed tar file, owned by root, for `docker import`."""

    def owned_by_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = "root"
        return info

    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.add(rootfs.folder, arcname=".", filter=owned_by_root)
        file.seek(0)
        yield file


# --- what goes in


def _key(distributions: dict[str, importlib.metadata.Distribution]) -> str:
    parts = [_FORMAT, sys.version, platform.machine(), str(Path(sys.executable).resolve())]
    parts += [f"{name}={dist.version}" for name, dist in sorted(distributions.items())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _with_requirements(names: tuple[str, ...]) -> dict[str, importlib.metadata.Distribution]:
    """Returns the distributions by normalised name, with what they require here (no extras)."""
    from packaging.requirements import Requirement  # noqa: PLC0415 - only when building
    from packaging.utils import canonicalize_name  # noqa: PLC0415

    found: dict[str, importlib.metadata.Distribution] = {}
    pending = list(names)
    while pending:
        name = canonicalize_name(pending.pop())
        if name in found:
            continue
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            raise PackageMissing(
                f"package {name!r} is wanted inside the sandbox but not installed here",
                hint=f"{sys.executable} -m pip install {name}",
            ) from None
        for text in found[name].requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                pending.append(requirement.name)
    return found


def _build(folder: Path, distributions: dict[str, importlib.metadata.Distribution]) -> None:
    """Makes `folder` with the file system as "root", and its digest and size beside it."""
    made = Path(tempfile.mkdtemp(prefix="building-", dir=folder.parent))
    work = made / "root"
    try:
        _copy_interpreter(work)
        for distribution in distributions.values():
            _copy_distribution(distribution, work / PACKAGES.lstrip("/"))
        _copy_libraries(work)
        _compile(work)
        _furnish(work)
        _make_readable(work)
        size = sum(path.lstat().st_size for path in work.rglob("*"))
        (made / _RECORD).write_text(json.dumps({"digest": _digest(work), "bytes": size}))
        made.chmod(0o755)
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _copy_interpreter(work: Path) -> None:
    binary = work / PYTHON.lstrip("/")
    binary.parent.mkdir(parents=True)
    shutil.copy2(Path(sys.executable).resolve(), binary)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    lib = work / "opt/python" / sys.platlibdir / version
    skip = shutil.ignore_patterns(*_SKIP, "config-*", "*.a", "*.pyc")
    for kind in ("stdlib", "platstdlib"):  # the base interpreter's, in a virtual environment too
        source = sysconfig.get_path(kind, vars={"platbase": sys.base_exec_prefix})
        shutil.copytree(source, lib, ignore=skip, dirs_exist_ok=True)
    dynload = sysconfig.get_config_var("DESTSHARED")
    if dynload and Path(dynload).is_dir():
        shutil.copytree(dynload, lib / "lib-dynload", ignore=skip, dirs_exist_ok=True)
    if sys.platlibdir != "lib":  # both are searched; keep the pure part where it is looked for
        shutil.copytree(lib, work / "opt/python/lib" / version, dirs_exist_ok=True)


def _copy_distribution(distribution: importlib.metadata.Distribution, target: Path) -> None:
    for file in distribution.files or []:
        if ".." in file.parts or _SKIP & set(file.parts) or file.suffix in {".pyc", ".a"}:
            continue
        source = Path(str(file.locate()))
        if source.is_file():
            place = target / file
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place)


def _copy_libraries(work: Path) -> None:
    """Copies every shared library that something in the image names, found by the loader itself."""
    for binary in (Path(sys.executable).resolve(), *sorted((work / "opt").rglob("*.so*"))):
        for library in _ldd(binary, work):
            if library.startswith(_SYSTEM_LIBRARIES):
                place = work / library.lstrip("/")
            else:
                place = work / "opt/python/lib" / Path(library).name
            if not library.startswith(str(work)) and not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(library, place)


def _ldd(binary: Path, work: Path) -> list[str]:
    """Returns the absolute paths that the dynamic loader would load for `binary`."""
    search = ":".join([str(work / "opt/python/lib"), os.environ.get("LD_LIBRARY_PATH", "")])
    environment = {**os.environ, "LD_LIBRARY_PATH": search.rstrip(":")}
    command = ["ldd", str(binary)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return [word for word in done.stdout.split() if word.startswith("/")]


def _compile(work: Path) -> None:
    """Adds byte code: a sandbox then starts four times faster. It holds no path of this machine."""
    command = [sys.executable, "-I", "-m", "compileall", "-q", "-j", "0", str(work / "opt")]
    command += ["--invalidation-mode", "unchecked-hash", "-s", str(work), "-p", "/"]
    # Files that are not valid Python (templates in packages) make it return 1: they stay sources.
    subprocess.run(command, capture_output=True, check=False)


def _furnish(work: Path) -> None:
    """Makes mount points and the few files that programs look for."""
    for name in ("proc", "dev", "sys", "tmp", "run", "etc", "dev/shm", "usr/bin", "bin"):
        (work / name).mkdir(parents=True, exist_ok=True)
    (work / "etc/passwd").write_text("root:x:0:0:root:/:/sbin/nologin\n")
    (work / "etc/group").write_text("root:x:0:\n")
    (work / "usr/bin/python3").symlink_to(PYTHON)


def _make_readable(work: Path) -> None:
    work.chmod(0o755)
    for path in work.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    for scratch in ("tmp", "dev/shm"):  # engines copy these modes to what they mount there
        (work / scratch).chmod(0o1777)


def _digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        total.update(f"{path.relative_to(folder)}\0{info.st_mode:o}\0".encode())
        if path.is_symlink():
            total.update(str(path.readlink()).encode())
        elif path.is_file():
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return "sha256:" + total.hexdigest()
