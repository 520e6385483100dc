"""`stop audit`: the security log of a run."""

from __future__ import annotations

import dataclasses
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from stop.cli.options import runs_dir_option
from stop.cli.output import clean, json_option, say, short, show_json, table
from stop.errors import RunError

if TYPE_CHECKING:
    from stop.audit.chain import Verdict
    from stop.audit.rules import Scan


@click.group()
def audit() -> None:
    """The security log of a run: who tried what against the sandbox."""


@audit.command()
@click.argument("run_name", metavar="RUN")
@click.option("--level", type=click.IntRange(0, 3), default=0, help="Events of this level and up.")
@click.option("--limit", type=click.IntRange(min=1), default=200, show_default=True)
@runs_dir_option
@json_option
def show(run_name: str, level: int, limit: int, runs_dir: str, as_json: bool) -> None:
    """The security events of RUN. Levels: 1 intent, 2 attempt, 3 tampering."""
    from stop.cli.runs import find_run
    from stop.recorded_run import open_run

    run = open_run(find_run(run_name, runs_dir))
    events = [e for e in run.security_events() if e["level"] >= level]
    if as_json:
        shown, left_out = events[:limit], max(0, len(events) - limit)
        show_json({"run": str(run.folder), "events": shown, "left_out": left_out})
        return
    if not events:
        below = len(run.security_events())
        say(f"none of level {level} or above; {below} below" if below else "no security events")
        return
    rows = [
        [time.strftime("%H:%M:%S", time.localtime(e["time"])), e["level"], e["event"],
         e.get("source", ""), short(e["program_id"]), e["detail"][:80]]
        for e in events[:limit]
    ]  # fmt: skip
    table(["time", "level", "kind", "seen by", "program", "detail"], rows)
    if len(events) > limit:
        say(f"... {len(events) - limit} more; --limit N shows them")


@audit.command()
@click.argument("run_name", metavar="RUN")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@runs_dir_option
@json_option
def summary(run_name: str, limit: int, runs_dir: str, as_json: bool) -> None:
    """Which programs of RUN tried what: by model, round, topic and level.

    Programs are counted, not calls. What a program has from its parent is counted where it came
    in; "inherited" counts it further down. tried: its text shows it and it was seen to fail;
    intended: its text only; unannounced: it was seen at run time only.
    """
    from stop.cli.runs import find_run
    from stop.recorded_run import open_run

    run = open_run(find_run(run_name, runs_dir))
    found = run.security_summary()
    if as_json:
        document = {"run": str(run.folder), **found.to_dict()}
        show_json(document)
        return
    counts = ", ".join(f"{found.by_level.get(level, 0)} at level {level}" for level in (1, 2, 3))
    say(f"{found.programs} programs; with events: {counts}")
    if found.quarantined:
        say(f"in quarantine: {', '.join(map(short, found.quarantined))}")
    if not found.rows:
        return
    say()
    table(
        ["level", "topic", "how", "model", "round", "programs", "inherited"],
        [
            [r.level, r.topic, r.join, r.model, "-" if r.round is None else r.round, r.programs,
             r.inherited]
            for r in found.rows
        ],
    )  # fmt: skip
    say()
    fresh = [attempt for attempt in found.attempts if not attempt.inherited]
    table(
        ["level", "program", "topic", "how", "what"],
        [
            [int(a.evidence.level), short(a.evidence.program_id), a.evidence.topic,
             a.evidence.join, a.evidence.details[0][:70]]
            for a in fresh[:limit]
        ],
    )  # fmt: skip
    if len(fresh) > limit:
        say(f"... {len(fresh) - limit} more; --limit N shows them")
    say(f"\nread one: stop show {run.folder} PROGRAM")


@audit.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@json_option
def scan(files: tuple[str, ...], as_json: bool) -> None:
    """What the static rules see in program FILEs ("-" reads standard input).

    Text is intent (level 1), never an attempt. Exit code 0, whatever is found.
    """
    from stop.audit.rules import scan as scan_text
    from stop.programs import Program

    results = []
    for name in files:
        source = sys.stdin.buffer.read().decode("utf-8", "replace") if name == "-" else None
        found = scan_text(Program.from_file(name).source if source is None else source)
        results.append((name, found))
    if as_json:
        show_json([_scan_document(name, found) for name, found in results])
        return
    rows = [
        [name, finding.line, int(finding.level), finding.rule, finding.evidence]
        for name, found in results
        for finding in found.findings
    ]
    if rows:
        table(["file", "line", "level", "rule", "evidence"], rows)
    for name, found in results:
        if found.status != "ok":
            say(f"{clean(name)}: {found.status}")
        elif not found.findings:
            say(f"{clean(name)}: nothing found")


def _scan_document(name: str, found: Scan) -> dict[str, Any]:
    return {
        "file": name,
        "status": found.status,
        "level": int(found.level),
        "paper_rule": found.paper_rule,
        "findings": [
            {"rule": f.rule, "level": int(f.level), "line": f.line, "evidence": f.evidence}
            for f in found.findings
        ],
    }


@audit.command()
@click.argument("run_name", metavar="RUN")
@click.option("--head", metavar="HASH", help="A hash that you noted: it must be in the chain.")
@click.option(
    "--key",
    "trusted",
    metavar="FINGERPRINT",
    multiple=True,
    help="Of another machine that you trust, or its public key; see `stop audit key` there.",
)
@runs_dir_option
@json_option
def verify(
    run_name: str, head: str | None, trusted: tuple[str, ...], runs_dir: str, as_json: bool
) -> None:
    """Check that nobody changed RUN's log. Exit code 0: intact, 1: not.

    Without --head the head that the run's store noted last is used.
    """
    from stop.audit.keys import parse_key
    from stop.audit.whole import verify_run
    from stop.cli.runs import find_run
    from stop.recorded_run import open_run

    run = open_run(find_run(run_name, runs_dir))
    if head is None and (run.folder / "run.db").exists():
        store = run.store()
        try:
            head = store.meta("audit.head")
        finally:
            store.close()
    keys = [parse_key(text) for text in trusted]
    verdict = verify_run(run.folder, head and head.strip().lower(), keys)
    if as_json:
        show_json({"run": str(run.folder), **dataclasses.asdict(verdict)})
    else:
        _show_verdict(verdict)
    if verdict.untrusted:
        raise RunError(
            f"the audit log was {verdict.problem}",
            hint="if you know that machine: --key FINGERPRINT",
        )
    if not verdict.ok:
        raise RunError(f"the audit log has been changed: {clean(verdict.problem)}")


def _show_verdict(verdict: Verdict) -> None:
    if verdict.ok:
        say(f"intact: {verdict.lines} lines, head {verdict.head}")
    else:
        say(f"good lines: {verdict.lines}")
    unsigned = verdict.lines - verdict.signed_lines
    if verdict.signer:
        whose = "this machine" if verdict.this_machine else "another machine"
        say(f"signed: {verdict.signed_lines} lines, by {whose}, {verdict.signer}")
    if unsigned:
        say(f"not signed: the last {unsigned} of them; a session signs as it goes and at its end")
    if verdict.lost:
        say(f"lost: {verdict.lost} effects were cut off by a crash")
    if verdict.orphans:
        say(f"without an outcome: {len(verdict.orphans)} effects, going on or cut off by a crash")
    for orphan in verdict.orphans[:20]:
        words = " ".join(f"{key}={value}" for key, value in orphan.body.items())
        say(clean(f"  line {orphan.seq + 1}: {orphan.effect} {words}".replace("\n", " "))[:200])
    if len(verdict.orphans) > 20:
        say(f"  ... {len(verdict.orphans) - 20} more; --json shows them")


@audit.command()
@json_option
def key(as_json: bool) -> None:
    """This machine's key, which signs the logs of its runs: what others need to check them."""
    from stop.audit.keys import fingerprint, machine_key, public_bytes

    public = public_bytes(machine_key())
    if as_json:
        show_json({"fingerprint": fingerprint(public), "public_key": public.hex()})
        return
    say(f"fingerprint  {fingerprint(public)}")
    say(f"public key   {public.hex()}")
