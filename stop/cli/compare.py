"""`stop compare`: runs, or programs of one run, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from stop._util.sheet import Sheet, Table, interval, money, number, p_value, plural, short
from stop.cli.options import json_option, option, runs_dir_option
from stop.cli.output import show
from stop.config import RunConfig
from stop.errors import UserError

if TYPE_CHECKING:
    from stop._util.statistics import Comparison, Estimate
    from stop.analysis.comparing import Compared, Difference, Entry
    from stop.experiments.bypass.report import Rate


@click.command()
@click.argument("run_names", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--programs",
    metavar="A,B,...",
    help="Programs of one RUN (ids, their beginnings, or `best`) in place of runs.",
)
@click.option(
    "--test",
    is_flag=True,
    help="Also on the test split, which no improver has met: scored now, in the sandbox. Of "
    "improvers this is about the programs that they made.",
)
@option(RunConfig, "sandbox", help="With --test: where programs run.")
@runs_dir_option
@json_option
def compare(
    *, run_names: tuple[str, ...], programs: str | None, test: bool, sandbox: str, runs_dir: str,
    as_json: bool,
) -> None:  # fmt: skip
    """The result of each RUN, side by side, and whether differences are more than noise.

    Improvers are compared on fresh cells only, those of the final comparison of their run; `stop
    transfer` compares any two on new ones. Differences are tested in pairs where both met the same
    instances (programs of one run, runs with the same --seed), else by Welch's t-test. P-values
    are Holm-corrected for their number.

    \b
      stop compare 20260101-120000-run-1a2b last
      stop compare last --programs best,3f9a01,77c2be --test
    """
    from stop.analysis.comparing import compare_programs, compare_runs
    from stop.cli.runs import find_run

    folders = [find_run(name, runs_dir) for name in run_names]
    if programs is None:
        result = compare_runs(folders, test=test, sandbox=sandbox)
    elif len(folders) > 1:
        raise UserError("--programs compares programs of one run", hint="name one RUN")
    else:
        names = [name.strip() for name in programs.split(",") if name.strip()]
        result = compare_programs(folders[0], names, test=test, sandbox=sandbox)
    show(result.to_dict(), _sheet(result), as_json)


def _sheet(result: Compared) -> Sheet:
    facts = [_facts(entry) for entry in result.entries]
    names = dict.fromkeys(name for each in facts for name in each)
    used = [name for name in names if any(each.get(name) for each in facts)]
    rows = [[name, *(each.get(name, "") for each in facts)] for name in used]
    sheet: Sheet = [Table(["", *(entry.run for entry in result.entries)], rows)]
    return [*sheet, *_differences(result.differences)] if result.differences else sheet


def _facts(entry: Entry) -> dict[str, Any]:
    """What is known of a run or program, by what it is called; "" is left out."""
    facts = _facts_of_run(entry) if "lm" in entry.about else {}
    name = "meta-utility" if entry.what == "improver" else "score"
    facts |= {
        entry.what or "program": short(entry.program_id) if entry.program_id else "",
        name: _estimate(entry.score),
        "gain": _change(entry.gain),
        "p": p_value(entry.gain.p) if entry.gain else "",
        "on test": _estimate(entry.test),
        "gain on test": _change(entry.test_gain),
        "p on test": p_value(entry.test_gain.p) if entry.test_gain else "",
        "saturated": _saturated(entry),
        "strategy": ", ".join(entry.strategies),
    }
    for cell in entry.rates:
        facts[f"bypass, {cell.cell.replace('_', ' ')}"] = _rate(cell.any_level)
    return facts | {"security": _security(entry)}


def _facts_of_run(entry: Entry) -> dict[str, Any]:
    about, lm = entry.about, entry.about["lm"]
    other = about["meta_model"] != about["model"]
    return {
        "kind": entry.kind,
        "tasks": ", ".join(about["tasks"]) if entry.kind != "bypass" else "",
        "model": about["model"],
        "meta model": about["meta_model"] if other else "",
        "status": about["status"],
        "rounds": f"{entry.rounds}, {entry.accepted} accepted" if entry.rounds else "",
        "LM calls": lm["calls"],
        "tokens": lm["prompt_tokens"] + lm["completion_tokens"],
        "cost": money(lm["usd"]),
    }


def _security(entry: Entry) -> str:
    """How many programs of a run, or how often one, at which level."""
    about = entry.about
    if "security_programs" in about:
        programs = about["security_programs"]
        levels = [f"level {n}: {programs[n]}" for n in ("1", "2", "3") if programs[n]]
        return ", ".join(levels) or "no programs flagged"
    if not about["security_events"]:
        return "no events"
    return f"level {about['security_level']}, {plural(about['security_events'], 'event')}"


def _rate(rate: Rate) -> str:
    if rate.interval is None:
        return "-"
    low, high = rate.interval
    return f"{rate.count} of {rate.n} [{100 * low:.1f}, {100 * high:.1f}] %"


def _saturated(entry: Entry) -> str:
    found = entry.saturation
    if found is None or found.round is None or not entry.rounds:
        return ""
    if found.round == 0:
        return "no gain confirmed"
    return f"after round {found.round}" if found.round != found.last_round else "not yet"


def _differences(differences: tuple[Difference, ...]) -> Sheet:
    rows = []
    for each in differences:
        test = each.result
        rows.append([
            f"{each.a} - {each.b}",
            ("rate" if not each.split else each.split),
            _change(test) if test else "-",
            p_value(test.p) if test else "-",
            p_value(each.p_holm) if test else "-",
            f"{test.method}, n {test.n}" if test else "not comparable",
            "; ".join(filter(None, (", ".join(each.tasks), each.why))),
        ])  # fmt: skip
    heads = ["a - b", "on", "difference, 95 % interval", "p", "corrected", "method", "tasks"]
    remark = "p-values are two-sided; corrected: Holm's method over the differences shown"
    return [Table(heads, rows), remark]


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    return f"{number(estimate.mean)} {interval((estimate.low, estimate.high))}".strip()


def _change(test: Comparison | None) -> str:
    if test is None:
        return ""
    change = test.difference
    ends = "" if change.low is None else f" [{change.low:+.4f}, {change.high:+.4f}]"
    return f"{change.mean:+.4f}{ends}"
