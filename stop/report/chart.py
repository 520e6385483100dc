"""The geometry of a chart with intervals; the template draws it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stop.report.data import Bar, Measure


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a bar is drawn.

    Attributes:
        place: on the axis of the bars.
        value, low, high: on the axis of the values; None without a score, or an interval.
        cut_low, cut_high: whether the interval goes on beyond the chart.
    """

    bar: Bar
    place: float
    value: float | None
    low: float | None
    high: float | None
    label: str
    cut_low: bool
    cut_high: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """Coordinates in a box of `width` × `height`.

    Attributes:
        grid: where a line of the grid is on the axis of the values, and its label.
        line: a path through the accepted marks.
        lying: whether values go from left to right, with one row for each mark.
    """

    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    grid: tuple[tuple[float, str], ...]
    marks: tuple[Mark, ...]
    line: str
    lying: bool


def draw(bars: Sequence[Bar], width: int, height: int) -> Chart | None:
    """Places one mark for each bar, in order; a line joins the accepted ones.

    Args:
        bars: rates and plain scores have long labels, and get a row each.
        width: the limit; a few bars take less.
        height: of the whole; rows take what they need instead.

    Returns:
        None where no bar has a score.
    """
    shown = [bar.measure for bar in bars if bar.measure is not None]
    if not shown:
        return None
    lying = any(bar.kind in ("rate", "plain") for bar in bars)
    ticks = _ticks(*_range(shown, rates=any(bar.kind == "rate" for bar in bars)))
    low, high = ticks[0], ticks[-1]
    if lying:
        width, step, first, every = min(width, 560), 44.0, 32.0, 1
        left, right, top, bottom = 14.0, width - 20.0, 0.0, len(bars) * step + 6
        start, end, height = left, right, int(bottom) + 22
    else:
        width = min(width, 120 + 130 * len(bars))
        left, right, top, bottom = 46.0, width - 16.0, 14.0, height - 34.0
        start, end, step = bottom, top, (right - left) / len(bars)
        first = left + step / 2
        every = math.ceil(34 / step) if len(bars[-1].label) < 4 else 1

    def at(value: float | None) -> float | None:
        if value is None:
            return None
        share = (min(max(value, low), high) - low) / (high - low)
        return round(start + share * (end - start), 1)

    def mark(i: int, bar: Bar) -> Mark:
        found = bar.measure
        from_, to = (found.low, found.high) if found else (None, None)
        return Mark(
            bar,
            round(first + i * step, 1),
            at(found.mean if found else None),
            at(from_),
            at(to),
            "" if i % every else bar.label,
            cut_low=from_ is not None and from_ < low,
            cut_high=to is not None and to > high,
        )

    marks = tuple(mark(i, bar) for i, bar in enumerate(bars))
    places = decimals(ticks)
    grid = tuple((at(tick) or 0.0, f"{tick:.{places}f}") for tick in ticks)
    line = "" if lying else _line(marks, right)
    return Chart(width, height, left, right, top, bottom, grid, marks, line, lying)


def _line(marks: Sequence[Mark], right: float) -> str:
    """The improver that goes on: level until the next one is accepted."""
    path, last = "", 0.0
    for mark in marks:
        if mark.bar.kind == "accepted" and mark.value is not None:
            path += f"H{mark.place}V{mark.value}" if path else f"M{mark.place} {mark.value}"
            last = mark.place
    return f"{path}H{right}" if path and last < right else path


def _range(measures: Sequence[Measure], *, rates: bool) -> tuple[float, float]:
    """Means and ends, without intervals so wide that they would flatten everything else.

    Rates begin at 0, and have their whole intervals.
    """
    if rates:
        return 0.0, max(measure.high or measure.mean for measure in measures)
    means = [measure.mean for measure in measures]
    reach = max(max(means) - min(means), 0.1, abs(max(means, key=abs)) * 0.25)
    ends = [end for each in measures for end in (each.low, each.high) if end is not None]
    low, high = min(means) - reach, max(means) + reach
    values = means + [min(max(end, low), high) for end in ends]
    return min(values), max(values)


def _ticks(low: float, high: float) -> list[float]:
    """Four to seven round numbers around a range."""
    span = max(high - low, 1e-6 * max(1.0, abs(high)))
    raw = span / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, max(last, first + 1) + 1)]


def decimals(ticks: Sequence[float]) -> int:
    """The fewest decimal places that tell neighbours apart."""
    return next((n for n in range(7) if all(abs(round(t, n) - t) < 1e-9 for t in ticks)), 7)
