"""`stop sandbox`: build what guests see, prove the limits, clear away what dead runs left."""

from __future__ import annotations

import time
from contextlib import aclosing, closing
from typing import TYPE_CHECKING

import click

from stop._util.sheet import Sheet, Table
from stop.cli.options import json_option, option
from stop.cli.output import note, show
from stop.config import RunConfig
from stop.errors import ConfigError, SandboxError, SandboxUnavailable

if TYPE_CHECKING:
    from stop.cli.documents.machine import BuiltFileSystem, BuiltImage, SandboxCheck


@click.group()
def sandbox() -> None:
    """Build, check and prune the sandbox that programs run in."""


@sandbox.command()
@click.option("--dockerfile", is_flag=True, help="From a base image, not from this interpreter.")
@click.option("--base", metavar="IMAGE", help="With --dockerfile: the base image.")
@click.option(
    "--package", "packages", metavar="NAME", multiple=True, help="Available besides numpy; repeat."
)
@click.option("--rebuild", is_flag=True, help="Even if it is there.")
@json_option
def build(
    dockerfile: bool, base: str | None, packages: tuple[str, ...], rebuild: bool, as_json: bool
) -> None:
    """Make the file system that programs see, and the image if an engine answers.

    Without this command it is made when it is first needed.
    """
    from stop._util.documents import to_document

    if base and not dockerfile:
        raise ConfigError("--base goes with --dockerfile", hint="stop sandbox build --dockerfile")
    if dockerfile:
        built = _from_dockerfile(base, packages, rebuild)
    else:
        built = _from_interpreter(packages, rebuild)
    show(built, [to_document(built) | {"packages": ", ".join(built.packages)}], as_json)


def _from_interpreter(packages: tuple[str, ...], rebuild: bool) -> BuiltFileSystem:
    from stop.cli.documents.machine import BuiltFileSystem
    from stop.sandbox.docker import connect, ensure_image
    from stop.sandbox.image import build_rootfs

    began, image = time.monotonic(), None
    rootfs = build_rootfs(packages, rebuild=rebuild)
    try:
        client = connect()
    except SandboxUnavailable as error:
        note(f"no image was made: {error.message}")
    else:
        with closing(client):
            image = ensure_image(client, packages)
    seconds = round(time.monotonic() - began, 2)
    return BuiltFileSystem(
        rootfs.key, rootfs.digest, rootfs.bytes, tuple(rootfs.packages), seconds,
        rootfs.folder, image,
    )  # fmt: skip


def _from_dockerfile(base: str | None, packages: tuple[str, ...], rebuild: bool) -> BuiltImage:
    from stop._util.resources import resource_folder
    from stop.cli.documents.machine import BuiltImage
    from stop.sandbox.docker import build_from_dockerfile, connect

    began, folder = time.monotonic(), resource_folder("sandbox")
    with closing(connect()) as client:
        image = build_from_dockerfile(client, folder, base, packages, rebuild=rebuild)
        size = client.images.get(image).attrs["Size"]
    tag = "stop-sandbox:dockerfile"
    return BuiltImage(tag, image, size, ("numpy", *packages), round(time.monotonic() - began, 2))


@sandbox.command()
@option(RunConfig, "sandbox")
@option(
    RunConfig,
    "isolation",
    help="fork: all checks on one warm sandbox; container: a fresh one for each.",
)
@option(RunConfig, "image")
@json_option
def check(sandbox: str, isolation: str, image: str | None, as_json: bool) -> None:
    """Prove each limit from inside. Exit code 4 when one does not hold."""
    from stop._util.concurrency import run_sync

    found = run_sync(_check(sandbox, isolation, image))
    rows = [
        [each.name, "holds" if each.ok else "FAILS", "" if each.ok else each.detail]
        for each in found.checks
    ]
    held = sum(each.ok for each in found.checks)
    sheet: Sheet = [
        f"{found.sandbox}/{isolation}, image {found.image[:19]}",
        Table(["limit", "", "seen"], rows),
        f"{held} of {len(rows)} hold" + ("" if found.ok else ", do not use it"),
    ]
    show(found, sheet, as_json)
    if not found.ok:
        click.get_current_context().exit(SandboxError.exit_code)


async def _check(choice: str, isolation: str, image: str | None) -> SandboxCheck:
    from stop.cli.documents.machine import SandboxCheck
    from stop.sandbox import open_sandbox
    from stop.sandbox.selfcheck import check_sandbox

    async with aclosing(await open_sandbox(choice, image=image, proven=False)) as backend:
        checks = tuple(await check_sandbox(backend, isolation=isolation))
    good = all(each.ok for each in checks)
    return SandboxCheck(backend.name, isolation, backend.image_digest, good, checks)


@sandbox.command()
@click.option("--all", "everything", is_flag=True, help="Containers of runs still going on, too.")
@click.option("--images", is_flag=True, help="The images as well; the next run makes them anew.")
@json_option
def prune(everything: bool, images: bool, as_json: bool) -> None:
    """Remove the containers and processes that dead runs left.

    Every run does this when it starts. With --all, runs that are going on lose their containers:
    their work is tried again, and may fail.
    """
    from stop.cli.documents.machine import Pruned
    from stop.sandbox.bubblewrap import remove_orphans
    from stop.sandbox.docker import connect
    from stop.sandbox.docker import prune as remove

    if everything:
        note("--all: runs that are going on lose their containers, too")
    processes, containers, removed = remove_orphans(), 0, 0
    try:
        client = connect()
    except SandboxUnavailable as error:
        note(f"no containers were looked for: {error.message}")
    else:
        with closing(client):
            containers, removed = remove(client, dead_owners_only=not everything, images=images)
    gone = f"removed {containers} containers, {removed} images, {processes} processes"
    show(Pruned(containers, removed, processes), [gone], as_json)
