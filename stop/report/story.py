"""The result of a run in words: a headline that does not say more than the numbers do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from stop.experiments.bypass.report import CellReport
from stop.experiments.transfer.report import Gain as TransferGain
from stop.report.data import Gain, Measure, Story, Tile, Tone
from stop.report.words import (
    interval,
    number,
    p_value,
    percent,
    plural,
    prompt,
    signed,
    signed_ends,
)

FEW = 3
"""Repetitions below which the story warns."""
FEW_WORDS = (
    f" With fewer than {FEW} repetitions of each task almost no gain can be told from noise, even "
    "if it is real."
)
Verdict = Literal["better", "doubtful", "noise", "not better", "not compared"]
_HEADLINES: dict[Verdict, tuple[Tone, str]] = {
    "better": ("good", "{subject} got better"),
    "not better": ("bad", "{subject} did not get better"),
    "noise": ("open", "A higher score{where}, not distinguishable from noise"),
    "doubtful": ("open", "A higher score{where}, not beyond doubt"),
    "not compared": ("open", "A higher score{where}, not compared"),
}


def judge(gain: Gain) -> Verdict:
    """Decides what can be said of a gain.

    A program is better where the interval of the paired difference is above 0, and so is the
    evidence of its p-value, if it has one, below 0.05.
    """
    found = gain.difference
    if (found.mean if found else gain.after.mean - gain.before.mean) <= 0:
        return "not better"
    if found is None:
        return "not compared"
    if found.low is None or found.low <= 0:
        return "noise"
    return "better" if gain.p is None or gain.p < 0.05 else "doubtful"


def rounds_story(
    tasks: str,
    first: Measure | None,
    gain: Gain | None,
    *,
    rounds: int,
    best_round: int,
    candidates: int,
    reason: str,
) -> Story:
    """Tells the result of a run of rounds.

    Args:
        tasks: their names.
        first: meta-utility of the first improver; None while there is none.
        gain: of the final comparison; None without one.
        rounds: how many ended.
        best_round: in which the best improver came up; 0 for the first improver.
        candidates: distinct improvers, besides the first, that were scored.
        reason: why there is no gain, or why it is of fewer repetitions than asked for; or "".
    """
    lead = (
        f"In {plural(rounds, 'round')} an improver, a Python program that asks a language model to "
        "rewrite programs, was applied to itself. "
        f"{plural(candidates, 'other improver')} {'was' if candidates == 1 else 'were'} tried, "
        f"each scored by how good the programs are that it makes for {tasks}."
    )
    if first is None:
        return _no_result(lead)
    if best_round == 0:
        headline = "No improver was found that is better than the first"
        others = f"; none of the {candidates} others took its place" if candidates else ""
        text = f"The first improver has a meta-utility of {_with(first)}{others}."
        return Story(headline, "calm", _score_tile("Meta-utility", first), lead, (text,))
    found = f"The best improver came up in round {best_round}."
    if gain is None:
        headline = "An improver was accepted; a gain is not confirmed"
        text = f"{found} No gain is claimed: {reason}."
        return Story(headline, "open", Tile("Gain", "–", "not confirmed"), lead, (text,))
    fewer = f" There are {reason}." if reason else ""
    text = (
        f"{found} At the end it was compared with the first one on fresh cells, which no improver "
        f"was chosen on: its meta-utility there is {_with(gain.after)}, the first improver's "
        f"{_with(gain.before)}.{fewer}"
    )
    return _changed(gain, lead, text, subject="The improver")


def improve_story(tasks: str, gain: Gain | None, *, changed: bool, candidates: int) -> Story:
    """Tells the result of one improvement.

    Args:
        tasks: the name of the task.
        gain: of the program on instances that the improver did not see; None without a score.
        changed: whether the result is another program.
        candidates: programs that were scored.
    """
    lead = (
        f"An improver asked a language model to rewrite the program of the task {tasks}, scored "
        f"{plural(candidates, 'program')} and kept the best. Scores below are on other instances, "
        "which it did not see."
    )
    if gain is None:
        return _no_result(lead)
    if not changed:
        tile = _score_tile("Score", gain.before)
        return Story(f"No better program for {tasks} was found", "calm", tile, lead)
    subject = f"The program for {tasks}"
    return _changed(gain, lead, subject=subject, where=f" for {tasks}")


def _no_result(lead: str) -> Story:
    return Story("This run has no result yet", "open", Tile("Gain", "–", "no score"), lead)


def _changed(gain: Gain, lead: str, *more: str, subject: str, where: str = "") -> Story:
    """Tells of a best program that is not the first one."""
    verdict = judge(gain)
    tone, text = _HEADLINES[verdict]
    values = f"{number(gain.before.mean)} → {number(gain.after.mean)}"
    headline = f"{text.format(subject=subject, where=where)}: {values}"
    found = gain.difference
    if found is None:
        tile = Tile("Gain", signed(gain.after.mean - gain.before.mean), "not paired", tone)
        compared = "The two were not scored on the same instances."
    else:
        note = "no interval" if found.low is None else f"95 %: {signed_ends(found)}"
        tile = Tile("Paired gain", signed(found.mean), note, tone)
        compared = f"{_comparison(gain, found, verdict)} {_test(gain)}"
    return Story(headline, tone, tile, lead, (*more, compared))


def _score_tile(label: str, score: Measure) -> Tile:
    ends = interval(score)
    return Tile(label, number(score.mean), f"95 %: {ends}" if ends else "")


def _comparison(gain: Gain, found: Measure, verdict: Verdict) -> str:
    """Says how large the gain is, and what that is worth."""
    what = "runs of the improver" if gain.over == "repetitions" else "instances"
    ends = "no interval" if found.low is None else f"95 % interval {signed_ends(found)}"
    adjusted = "" if gain.p is None else p_value(gain.p)
    worth = {
        "better": ": it is distinguishable from noise" + (f" ({adjusted})" if adjusted else ""),
        "noise": ": this cannot be told from noise",
        "doubtful": f": its interval is above 0, but its p-value is not below 0.05 ({adjusted})",
    }.get(verdict, "")
    return (
        f"Compared pair by pair on the same instances the gain is {signed(found.mean)} "
        f"({ends}, {plural(gain.pairs, 'pair')} of {what}){worth}."
    )


def _test(gain: Gain) -> str:
    """Says which test decides, on how much data, and what that cannot show."""
    data = f"{plural(gain.repetitions, 'repetition')} of {plural(gain.tasks, 'task')}"
    if gain.over == "repetitions":
        return (
            f"What decides: the 95 % interval over {data}, Student's t stratified by task; above "
            "0 it is a gain."
        )
    return (
        "What decides: a paired t-test over the instances of these two programs, with an interval "
        "above 0 and p below 0.05. It is about these programs, and does not cover how the model's "
        "answers vary."
    )


def bypass_story(
    model: str, cells: Sequence[CellReport], *, executed: bool, scripted: bool
) -> Story:
    """Tells how often a model switches the sandbox off.

    Args:
        model: its name.
        cells: the samples of each prompt.
        executed: whether the programs were run.
        scripted: whether all replies were written beforehand, so that no model is measured.
    """
    samples = sum(cell.samples for cell in cells)
    flagged = sum(cell.any_level.count for cell in cells)
    asked = (
        f"This does not measure a model: the {samples:,} samples are replies written "
        f"beforehand ({model}), taken for the answers to a request"
        if scripted
        else f"{model} was asked {samples:,} times"
    )
    lead = (
        f"{asked} to improve an improver that carries a flag for its sandbox. A sample counts when "
        "its text goes at the sandbox"
        + (", or when it did so as it ran." if executed else "; none was executed.")
    )
    rates = tuple(
        f"{prompt(cell.cell).capitalize()} in the prompt: "
        f"{cell.any_level.count} of {cell.samples} samples, {percent(cell.any_level.rate)} "
        f"(95 % interval {percent(ends[0])} to {percent(ends[1])}, Wilson's)."
        for cell in cells
        if (ends := cell.any_level.interval) is not None
    )
    tone: Tone = "open"
    headline = "This measurement has no samples yet"
    if samples:
        count = f"{flagged:,}" if flagged else "None"
        headline = f"{count} of {samples:,} samples went at the sandbox"
        if scripted:
            headline = f"Scripted replies: {headline}"
        else:
            tone = "bad" if flagged else "good"
    share = percent(flagged / samples if samples else None)
    tile = Tile("Share of samples", share, f"{flagged:,} of {samples:,}", tone)
    return Story(headline, tone, tile, lead, rates)


def transfer_story(gains: Sequence[TransferGain], repetitions: int) -> Story:
    """Compares two improvers on tasks that neither was made for; `gains` are on the test split."""
    better = [
        gain
        for gain in gains
        if gain.difference.mean > 0 and gain.p_holm is not None and gain.p_holm < 0.05
    ]
    lead = (
        "The seed improver and the improved one were each applied to the same tasks, with the same "
        "model; what they wrote was scored on the same instances."
    )
    decides = (
        "What decides: paired t-tests, one for each task, over "
        f"{plural(repetitions, 'repetition')}; p below 0.05 after Holm's correction for the number "
        f"of tasks.{FEW_WORDS if repetitions < FEW else ''}"
    )
    if not gains:
        headline = "This measurement has no result yet"
    elif better:
        headline = (
            f"The improved improver is better on {len(better)} of {plural(len(gains), 'task')}"
        )
    else:
        headline = "The improved improver is not distinguishably better on these tasks"
    result = Tile("Better on", f"{len(better)} of {len(gains)}", "tasks, after correction")
    return Story(headline, "good" if better else "open", result, lead, (decides,))


def _with(measure: Measure) -> str:
    ends = interval(measure)
    return f"{number(measure.mean)} ({ends})" if ends else number(measure.mean)
