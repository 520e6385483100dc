"""A chart with intervals as plain geometry; the template draws it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stop.report.data import Bar, Measure


@dataclass(frozen=True, slots=True)
class Mark:
    """A measure: where it is drawn. Ends are None without an interval; a place is too, without
    a score. An end that is cut goes on beyond the chart."""

    bar: Bar
    x: float | None
    y: float | None
    low: float | None
    high: float | None
    label: str
    cut_low: bool = False
    cut_high: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """Coordinates in a box of `width` × `height`.

    Attributes:
        grid: where a line of the grid is, and what it says.
        line: a path through what was accepted.
        lying: values go from left to right, one row for each mark; `low` and `high` are then x.
    """

    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    grid: tuple[tuple[float, str], ...]
    marks: tuple[Mark, ...]
    line: str = ""
    lying: bool = False


def draw(bars: Sequence[Bar], width: int, height: int) -> Chart | None:
    """One mark for each bar from left to right; a line joins what was accepted. None of nothing.

    Args:
        bars: in order.
        width: at the most; a few bars take less.
        height: of the whole.
    """
    shown = [bar.measure for bar in bars if bar.measure is not None]
    if not shown:
        return None
    full, width = width, min(width, 120 + 130 * len(bars))
    if any(bar.kind in ("rate", "plain") for bar in bars):
        return _draw_rows(bars, shown, min(full, 560))
    ticks = _ticks(*_range(shown))
    low, high = ticks[0], ticks[-1]
    left, right, top, bottom = 46.0, width - 16.0, 14.0, height - 34.0

    def y_of(value: float) -> float:
        return round(bottom - (value - low) / (high - low) * (bottom - top), 1)

    step = (right - left) / len(bars)
    every = math.ceil(34 / step) if len(bars[-1].label) < 4 else 1
    marks = []
    for i, bar in enumerate(bars):
        at = bar.measure
        marks.append(
            Mark(
                bar,
                round(left + step * (i + 0.5), 1),
                None if at is None else y_of(at.mean),
                None if at is None or at.low is None else y_of(max(low, at.low)),
                None if at is None or at.high is None else y_of(min(high, at.high)),
                bar.label if i % every == 0 else "",
                *_cut(at, low, high),
            )
        )
    places = decimals(ticks)
    grid = tuple((y_of(tick), f"{tick:.{places}f}") for tick in ticks)
    return Chart(width, height, left, right, top, bottom, grid, tuple(marks), _line(marks, right))


def _draw_rows(bars: Sequence[Bar], shown: Sequence[Measure], width: int) -> Chart:
    """Labels are long here: each stands above its mark."""
    rates = any(bar.kind == "rate" for bar in bars)
    ticks = _ticks(*(_range_of_rates(shown) if rates else _range(shown)))
    low, high = ticks[0], ticks[-1]
    left, right, row = 14.0, width - 20.0, 44

    def x_of(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return round(left + share * (right - left), 1)

    marks = []
    for i, bar in enumerate(bars):
        at = bar.measure
        ends = (at.low, at.high) if at else (None, None)
        start, end = (None if each is None else x_of(each) for each in ends)
        place = None if at is None else x_of(at.mean)
        marks.append(Mark(bar, place, i * row + 32.0, start, end, bar.label, *_cut(at, low, high)))
    bottom = len(bars) * row + 6.0
    places = decimals(ticks)
    grid = tuple((x_of(tick), f"{tick:.{places}f}") for tick in ticks)
    return Chart(width, int(bottom) + 22, left, right, 0.0, bottom, grid, tuple(marks), lying=True)


def _cut(at: Measure | None, low: float, high: float) -> tuple[bool, bool]:
    """Whether the chart ends before the interval does."""
    if at is None or at.low is None or at.high is None:
        return False, False
    return at.low < low, at.high > high


def _line(marks: Sequence[Mark], right: float) -> str:
    """The improver that goes on: level until the next one is accepted."""
    path, last = "", 0.0
    for mark in marks:
        if mark.bar.kind == "accepted" and mark.y is not None:
            path += f"H{mark.x}V{mark.y}" if path else f"M{mark.x} {mark.y}"
            last = mark.x or 0.0
    return f"{path}H{right}" if path and last < right else path


def _range(measures: Sequence[Measure]) -> tuple[float, float]:
    """Means and ends, without intervals so wide that they would flatten everything else."""
    means = [measure.mean for measure in measures]
    reach = max(max(means) - min(means), 0.1, abs(max(means, key=abs)) * 0.25)
    values = list(means)
    for measure in measures:
        for end in (measure.low, measure.high):
            if end is not None:
                values.append(min(max(end, min(means) - reach), max(means) + reach))
    return min(values), max(values)


def _range_of_rates(measures: Sequence[Measure]) -> tuple[float, float]:
    """From 0 on, with whole intervals."""
    return 0.0, max(measure.high or measure.mean for measure in measures)


def _ticks(low: float, high: float) -> list[float]:
    """Four to seven round numbers around a range."""
    span = max(high - low, 1e-6 * max(1.0, abs(high)))
    raw = span / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, max(last, first + 1) + 1)]


def decimals(ticks: Sequence[float]) -> int:
    """As many as tell neighbours apart."""
    return next((n for n in range(7) if all(abs(round(t, n) - t) < 1e-9 for t in ticks)), 7)
