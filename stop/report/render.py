"""A report as one HTML file that asks nothing of any network.

Templates escape everything. What the script needs is JSON in a data block, where `<`, `>` and `&`
are written as escapes; the policy in the page's head allows this style sheet and this script by
their hashes, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from stop.report import words
from stop.report.chart import draw
from stop.report.data import Report

WIDE, NARROW = (760, 300), (340, 260)
_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def render(report: Report) -> str:
    """Renders a report as the whole file."""
    style, script = _part("style.css"), _part("script.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; "
        "trusted-types 'none'"
    )
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            style=style,
            script=script,
            policy=policy,
            data=data_block(report),
            charts=[draw(report.bars, *size) for size in (WIDE, NARROW)],
        )
    )


def data_block(report: Report) -> str:
    """Writes what the script reads as JSON that is safe in a script element."""
    names = ("nodes", "roots", "groups", "lines", "marks", "texts", "focus")
    document = {name: getattr(report.programs, name) for name in names}
    document["levels"] = words.LEVELS
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.translate(_ESCAPES)


@cache
def _part(name: str) -> str:
    return (files("stop.report") / "templates" / name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("stop.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=words.number,
        signed=words.signed,
        signed_ends=words.signed_ends,
        interval=words.interval,
        amount=words.amount,
        short=words.short,
    )
    environment.globals.update(
        levels=words.LEVELS, level_texts=words.LEVEL_TEXTS, plural=words.plural
    )
    return environment
