"""`stop model`: the local models that are known, and fetching one."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from stop._util.sheet import Table, clean
from stop.cli.options import json_option
from stop.cli.output import is_terminal, note, show


@click.group()
def model() -> None:
    """Local models: list and pull."""


@model.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """The models that can be pulled, and those that are here.

    A .gguf file in the models folder is listed, too, and can be used as local:NAME.
    """
    from stop.cli.documents.machine import ModelLine, ModelList
    from stop.lm.local.models import MODELS, pulled_models, store_folder

    pulled = pulled_models()
    known = [
        ModelLine(m.name, m.size, m.licence, m.repo, m.name in pulled, pulled.get(m.name))
        for m in MODELS.values()
    ]
    own = [
        ModelLine(name, path.stat().st_size, None, "your own file", True, path)
        for name, path in pulled.items()
        if name not in MODELS
    ]
    rows = [
        [f"local:{m.name}", f"{m.bytes // 1_000_000} MB", m.licence or "-",
         "yes" if m.pulled else "no", m.source]
        for m in (*known, *own)
    ]  # fmt: skip
    sheet = [Table(["model", "size", "licence", "here", "source"], rows)]
    show(ModelList(store_folder(), (*known, *own)), sheet, as_json)


@model.command()
@click.argument("name")
@json_option
def pull(name: str, as_json: bool) -> None:
    """Fetch a model, check its SHA-256 and keep it. Goes on where an earlier pull stopped."""
    from stop.cli.documents.machine import PulledModel
    from stop.lm.local.pull import pull_model

    path = pull_model(name, _reporter())
    show(PulledModel(name, path, path.stat().st_size), [{f"local:{name}": str(path)}], as_json)


def _reporter() -> Callable[[int, int, str], None]:
    """Reports progress on stderr: one line that is rewritten, or without a terminal a few lines."""
    watched = is_terminal()
    step = 0.2 if watched else 10.0
    last_time, last_words = -step, ""

    def report(done: int, total: int, what: str) -> None:
        nonlocal last_time, last_words
        now = time.monotonic()
        finished = total > 0 and done >= total
        if now - last_time < step and what == last_words and not (finished and watched):
            return
        share = f"{100 * done // total:3d} %" if total else ""
        line = f"{share}  {done // 1_000_000} of {total // 1_000_000} MB  {clean(what)}"
        if watched:
            end = "\n" if finished and what != last_words else ""
            click.echo(f"\r\x1b[K{line}{end}", nl=False, err=True)
        else:
            note(line)
        last_time, last_words = now, what

    return report
