"""Where the marks of a chart stand: lengths, places and cut labels for the SVG macros, in their units."""

from __future__ import annotations

from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from auditor.report import fonts, wording

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from auditor.model import Calendar
    from auditor.report.charts import Bar, Chart, HeatMap, Line, Part, Strip, Trend

_SHADES = (0.0, 0.05, 0.2, 0.5)
"""Up to which share of missing points a cell has the shade of this place; beyond the last it is the darkest."""


def wide(texts: Iterable[str], size: float) -> float:
    """Give the width of the widest of `texts` at a type size."""
    return max((fonts.width(text) for text in texts), default=0.0) * size


def fit(text: str, size: float, room: float) -> str:
    """Cut a label to `room`, with a sign that it was cut; what cannot be seen is written out first."""
    text = wording.visible(text)
    if fonts.width(text) * size <= room:
        return text
    while text and fonts.width(text + "…") * size > room:
        text = text[:-1]
    return text + "…"


def spoken(chart: Chart, bar: Bar, part: Part) -> str:
    """Write the label that stands beside a part of a bar."""
    if len(bar.parts) == 1:
        return " · ".join((chart.numerals.number(part.value), *bar.notes))
    return f"{chart.numerals.number(part.value)} {part.label}"


def keyed(chart: Chart) -> list[tuple[str, str]]:
    """Give what the colours mean, where it does not stand beside the bars: key and words of each part."""
    if chart.each_whole:
        return [(part.key, part.label) for part in chart.shown]
    if len(chart.bars) == 1:
        return [(part.key, spoken(chart, chart.bars[0], part)) for part in chart.bars[0].parts if part.value]
    return []


def said_width(chart: Chart, size: float) -> float:
    """Give the room that the labels of the fullest bar need."""
    rows = (
        sum(
            wide([spoken(chart, bar, part)], size) + (9 if part.key == "plain" else 20)
            for part in bar.parts
            if part.value
        )
        for bar in chart.bars
    )
    return max(rows, default=0.0)


def placed(labels: Sequence[str], width: float, size: float) -> list[tuple[float, int]]:
    """Set labels with a mark before each side by side: x and line of each."""
    found: list[tuple[float, int]] = []
    x, line = 0.0, 0
    for label in labels:
        room = 11 + wide([label], size)
        if x and x + room > width:
            x, line = 0.0, line + 1
        found.append((x, line))
        x += room + 12
    return found


def spread(values: list[int], width: float) -> list[float]:
    """Give each value its length out of `width`, so that a small one can still be seen, and the sum fits."""
    total = sum(values)
    if total == 0:
        return [0.0 for _ in values]
    least = min(3.0, width / (4 * len(values)))
    lengths = [max(least, width * value / total) if value else 0.0 for value in values]
    over = sum(lengths) - width * (1 if total else 0)
    large = max(range(len(values)), key=lambda index: lengths[index])
    lengths[large] -= over
    return [round(length, 2) for length in lengths]


def stretches(strip: Strip) -> list[tuple[int, int, int]]:
    """Join the neighbouring days of a heat map's line that look the same: first day, days, shade from 0 to 4."""
    found, at = [], 0
    for shade, run in groupby(None if cell is None else sum(cell > limit for limit in _SHADES) for cell in strip.cells):
        length = len(list(run))
        if shade is not None:
            found.append((at, length, shade))
        at += length
    return found


def mondays(chart: HeatMap, cell: float, room: float) -> list[tuple[int, str]]:
    """Give the columns that a date stands over, one each week or as many weeks as leave `room` for it."""
    if chart.first is None or not chart.strips:
        return []
    days = [chart.first + timedelta(days=column) for column in range(len(chart.strips[0].cells))]
    weeks = [(column, day) for column, day in enumerate(days) if day.weekday() == 0]
    every = next(n for n in range(1, 99) if n * 7 * cell >= room)
    return [(column, day.strftime("%m-%d")) for column, day in weeks[::-every][::-1]]


class Day(NamedTuple):
    """A day of a VM's calendar: weeks are columns, Monday is row 0."""

    column: int
    row: int
    letter: str
    """See `Calendar.letters`."""
    day: date


def weeks(calendar: Calendar) -> list[Day]:
    """Place the days of a calendar, from the first that a point was promised or found for."""
    letters = calendar.letters
    start = next((n for n, letter in enumerate(letters) if letter != "."), len(letters) - 1)
    first = calendar.last - timedelta(days=len(letters) - 1 - start)
    offset = first.weekday()
    return [
        Day((n + offset) // 7, (n + offset) % 7, letter, first + timedelta(days=n))
        for n, letter in enumerate(letters[start:])
    ]


def spans(calendar: Calendar) -> str:
    """Write the promised days without a point as dates and ranges; empty where there are none."""
    said = (f"{first}" if first == last else f"{first} {wording.DASH} {last}" for first, last in calendar.gaps())
    return ", ".join(said)


class Spot(NamedTuple):
    """A run's value in a trend."""

    x: float
    y: float
    value: int
    joined: bool
    """Part of the line; False stands apart."""


def spots(chart: Trend, line: Line, across: tuple[float, float], down: tuple[float, float]) -> list[Spot]:
    """Place a line's values: `across` between the first moment and the last, `down` from the highest value to zero."""
    (left, right), (top, bottom) = across, down
    start, end = chart.moments[0], chart.moments[-1]
    length = (end - start).total_seconds() or 1.0
    found = []
    for moment, value, apart in zip(chart.moments, line.values, chart.apart, strict=True):
        x = left + (right - left) * (moment - start).total_seconds() / length
        y = bottom - (bottom - top) * value / (chart.highest or 1)
        found.append(Spot(round(x, 2), round(y, 2), value, not apart))
    return found


def ends(chart: Trend, top: float, bottom: float) -> list[tuple[str, str, float]]:
    """Give each line's key, its words at the end, and their height; words that would stand on each other move apart."""
    heights = [bottom - (bottom - top) * line.values[-1] / (chart.highest or 1) for line in chart.lines]
    moved: dict[int, float] = {}
    lowest = float("-inf")
    for index in sorted(range(len(heights)), key=lambda index: heights[index]):
        lowest = moved[index] = max(heights[index], lowest + _LINE)
    return [
        (line.key, f"{chart.numerals.number(line.values[-1])} {line.label}", round(moved[index], 2))
        for index, line in enumerate(chart.lines)
    ]


_LINE = 13.0
"""Height of a label."""
