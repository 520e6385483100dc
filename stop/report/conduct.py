"""What programs tried against the sandbox, what became of them, and whether the log is whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from stop.audit import log as audit_log
from stop.audit.evidence import Evidence
from stop.audit.whole import verify_run
from stop.config import RunConfig
from stop.errors import StopError
from stop.report.data import Finding, Log, Security, Suspect
from stop.report.setup import shareable
from stop.report.text import one_line
from stop.report.words import HOW, effect, plural, topic
from stop.security import GIVEN, SUMMARIZED, Attempt, Summary, summarize
from stop.store import RoundRecord, Store

MAX_SUSPECTS = 100
_FINDINGS, _LINES, _WIDTH = 8, 3, 200


def read_summary(folder: Path, store: Store, given: str) -> Summary:
    """Reads who tried what; `given` is named as the model of what the run began with."""
    path = folder / "audit.jsonl"
    lines = audit_log.read(path, *SUMMARIZED) if path.exists() else ()
    return summarize(store, lines, given=given)


def attempts_by_program(summary: Summary) -> dict[str, list[Attempt]]:
    """Sorts attempts by program id; the highest levels stay first."""
    found: dict[str, list[Attempt]] = {}
    for attempt in summary.attempts:
        found.setdefault(attempt.evidence.program_id, []).append(attempt)
    return found


def fates(
    programs: Iterable[str],
    rounds: Sequence[RoundRecord],
    best: str | None,
    quarantined: Iterable[str],
    *,
    sampled: bool,
) -> dict[str, str]:
    """Says what became of each program, in words.

    Args:
        programs: ids.
        rounds: of the run.
        best: the id of its best improver.
        quarantined: ids.
        sampled: whether the run only takes samples, and builds nothing on them.
    """
    barred = set(quarantined)
    first: dict[str | None, RoundRecord] = {}
    for record in rounds:
        first.setdefault(record.improver_id, record)

    def fate(program: str) -> str:
        record = first.get(program)
        if program in barred:
            return "It is in quarantine: it is never executed again."
        if program == best:
            return "It is the best improver of this run. Read it before you use it."
        if record is not None and record.accepted:
            return f"It was accepted in round {record.round}."
        if record is not None:
            return f"It was the candidate of round {record.round}, and rejected."
        if sampled:
            return "It was sampled; nothing was built on it."
        return "It was tried, and not chosen."

    return {program: fate(program) for program in programs}


def read_security(summary: Summary, fate: dict[str, str], config: RunConfig) -> Security:
    """Lists the programs with security events, the highest levels first."""
    by_program = attempts_by_program(summary)
    shown = list(by_program.items())[:MAX_SUSPECTS]
    policy = {
        "log": "attempts are logged, and programs go on",
        "quarantine": "what makes an attempt is never executed again",
        "halt": f"the run stops after {plural(config.halt_after, 'program')} with an attempt",
    }[config.policy]
    return Security(
        tuple(_suspect(program, attempts, fate) for program, attempts in shown),
        len(by_program) - len(shown),
        summary.programs,
        {level: n for level, n in sorted(summary.by_level.items(), reverse=True) if n},
        policy,
    )


def _suspect(program: str, attempts: Sequence[Attempt], fate: dict[str, str]) -> Suspect:
    first = attempts[0]
    where = "" if first.round is None else f", round {first.round}"
    given = first.model == GIVEN
    origin = f"{first.kind} that the run began with" if given else f"{first.kind}{where}"
    return Suspect(
        program,
        max(int(each.evidence.level) for each in attempts),
        one_line(origin if given else f"{origin}, from {shareable(first.model)}"),
        fate.get(program, ""),
        tuple(
            finding(each.evidence, _LINES, _WIDTH, inherited=each.inherited)
            for each in attempts[:_FINDINGS]
        ),
    )


def finding(seen: Evidence, lines: int, width: int, *, inherited: bool = False) -> Finding:
    """Puts evidence in words, with up to `lines` lines of each sort, `width` characters wide."""
    return Finding(
        int(seen.level),
        one_line(topic(seen.topic)),
        HOW.get(seen.join, seen.join),
        tuple(one_line(each, width) for each in seen.text[:lines]),
        tuple(one_line(each, width) for each in seen.deeds[:lines]),
        effect(seen.kinds, bool(seen.deeds)),
        inherited,
    )


def check_log(folder: Path, store: Store) -> Log:
    """Checks the audit log, at the time when the report is made."""
    if not (folder / "audit.jsonl").exists():
        return Log(None, "This run has no audit log.")
    try:
        verdict = verify_run(folder, store.meta("audit.head"))
    except StopError as error:
        return Log(None, one_line(f"The log could not be checked: {error.message}"))
    details = [("lines", f"{verdict.lines:,}"), ("of these signed", f"{verdict.signed_lines:,}")]
    details += [("head", verdict.head), ("signed by", verdict.signer)]
    if cut := verdict.lost + len(verdict.orphans):
        details.append(("going on, or cut off by a crash", plural(cut, "effect")))
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
    return Log(ok, one_line(text), tuple((key, one_line(each)) for key, each in details if each))
