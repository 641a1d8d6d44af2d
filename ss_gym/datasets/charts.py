"""Charts for a page of HTML: drawings where matplotlib is installed, tables with bars where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import import_module
from io import StringIO
from itertools import pairwise
from math import ceil, floor
from typing import Any

from ss_gym.datasets.statistics import Histogram

_COLOUR = "#3f6fb5"
_SUCCESS = "#58a55c"
_INK = "#33373d"


def histogram_chart(histogram: Histogram, label: str) -> str:
    """A histogram, as HTML.

    Args:
        histogram: what to draw.
        label: what is counted.
    """
    matplotlib = _matplotlib()
    edges, counts, successes = histogram.edges, histogram.counts, histogram.successes
    if matplotlib is None:
        return _table(label, list(zip(_ranges(edges), counts, strict=True)))
    figure, axes = _figure(5.2, 2.7)
    widths = [high - low for low, high in pairwise(edges)]
    style = {"align": "edge", "edgecolor": "white", "linewidth": 0.6}
    axes.bar(edges[:-1], counts, widths, color=_COLOUR, label="all", **style)
    if any(successes):
        axes.bar(edges[:-1], successes, widths, color=_SUCCESS, label="successes among them", **style)
        axes.legend(frameon=False, fontsize=9)
    axes.set_xlabel(label, color=_INK)
    axes.set_ylabel("conversations", color=_INK)
    return _drawn(matplotlib, figure, label)


def bar_chart(bars: Sequence[tuple[str, int]], label: str) -> str:
    """A bar for each name, as HTML.

    Args:
        bars: names and numbers.
        label: what is counted.
    """
    matplotlib = _matplotlib()
    if matplotlib is None:
        return _table(label, bars)
    figure, axes = _figure(5.2, 0.9 + 0.22 * len(bars))
    names = [name if len(name) <= 34 else name[:33] + "…" for name, _ in bars]
    axes.barh(range(len(bars)), [number for _, number in bars], color=_COLOUR, height=0.75)
    axes.set_yticks(range(len(bars)), names)
    axes.invert_yaxis()
    axes.set_xlabel(label, color=_INK)
    return _drawn(matplotlib, figure, label)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    """A figure of its own, which no other plot of the process knows of."""
    figure = import_module("matplotlib.figure").Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=9)
    return figure, axes


def _drawn(matplotlib: Any, figure: Any, label: str) -> str:
    """The figure as SVG that can stand in HTML; the same figure gives the same text."""
    text = StringIO()
    # Names may hold what matplotlib takes for mathematics, and the salt keeps parts of charts on one page apart.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": label, "text.parse_math": False}):
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = text.getvalue()
    begin = svg.index("<svg")
    return f'<figure role="img" aria-label="{escape(label)}">{svg[begin:].strip()}</figure>'


def _ranges(edges: Sequence[float]) -> list[str]:
    """The bins between some edges, in words; between halves lie whole numbers."""
    if all(edge % 1 == 0.5 for edge in edges):
        ends = [(ceil(low), floor(high)) for low, high in pairwise(edges)]
        return [f"{low}" if low == high else f"{low} – {high}" for low, high in ends]
    return [f"{low:.4g} – {high:.4g}" for low, high in pairwise(edges)]


def _table(label: str, bars: Sequence[tuple[str, int]]) -> str:
    most = max((number for _, number in bars), default=0) or 1
    rows = [
        f"<tr><th>{escape(name)}</th><td class=number>{number:,}</td>"
        f'<td><span class=bar style="width:{12 * number / most:.2f}em"></span></td></tr>'
        for name, number in bars
    ]
    return f"<figure><figcaption>{escape(label)}</figcaption><table>{''.join(rows)}</table></figure>"


def _matplotlib() -> Any:
    """Matplotlib; None where it is not installed."""
    try:
        return import_module("matplotlib")
    except ImportError:
        return None
