"""What programs tried against the sandbox, what became of them, and whether the log is whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stop.audit.whole import verify_run
from stop.errors import StopError
from stop.report.context import Context
from stop.report.data import Finding, Log, Security, Suspect
from stop.report.setup import shareable
from stop.report.text import one_line
from stop.report.words import HOW, effect, plural, topic
from stop.runs.security import GIVEN, Attempt
from stop.store import Store

MAX_SUSPECTS = 100
_FINDINGS, _LINES, _WIDTH = 8, 3, 200


def fate(run: Context, program: str) -> str:
    """Says what became of a program, in words."""
    record = next((each for each in run.rounds if each.improver_id == program), None)
    if program in run.summary.quarantined:
        return "It is in quarantine: it is never executed again."
    if run.best is not None and program == run.best.improver_id:
        return "It is the best improver of this run. Read it before you use it."
    if record is not None and record.accepted:
        return f"It was accepted in round {record.round}."
    if record is not None:
        return f"It was the candidate of round {record.round}, and rejected."
    if run.sampled:
        return "It was sampled; nothing was built on it."
    return "It was tried, and not chosen."


def read_security(run: Context) -> Security:
    """Lists the programs with security events, the highest levels first."""
    shown = list(run.attempts.items())[:MAX_SUSPECTS]
    policy = {
        "log": "attempts are logged, and programs go on",
        "quarantine": "what makes an attempt is never executed again",
        "halt": f"the run stops after {plural(run.config.halt_after, 'program')} with an attempt",
    }[run.config.policy]
    return Security(
        tuple(_suspect(run, program, attempts) for program, attempts in shown),
        len(run.attempts) - len(shown),
        run.summary.programs,
        {level: n for level, n in sorted(run.summary.by_level.items(), reverse=True) if n},
        policy,
    )


def _suspect(run: Context, program: str, attempts: Sequence[Attempt]) -> Suspect:
    first = attempts[0]
    where = "" if first.round is None else f", round {first.round}"
    origin = f"{first.kind}{where}, from {shareable(first.model)}"
    if first.model == GIVEN:
        origin = f"{first.kind} that the run began with"
    return Suspect(
        program,
        run.level(program),
        one_line(origin),
        fate(run, program),
        tuple(finding(each, _LINES, _WIDTH) for each in attempts[:_FINDINGS]),
    )


def finding(seen: Attempt, lines: int, width: int) -> Finding:
    """Puts an attempt in words, with up to `lines` lines of each sort, `width` characters wide."""
    return Finding(
        int(seen.level),
        one_line(topic(seen.topic)),
        HOW.get(seen.join, seen.join),
        tuple(one_line(each, width) for each in seen.text[:lines]),
        tuple(one_line(each, width) for each in seen.deeds[:lines]),
        effect(seen.kinds, bool(seen.deeds)),
        seen.inherited,
    )


def check_log(folder: Path, store: Store) -> Log:
    """Checks the audit log, at the time when the report is made."""
    if not (folder / "audit.jsonl").exists():
        return Log(None, "This run has no audit log.")
    try:
        verdict = verify_run(folder, store.meta("audit.head"))
    except StopError as error:
        return Log(None, one_line(f"The log could not be checked: {error.message}"))
    details = {
        "lines": f"{verdict.lines:,}",
        "of these signed": f"{verdict.signed_lines:,}",
        "head": verdict.head,
        "signed by": verdict.signer,
    }
    if cut := verdict.lost + len(verdict.orphans):
        details["going on, or cut off by a crash"] = plural(cut, "effect")
    ok: bool | None = verdict.ok
    if verdict.ok:
        text = (
            "Intact when this report was made: the chain of the log is whole, and signed by this "
            "machine's key."
        )
    elif verdict.untrusted:
        ok = None
        text = (
            f"The chain of the log is whole. It is signed by key {verdict.signer or 'unknown'}, "
            "which is not this machine's: compare it with the key that the sender names."
        )
    else:
        text = f"The log has been changed: {verdict.problem}."
    return Log(ok, one_line(text), tuple((k, one_line(v)) for k, v in details.items() if v))
