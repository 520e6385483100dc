"""`stop audit`: the security log of a run."""

from __future__ import annotations

import time

import click

from stop.cli.options import runs_dir_option
from stop.cli.output import clean, json_option, say, short, show_json, table
from stop.errors import RunError


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
    from stop.api import open_run
    from stop.cli.runs import find_run

    run = open_run(find_run(run_name, runs_dir))
    events = [e for e in run.security_events() if e["level"] >= level]
    if as_json:
        shown, left_out = events[:limit], max(0, len(events) - limit)
        show_json({"run": str(run.folder), "events": shown, "left_out": left_out})
        return
    if not events:
        say("no security events")
        return
    rows = [
        [time.strftime("%H:%M:%S", time.localtime(e["time"])), e["level"], e["event"],
         short(e["program_id"]), e["detail"][:80]]
        for e in events[:limit]
    ]  # fmt: skip
    table(["time", "level", "kind", "program", "detail"], rows)
    if len(events) > limit:
        say(f"... {len(events) - limit} more; --limit N shows them")


@audit.command()
@click.argument("run_name", metavar="RUN")
@click.option("--head", metavar="HASH", help="A hash that you noted: it must be in the chain.")
@runs_dir_option
@json_option
def verify(run_name: str, head: str | None, runs_dir: str, as_json: bool) -> None:
    """Check that nobody changed RUN's log. Exit code 0: intact, 1: not.

    Without --head the head that the run's store noted when it last closed is used.
    """
    from stop.api import open_run
    from stop.audit.log import verify as verify_log
    from stop.cli.runs import find_run

    run = open_run(find_run(run_name, runs_dir))
    if head is None and (run.folder / "run.db").exists():
        store = run.store()
        try:
            head = store.meta("audit.head")
        finally:
            store.close()
    verdict = verify_log(run.folder / "audit.jsonl", head)
    if as_json:
        show_json({"ok": verdict.ok, "lines": verdict.lines, "head": verdict.head,
                   "problem": verdict.problem})  # fmt: skip
    elif verdict.ok:
        say(f"intact: {verdict.lines} lines, head {verdict.head}")
    if not verdict.ok:
        raise RunError(f"the audit log has been changed: {clean(verdict.problem)}")
