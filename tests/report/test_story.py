"""What a report says of a gain: exactly, on both sides of zero and of the test's threshold."""

from __future__ import annotations

import pytest

from stop.report import story
from stop.report.data import Gain, Measure

NOISE = ("open", "not distinguishable from noise")
DOUBT = ("open", "not beyond doubt")
CASES = {
    # mean, low, high of the paired difference, p -> tone, words of the headline
    "clearly above": ((0.1, 0.04, 0.16), 0.01, ("good", "")),
    "just under the threshold": ((0.1, 0.01, 0.19), 0.049, ("good", "")),
    "at the threshold": ((0.1, 0.01, 0.19), 0.05, DOUBT),
    "above, within noise": ((0.1, -0.02, 0.22), 0.08, NOISE),
    "above, within noise, whatever p is": ((0.1, -0.02, 0.22), 0.001, NOISE),
    "an end at zero": ((0.1, 0.0, 0.2), 0.01, NOISE),
    "above, without an interval": ((0.1, None, None), None, NOISE),
    "nothing": ((0.0, -0.1, 0.1), 1.0, ("bad", "")),
    "nothing, exactly": ((0.0, 0.0, 0.0), None, ("bad", "")),
    "below, within noise": ((-0.1, -0.22, 0.02), 0.08, ("bad", "")),
    "clearly below": ((-0.1, -0.16, -0.04), 0.01, ("bad", "")),
    "below, without an interval": ((-0.1, None, None), None, ("bad", "")),
}


FIRST = Measure(0.5)


def gain_of(difference, p=None, over="instances"):
    paired = difference and Measure(*difference)
    return Gain(Measure(0.5), Measure(0.6), paired, p, over, 20, 2, 10)


def of_rounds(gain, *, best_round=1, first=FIRST, reason=""):
    return story.rounds_story(
        "knapsack", first, gain, rounds=2, best_round=best_round, candidates=4, reason=reason
    )


def of_improve(gain):
    return story.improve_story("knapsack", gain, changed=True, candidates=7)


def headline(subject, where, tone, words):
    return {
        "good": f"{subject} got better: 0.500 → 0.600",
        "open": f"A higher score{where}, {words}: 0.500 → 0.600",
        "bad": f"{subject} did not get better: 0.500 → 0.600",
    }[tone]


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_on_a_program(name):
    difference, p, (tone, words) = CASES[name]
    gain = gain_of(difference, p)
    told = of_improve(gain)
    assert (told.tone, told.tile.label, told.tile.tone) == (tone, "Paired gain", tone)
    assert told.headline == headline("The program for knapsack", " for knapsack", tone, words)
    assert (story.judge(gain) == "better") == (tone == "good")
    verdict = told.more[-1]
    assert ("it is distinguishable from noise" in verdict) == (tone == "good")
    assert ("this cannot be told from noise" in verdict) == ((tone, words) == NOISE)
    assert ("its p-value is not below 0.05" in verdict) == ((tone, words) == DOUBT)
    assert verdict.endswith("does not cover how the model's answers vary.")


@pytest.mark.parametrize(
    ("difference", "tone", "words", "sentence", "note"),
    [
        (
            (0.1, 0.04, 0.16), "good", "",
            "the gain is +0.100 (95 % interval +0.040 to +0.160, 20 pairs of runs of the "
            "improver): it is distinguishable from noise.",
            "95 %: +0.040 to +0.160",
        ),
        (
            (0.1, 0.0, 0.2), *NOISE,
            "the gain is +0.100 (95 % interval 0.000 to +0.200, 20 pairs of runs of the improver): "
            "this cannot be told from noise.",
            "95 %: 0.000 to +0.200",
        ),
        (
            (0.0, -0.1, 0.1), "bad", "",
            "the gain is 0.000 (95 % interval −0.100 to +0.100, 20 pairs of runs of the improver).",
            "95 %: −0.100 to +0.100",
        ),
        (
            (-0.1, -0.16, -0.04), "bad", "",
            "the gain is −0.100 (95 % interval −0.160 to −0.040, 20 pairs of runs of the "
            "improver).",
            "95 %: −0.160 to −0.040",
        ),
    ],
)  # fmt: skip
def test_the_verdict_on_an_improver_is_the_final_comparison(
    difference, tone, words, sentence, note
):
    told = of_rounds(gain_of(difference, over="repetitions"))
    assert (told.tone, told.tile.note) == (tone, note)
    assert told.headline == headline("The improver", "", tone, words)
    assert "compared with the first one on fresh cells" in told.more[0]
    assert told.more[-1] == (
        f"Compared pair by pair on the same instances {sentence} What decides: the 95 % interval "
        "over 10 repetitions of 2 tasks, Student's t stratified by task; above 0 it is a gain."
    )


def test_without_a_final_comparison_no_gain_is_claimed():
    told = of_rounds(None, reason="the budget had no room")
    assert told.headline == "An improver was accepted; a gain is not confirmed"
    assert (told.tone, told.tile.value) == ("open", "–")
    assert told.more == (
        "The best improver came up in round 1. No gain is claimed: the budget had no room.",
    )
    assert "0.600" not in "".join(told.more)


def test_programs_that_were_not_paired_are_not_compared():
    told = of_improve(gain_of(None))
    assert told.headline == "A higher score for knapsack, not compared: 0.500 → 0.600"
    assert told.more[-1] == "The two were not scored on the same instances."
    assert (told.tile.label, told.tile.value) == ("Gain", "+0.100")
    assert (told.tone, told.tile.tone) == ("open", "open")
    lower = Gain(Measure(0.6), Measure(0.6))
    assert story.judge(lower) == "not better"
    assert story.judge(gain_of(None)) == "not compared"


def test_without_a_result_and_without_a_better_improver():
    assert of_rounds(None, first=None).headline == "This run has no result yet"
    told = of_rounds(None, best_round=0)
    assert told.headline == "No improver was found that is better than the first"
    assert (told.tone, told.tile.value) == ("calm", "0.500")
    assert "none of the 4 others took its place" in told.more[0]
    told = story.improve_story("knapsack", gain_of((0.0, 0.0, 0.0)), changed=False, candidates=2)
    assert (told.headline, told.tone) == ("No better program for knapsack was found", "calm")
