"""Intervals as a drawing that stands in a page of HTML by itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

_INK, _PALE, _STRONG, _WEAK, _BAND = "#33373d", "#e5e8ec", "#3f6fb5", "#9aa5b1", "#fff0cc"
# In the drawing's own units: its width, the column of names, the margin, and the height of a row.
_WIDTH, _NAMES, _MARGIN, _ROW = 760, 130, 16, 18
_TICKS = 6


class Interval(NamedTuple):
    """A value with its bounds.

    Attributes:
        name: whose it is.
        value: somewhere between the bounds.
        low: the lower bound.
        high: the upper one.
        strong: whether it is drawn so that it is seen first.
    """

    name: str
    value: float
    low: float
    high: float
    strong: bool = True


def interval_chart(groups: Sequence[tuple[str, Sequence[Interval]]], against: Interval, label: str) -> str:
    """Draws intervals below each other, and what they are to be compared with as a band behind them all.

    Args:
        groups: the name of each group, and its intervals.
        against: the band.
        label: what is drawn, for the axis and for those who can't see it.

    Returns:
        An ``svg`` element.
    """
    every = [against, *(one for _, intervals in groups for one in intervals)]
    axis = _Axis.over(min(one.low for one in every), max(one.high for one in every))
    rows = sum(len(intervals) + 1 for _, intervals in groups)
    bottom = _ROW * rows + _MARGIN / 2
    parts = [*_band(against, axis, bottom), *_scale(axis, bottom)]
    row = 0
    for name, intervals in groups:
        row += 1
        parts.append(f'<text x="0" y="{_ROW * row - 5}" font-weight="600">{escape(name)}</text>')
        for interval in intervals:
            row += 1
            parts += _drawn(interval, axis, _ROW * row - _ROW / 2)
    parts.append(f'<text x="{axis.at(axis.middle):.1f}" y="{bottom + 36}" text-anchor="middle">{escape(label)}</text>')
    size = f'viewBox="0 0 {_WIDTH} {bottom + 44:.0f}" width="{_WIDTH}" font-size="12" fill="{_INK}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(label)}" {size}>{"".join(parts)}</svg>'
    )


class _Axis(NamedTuple):
    low: float
    high: float

    @classmethod
    def over(cls, low: float, high: float) -> _Axis:
        """One that has a little room on both sides."""
        room = 0.04 * (high - low) or max(1e-3, 0.1 * abs(low))
        return cls(low - room, high + room)

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2

    def at(self, value: float) -> float:
        """Where a value is."""
        return _NAMES + (_WIDTH - _NAMES - _MARGIN) * (value - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> list[float]:
        """Round numbers."""
        rough = (self.high - self.low) / _TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        return [step * place for place in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def _band(against: Interval, axis: _Axis, bottom: float) -> Iterator[str]:
    left, right = axis.at(against.low), axis.at(against.high)
    width = max(1.0, right - left)
    yield f'<rect x="{left:.1f}" y="0" width="{width:.1f}" height="{bottom}" fill="{_BAND}">{_told(against)}</rect>'
    yield _line(axis.at(against.value), 0, axis.at(against.value), bottom, "#d99a00", dashed=True)


def _scale(axis: _Axis, bottom: float) -> Iterator[str]:
    for tick in axis.ticks:
        yield _line(axis.at(tick), 0, axis.at(tick), bottom, _PALE)
        yield f'<text x="{axis.at(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick:.6g}</text>'


def _drawn(interval: Interval, axis: _Axis, height: float) -> Iterator[str]:
    colour = _STRONG if interval.strong else _WEAK
    yield f'<text x="{_MARGIN}" y="{height + 4}">{escape(interval.name)}</text>'
    yield _line(
        axis.at(interval.low), height, axis.at(interval.high), height, colour, width=3 if interval.strong else 2
    )
    yield f'<circle cx="{axis.at(interval.value):.1f}" cy="{height}" r="4" fill="{colour}">{_told(interval)}</circle>'


def _told(interval: Interval) -> str:
    """What is shown to whoever points at it."""
    return f"<title>{escape(interval.name)}: {interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]</title>"


def _line(
    left: float, top: float, right: float, bottom: float, colour: str, width: int = 1, dashed: bool = False
) -> str:
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    ends = f'x1="{left:.1f}" y1="{top}" x2="{right:.1f}" y2="{bottom}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"{dashes}/>'
