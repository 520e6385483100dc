"""What a report says of a gain: exactly, on both sides of zero and of the test's threshold."""

from __future__ import annotations

import pytest

from stop.report import story
from stop.report.data import Gain, Measure

NOISE = ("open", "not distinguishable from noise")
DOUBT = ("open", "not beyond doubt")
CASES = {
    # mean, low, high of the paired difference, p, candidates -> tone, words of the headline
    "clearly above": ((0.1, 0.04, 0.16), 0.01, 1, ("good", "")),
    "clearly above, after correction": ((0.1, 0.04, 0.16), 0.01, 4, ("good", "")),
    "just under the threshold": ((0.1, 0.01, 0.19), 0.049, 1, ("good", "")),
    "at the threshold": ((0.1, 0.01, 0.19), 0.05, 1, DOUBT),
    "at the threshold, after correction": ((0.1, 0.04, 0.16), 0.0125, 4, DOUBT),
    "picked of many": ((0.1, 0.04, 0.16), 0.01, 6, DOUBT),
    "above, within noise": ((0.1, -0.02, 0.22), 0.08, 1, NOISE),
    "above, within noise, whatever p is": ((0.1, -0.02, 0.22), 0.001, 1, NOISE),
    "an end at zero": ((0.1, 0.0, 0.2), 0.01, 1, NOISE),
    "above, without an interval": ((0.1, None, None), None, 1, NOISE),
    "nothing": ((0.0, -0.1, 0.1), 1.0, 1, ("bad", "")),
    "nothing, exactly": ((0.0, 0.0, 0.0), None, 1, ("bad", "")),
    "below, within noise": ((-0.1, -0.22, 0.02), 0.08, 1, ("bad", "")),
    "clearly below": ((-0.1, -0.16, -0.04), 0.01, 1, ("bad", "")),
    "below, without an interval": ((-0.1, None, None), None, 1, ("bad", "")),
}


def gain_of(difference, p, repetitions=3):
    over = "repetitions" if repetitions > 1 else "instances"
    pairs = repetitions if repetitions > 1 else 20
    paired = difference and Measure(*difference)
    return Gain(Measure(0.5), Measure(0.6), paired, p, over, pairs, 1, repetitions)


def of_rounds(gain, candidates=1):
    return story.rounds_story("knapsack", gain, rounds=2, best_round=1, candidates=candidates)


def of_improve(gain):
    return story.improve_story("knapsack", gain, changed=True, candidates=7)


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_on_a_gain(name):
    difference, p, candidates, (tone, words) = CASES[name]
    gain = gain_of(difference, p)
    told = of_rounds(gain, candidates)
    assert told.tone == tone
    assert (
        told.headline
        == {
            "good": "The improver got better: 0.500 → 0.600",
            "open": f"A higher score, {words}: 0.500 → 0.600",
            "bad": "The improver did not get better: 0.500 → 0.600",
        }[tone]
    )
    assert (told.tile.label, told.tile.tone) == ("Paired gain", tone)
    assert (story.judge(gain, candidates) == "better") == (tone == "good")
    verdict = told.more[-1]
    assert ("it is distinguishable from noise" in verdict) == (tone == "good")
    assert ("this cannot be told from noise" in verdict) == ((tone, words) == NOISE)
    doubt = (tone, words) == DOUBT
    assert ("picked on these very instances" in verdict) == (doubt and candidates > 1)
    assert ("its p-value is not below 0.05" in verdict) == (doubt and candidates == 1)
    if candidates == 1:
        improved = of_improve(gain)
        assert (improved.tone, improved.tile) == (tone, told.tile)
        assert (
            improved.headline
            == {
                "good": "The program for knapsack got better: 0.500 → 0.600",
                "open": f"A higher score for knapsack, {words}: 0.500 → 0.600",
                "bad": "The program for knapsack did not get better: 0.500 → 0.600",
            }[tone]
        )


@pytest.mark.parametrize(
    ("difference", "p", "sentence", "note"),
    [
        (
            (0.1, 0.04, 0.16),
            0.01,
            "the gain is +0.100 (95 % interval +0.040 to +0.160, 3 pairs of runs of the improver): "
            "it is distinguishable from noise (p = 0.010).",
            "95 %: +0.040 to +0.160",
        ),
        (
            (0.0, -0.1, 0.1),
            1.0,
            "the gain is 0.000 (95 % interval −0.100 to +0.100, 3 pairs of runs of the improver).",
            "95 %: −0.100 to +0.100",
        ),
        (
            (-0.1, -0.16, -0.04),
            0.01,
            "the gain is −0.100 (95 % interval −0.160 to −0.040, 3 pairs of runs of the improver).",
            "95 %: −0.160 to −0.040",
        ),
        (
            (0.1, None, None),
            None,
            "the gain is +0.100 (no interval, 3 pairs of runs of the improver): this cannot be "
            "told from noise.",
            "no interval",
        ),
    ],
)
def test_the_sentence_on_a_gain(difference, p, sentence, note):
    told = of_rounds(gain_of(difference, p))
    assert told.more[-1] == (
        f"Compared pair by pair on the same instances {sentence} What decides: a paired t-test, "
        "stratified by task, over 3 repetitions of 1 task, with an interval above 0 and p below "
        "0.05."
    )
    assert told.tile.note == note


@pytest.mark.parametrize("case", ["clearly above", "above, within noise", "nothing"])
def test_one_repetition_says_what_its_interval_covers(case):
    difference, p, _, (tone, _) = CASES[case]
    told = of_rounds(gain_of(difference, p, repetitions=1))
    assert told.tone == tone
    assert "20 pairs of instances)" in told.more[-1]
    assert told.more[-1].endswith(
        "over 1 repetition of 1 task, with an interval above 0 and p below 0.05. The interval "
        "covers the instances only, not how the model's answers vary."
    )


def test_what_was_not_paired_is_not_compared():
    told = of_rounds(gain_of(None, None))
    assert told.headline == "A higher score, not compared: 0.500 → 0.600"
    assert told.more[-1] == "The two were not scored on the same instances."
    assert (told.tile.label, told.tile.value) == ("Gain", "+0.100")
    assert (told.tone, told.tile.tone) == ("open", "open")
    lower = Gain(Measure(0.6), Measure(0.6))
    assert story.judge(lower, 1) == "not better"
    assert of_rounds(lower).headline == "The improver did not get better: 0.600 → 0.600"
    assert story.judge(gain_of(None, None), 1) == "not compared"


def test_without_a_result_and_without_a_better_improver():
    assert of_rounds(None).headline == "This run has no result yet"
    told = story.rounds_story(
        "knapsack", gain_of((0.0, 0.0, 0.0), None), rounds=2, best_round=0, candidates=2
    )
    assert told.headline == "No improver was found that is better than the first"
    assert (told.tone, told.tile.value) == ("calm", "0.500")
    told = story.improve_story(
        "knapsack", gain_of((0.0, 0.0, 0.0), None), changed=False, candidates=2
    )
    assert (told.headline, told.tone) == ("No better program for knapsack was found", "calm")
