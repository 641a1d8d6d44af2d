"""Small drawings in SVG: an interval in a cell, and pass^k as lines."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ss_baselines.leaderboard.standing import Standing
from ss_baselines.leaderboard.submission import AgentCard
from ss_baselines.statistics import Estimate

# Colours that are told apart by most eyes (Okabe and Ito 2008).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#7f7f7f")
_DASHES = ("", "6 3", "2 3")
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 640, 300, 40, 12, 28


def whisker(estimate: Estimate, width: int = 96) -> str:
    """A number from 0 to 1 as a dot, its interval as a line."""
    low, value, high = (4 + (width - 8) * each for each in (estimate.low, estimate.value, estimate.high))
    return (
        f"<svg class=whisker width={width} height=14 viewBox='0 0 {width} 14' role=img "
        f"aria-label='{estimate.low:.3f} to {estimate.high:.3f}'>"
        f"<line class=axis x1=4 x2={width - 4} y1=7 y2=7 /><line class=range x1={low:.1f} x2={high:.1f} y1=7 y2=7 />"
        f"<circle cx={value:.1f} cy=7 r=3 /></svg>"
    )


def pass_chart(rows: Sequence[tuple[AgentCard, Standing]]) -> str:
    """pass^k over k, a line an agent, with its interval at each k."""
    most = max(len(row.passes) for _, row in rows)
    right = _WIDTH - 190

    def x(k: int) -> float:
        return _LEFT + (right - _LEFT) * ((k - 1) / (most - 1) if most > 1 else 0.5)

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - value)

    grid = "".join(
        f"<line class=axis x1={_LEFT} x2={right} y1={y(level):.1f} y2={y(level):.1f} />"
        f"<text class=tick x={_LEFT - 6} y={y(level) + 4:.1f} text-anchor=end>{level:g}</text>"
        for level in (0, 0.25, 0.5, 0.75, 1)
    )
    ticks = "".join(
        f"<text class=tick x={x(k):.1f} y={_HEIGHT - 8} text-anchor=middle>k = {k}</text>" for k in range(1, most + 1)
    )
    lines = []
    for place, (card, row) in enumerate(rows):
        colour = _COLOURS[place % len(_COLOURS)]
        dash = _DASHES[place // len(_COLOURS) % len(_DASHES)]
        points = " ".join(f"{x(k):.1f},{y(each.value):.1f}" for k, each in enumerate(row.passes, start=1))
        bars = "".join(
            f"<line x1={x(k):.1f} x2={x(k):.1f} y1={y(each.low):.1f} y2={y(each.high):.1f} />"
            f"<circle cx={x(k):.1f} cy={y(each.value):.1f} r=2.5 />"
            for k, each in enumerate(row.passes, start=1)
        )
        top = _TOP + 8 + 17 * place
        key = f"x1={right + 14} x2={right + 34} y1={top} y2={top}"
        stroke = f"stroke-width=1.6 stroke-dasharray='{dash}'"
        lines.append(
            f"<g data-kind='{card.kind}' stroke='{colour}' fill='{colour}'>"
            f"<polyline fill=none {stroke} points='{points}' />{bars}<line {key} {stroke} />"
            f"<text stroke=none x={right + 40} y={top + 4}>{escape(card.name[:26])}</text></g>"
        )
    height = max(_HEIGHT, _TOP + 16 + 17 * len(rows))
    return (
        f"<svg class=chart viewBox='0 0 {_WIDTH} {height}' role=img aria-label='pass^k of each agent'>"
        f"{grid}{ticks}{''.join(lines)}</svg>"
    )
