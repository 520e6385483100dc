"""`stop audit`: the security log of a run."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stop._util.sheet import Code, Sheet, Table, clean, short
from stop.cli.options import json_option, limit_option
from stop.cli.output import left_out
from stop.cli.output import show as show_result
from stop.cli.runs import run_argument
from stop.errors import RunError

if TYPE_CHECKING:
    from stop.audit.chain import Orphan, Verdict

_ORPHANS_SHOWN = 20


@click.group()
def audit() -> None:
    """The security log of a run: who tried what against the sandbox."""


@audit.command()
@click.option("--level", type=click.IntRange(0, 3), default=0, help="Events of this level and up.")
@limit_option(200)
@run_argument
@json_option
def show(folder: Path, level: int, limit: int, as_json: bool) -> None:
    """The security events of RUN. Levels: 1 intent, 2 attempt, 3 tampering."""
    from stop.cli.documents.runs import SecurityEvents
    from stop.recorded_run import open_run

    every = open_run(folder).security_events()
    events = [e for e in every if e["level"] >= level]
    shown, more = events[:limit], max(0, len(events) - limit)
    rows = [
        [time.strftime("%H:%M:%S", time.localtime(e["time"])), e["level"], e["event"],
         e.get("source", ""), short(e["program_id"]), e["detail"][:80]]
        for e in shown
    ]  # fmt: skip
    heads = ["time", "level", "kind", "seen by", "program", "detail"]
    none = f"none of level {level} or above; {len(every)} below" if every else "no security events"
    sheet = [Table(heads, rows), *left_out(more)] if rows else [none]
    show_result(SecurityEvents(folder, tuple(shown), more), sheet, as_json)


@audit.command()
@limit_option(20)
@run_argument
@json_option
def summary(folder: Path, limit: int, as_json: bool) -> None:
    """Which programs of RUN tried what: by model, round, topic and level.

    Programs are counted, not calls. What a program has from its parent is counted where it
    began; "inherited" counts it further down. tried: its text shows it and it was seen to fail;
    intended: its text only; unannounced: it was seen at run time only.
    """
    from stop._util.documents import extended
    from stop.cli.documents.runs import SecuritySummary
    from stop.recorded_run import open_run

    found = open_run(folder).security_summary()
    counts = ", ".join(f"{count} at level {level}" for level, count in found.by_level.items())
    sheet: Sheet = [f"{found.programs} programs; with events: {counts}"]
    if found.quarantined:
        sheet.append(f"in quarantine: {', '.join(map(short, found.quarantined))}")
    if found.rows:
        rows = [
            [r.level, r.topic, r.join, r.model, "-" if r.round is None else r.round, r.programs,
             r.inherited]
            for r in found.rows
        ]  # fmt: skip
        fresh = [each for each in found.attempts if not each.inherited]
        attempts = [
            [int(a.level), short(a.program_id), a.topic, a.join, a.details[0][:70]]
            for a in fresh[:limit]
        ]
        heads = ["level", "topic", "how", "model", "round", "programs", "inherited"]
        sheet += [Table(heads, rows), Table(["level", "program", "topic", "how", "what"], attempts)]
        sheet += [*left_out(len(fresh) - limit), f"read one: stop show {folder} PROGRAM"]
    show_result(extended(SecuritySummary, found, run=folder), sheet, as_json)


@audit.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@json_option
def scan(files: tuple[str, ...], as_json: bool) -> None:
    """What the static rules see in program FILEs ("-" reads standard input).

    Text is intent (level 1), never an attempt. Exit code 0, whatever is found.
    """
    from stop.audit.rules import scan as scan_text
    from stop.cli.documents.runs import ScannedFile
    from stop.programs import Program

    results = []
    for name in files:
        source = sys.stdin.buffer.read().decode("utf-8", "replace") if name == "-" else None
        found = scan_text(Program.from_file(name).source if source is None else source)
        rules: Any = tuple(map(asdict, found.findings))
        results.append(ScannedFile(name, found.status, found.level, found.paper_rule, rules))
    rows = [
        [each.file, seen["line"], int(seen["level"]), seen["rule"], seen["evidence"]]
        for each in results
        for seen in each.findings
    ]
    sheet: Sheet = [Table(["file", "line", "level", "rule", "evidence"], rows)] if rows else []
    for each in results:
        if each.status != "ok":
            sheet.append(f"{each.file}: {each.status}")
        elif not each.findings:
            sheet.append(f"{each.file}: nothing found")
    show_result(results, sheet, as_json)


@audit.command()
@click.option("--head", metavar="HASH", help="A hash that you noted: it must be in the chain.")
@click.option(
    "--key",
    "trusted",
    metavar="FINGERPRINT",
    multiple=True,
    help="Of another machine that you trust, or its public key; see `stop audit key` there.",
)
@run_argument
@json_option
def verify(folder: Path, head: str | None, trusted: tuple[str, ...], as_json: bool) -> None:
    """Check that RUN's log has not been changed. Exit code 0: intact, 1: not.

    Without --head the head that the run's store noted last is used.
    """
    from stop._util.documents import extended
    from stop.audit.keys import parse_key
    from stop.audit.whole import verify_run
    from stop.cli.documents.runs import LogVerdict
    from stop.recorded_run import open_run

    run = open_run(folder)
    if head is None and (folder / "run.db").exists():
        with run.store() as store:
            head = store.meta("audit.head")
    keys = [parse_key(text) for text in trusted]
    verdict = verify_run(folder, head and head.strip().lower(), keys)
    show_result(extended(LogVerdict, verdict, run=folder), _sheet(verdict), as_json)
    if verdict.untrusted:
        raise RunError(
            f"the audit log was {verdict.problem}",
            hint="if you know that machine: --key FINGERPRINT",
        )
    if not verdict.ok:
        raise RunError(f"the audit log has been changed: {clean(verdict.problem)}")


def _sheet(verdict: Verdict) -> Sheet:
    orphans, unsigned = len(verdict.orphans), verdict.lines - verdict.signed_lines
    intact = f"intact: {verdict.lines} lines, head {verdict.head}"
    sheet: Sheet = [intact if verdict.ok else f"good lines: {verdict.lines}"]
    if verdict.signer:
        whose = "this machine" if verdict.this_machine else "another machine"
        sheet.append(f"signed: {verdict.signed_lines} lines, by {whose}, {verdict.signer}")
    if unsigned:
        sheet.append(f"not signed: the last {unsigned}; a session signs as it goes and at its end")
    if verdict.lost:
        sheet.append(f"lost: {verdict.lost} effects were cut off by a crash")
    if orphans:
        sheet.append(f"without an outcome: {orphans} effects, going on or cut off by a crash")
        sheet.append(Code("\n".join(map(_in_words, verdict.orphans[:_ORPHANS_SHOWN]))))
    if orphans > _ORPHANS_SHOWN:
        sheet.append(f"  ... {orphans - _ORPHANS_SHOWN} more; --json shows them")
    return sheet


def _in_words(orphan: Orphan) -> str:
    words = " ".join(f"{key}={value}" for key, value in orphan.body.items())
    return f"  line {orphan.seq + 1}: {orphan.effect} {words}".replace("\n", " ")[:200]


@audit.command()
@json_option
def key(as_json: bool) -> None:
    """This machine's key, which signs the logs of its runs: what others need to check them."""
    from stop.audit.keys import fingerprint, machine_key, public_bytes
    from stop.cli.documents.machine import MachineKey

    public = public_bytes(machine_key())
    found = MachineKey(fingerprint(public), public.hex())
    sheet = [{"fingerprint": found.fingerprint, "public key": found.public_key}]
    show_result(found, sheet, as_json)
