"""`stop sandbox`: build what guests see, prove the limits, clear away what dead runs left."""

from __future__ import annotations

import time
from typing import Any

import click

from stop.cli.output import json_option, note, say, show_json, table
from stop.errors import ConfigError, SandboxUnavailable

_FAILED = 4


@click.group()
def sandbox() -> None:
    """Build, check and prune the sandbox that programs run in."""


@sandbox.command()
@click.option("--dockerfile", is_flag=True, help="From a base image, not from this interpreter.")
@click.option("--base", metavar="IMAGE", help="With --dockerfile: the base image.")
@click.option(
    "--package", "packages", metavar="NAME", multiple=True, help="To be had beside numpy; repeat."
)
@click.option("--rebuild", is_flag=True, help="Even if it is there.")
@json_option
def build(
    dockerfile: bool, base: str | None, packages: tuple[str, ...], rebuild: bool, as_json: bool
) -> None:
    """Make the file system that programs see, and the image if an engine answers.

    Without this command it is made when it is first needed.
    """
    if base and not dockerfile:
        raise ConfigError("--base goes with --dockerfile", hint="stop sandbox build --dockerfile")
    began = time.monotonic()
    if dockerfile:
        result = _from_dockerfile(base, packages, rebuild)
    else:
        result = _from_interpreter(packages, rebuild)
    result["seconds"] = round(time.monotonic() - began, 2)
    if as_json:
        show_json(result)
        return
    for name, value in result.items():
        shown = ", ".join(value) if isinstance(value, list | tuple) else value
        say(f"{name:<9} {shown}")


def _from_interpreter(packages: tuple[str, ...], rebuild: bool) -> dict[str, Any]:
    from stop.sandbox.docker import connect, ensure_image
    from stop.sandbox.image import build_rootfs

    rootfs = build_rootfs(packages, rebuild=rebuild)
    result: dict[str, Any] = {
        "key": rootfs.key,
        "digest": rootfs.digest,
        "bytes": rootfs.bytes,
        "packages": rootfs.packages,
        "folder": str(rootfs.folder),
        "image": None,
    }
    try:
        client = connect()
    except SandboxUnavailable as error:
        note(f"no image was made: {error.message}")
        return result
    try:
        result["image"] = ensure_image(client, packages)
    finally:
        client.close()
    return result


def _from_dockerfile(base: str | None, packages: tuple[str, ...], rebuild: bool) -> dict[str, Any]:
    from stop._util.resources import resource_folder
    from stop.sandbox.docker import build_from_dockerfile, connect

    client = connect()
    try:
        image = build_from_dockerfile(
            client, resource_folder("sandbox"), base, packages, rebuild=rebuild
        )
        size = client.images.get(image).attrs["Size"]
    finally:
        client.close()
    tag = "stop-sandbox:dockerfile"
    return {"key": tag, "digest": image, "bytes": size, "packages": ("numpy", *packages)}


@sandbox.command()
@click.option(
    "--sandbox",
    "choice",
    type=click.Choice(["auto", "docker", "bubblewrap"]),
    default="auto",
    show_default=True,
)
@click.option(
    "--isolation",
    type=click.Choice(["fork", "container"]),
    default="fork",
    show_default=True,
    help="fork: all checks on one warm sandbox; container: a fresh one for each.",
)
@click.option("--image", metavar="NAME", help="docker: your own image, not this interpreter's.")
@json_option
def check(choice: str, isolation: str, image: str | None, as_json: bool) -> None:
    """Prove each limit from inside. Exit code 4 when one does not hold."""
    from stop._util.concurrency import run_sync

    name, digest, results = run_sync(_check(choice, isolation, image))
    good = all(result.ok for result in results)
    if as_json:
        checks = [result.to_dict() for result in results]
        show_json(
            {
                "sandbox": name,
                "isolation": isolation,
                "image": digest,
                "ok": good,
                "checks": checks,
            }
        )
    else:
        say(f"{name}/{isolation}, image {digest[:19]}")
        rows = [[r.name, "holds" if r.ok else "FAILS", "" if r.ok else r.detail] for r in results]
        table(["limit", "", "seen"], rows)
        failed = sum(not result.ok for result in results)
        say(f"{len(results) - failed} of {len(results)} hold" + (", do not use it" * bool(failed)))
    if not good:
        click.get_current_context().exit(_FAILED)


async def _check(choice: str, isolation: str, image: str | None) -> tuple[str, str, list[Any]]:
    from stop.sandbox import open_sandbox
    from stop.sandbox.selfcheck import check_sandbox

    backend = await open_sandbox(choice, image=image, proven=False)
    try:
        results = await check_sandbox(backend, isolation=isolation)
        return backend.name, backend.image_digest, results
    finally:
        await backend.aclose()


@sandbox.command()
@click.option("--all", "everything", is_flag=True, help="Containers of runs still going on, too.")
@click.option("--images", is_flag=True, help="The images as well; the next run makes them anew.")
@json_option
def prune(everything: bool, images: bool, as_json: bool) -> None:
    """Remove the containers and processes that dead runs left.

    Every run does this when it starts. With --all, runs that are going on lose their containers:
    their work is tried again, and may fail.
    """
    from stop.sandbox.bubblewrap import remove_orphans
    from stop.sandbox.docker import connect
    from stop.sandbox.docker import prune as remove

    if everything:
        note("--all: runs that are going on lose their containers, too")
    result = {"containers": 0, "images": 0, "processes": remove_orphans()}
    try:
        client = connect()
    except SandboxUnavailable as error:
        note(f"no containers were looked for: {error.message}")
    else:
        try:
            found = remove(client, dead_owners_only=not everything, images=images)
            result["containers"], result["images"] = found
        finally:
            client.close()
    if as_json:
        show_json(result)
    else:
        say("removed " + ", ".join(f"{count} {what}" for what, count in result.items()))
