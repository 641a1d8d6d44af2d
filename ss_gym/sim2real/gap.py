"""How far simulated dialogues are from real ones: every measure with its p-value, its size and the floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from ss_gym.sim2real.dialogues import Dialogue, DialogueFeatures, Floats, act_sequence, dialogues_of, words_of
from ss_gym.sim2real.distances import cliffs_delta
from ss_gym.sim2real.two_sample import (
    Statistic,
    classifier_test,
    holm,
    kolmogorov_smirnov_statistic,
    mmd_statistic,
    ngram_statistic,
    permutation_test,
    split_floor,
    wasserstein_statistic,
)
from ss_gym.whole_file import whole_file


@dataclass(frozen=True, slots=True)
class GapMetric:
    """One measure of the gap.

    Attributes:
        name: what is compared.
        measure: how: Wasserstein's distance, the statistic of Kolmogorov and Smirnov, the divergence of n-grams, MMD²,
            or the accuracy of a classifier.
        value: the measure between real and simulated dialogues.
        p_value: of a permutation of the dialogues.
        adjusted_p: after Holm, for all measures of a report together.
        floor: mean of the measure between halves of the real dialogues; for a classifier, chance.
        floor_upper: 95 % quantile of that; for a classifier, of its permutations.
        effect: Cliff's delta of a number a dialogue, positive where the simulated have more; None for others.
    """

    name: str
    measure: str
    value: float
    p_value: float
    adjusted_p: float
    floor: float
    floor_upper: float
    effect: float | None = None


@dataclass(frozen=True, slots=True)
class GapReport:
    """All measures of the gap between some real and some simulated dialogues.

    Attributes:
        real: how many real ones.
        simulated: how many simulated ones.
        metrics: the measures.
        differences: for each feature of dialogues its name, the mean of the real ones and that of the simulated ones.
    """

    real: int
    simulated: int
    metrics: tuple[GapMetric, ...]
    differences: tuple[tuple[str, float, float], ...]

    def __getitem__(self, name: str) -> GapMetric:
        """The first measure of a name.

        Raises:
            KeyError: if there is none.
        """
        for metric in self.metrics:
            if name in (metric.name, f"{metric.name}, {metric.measure}"):
                return metric
        raise KeyError(f"there is no {name!r}; there are {', '.join(metric.name for metric in self.metrics)}")

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """A row of text for each measure, after ``HEADINGS``."""
        return [
            (
                f"{metric.name}, {metric.measure}",
                f"{metric.value:.3f}",
                f"{metric.floor:.3f} (to {metric.floor_upper:.3f})",
                "" if metric.effect is None else f"{metric.effect:+.2f}",
                f"{metric.p_value:.3f}",
                f"{metric.adjusted_p:.3f}",
            )
            for metric in self.metrics
        ]

    def table(self) -> Table:
        """For a terminal."""
        shown = Table(*HEADINGS, title=f"{self.real} real and {self.simulated} simulated dialogues")
        for row in self.rows:
            shown.add_row(*row)
        return shown

    def markdown(self) -> str:
        """For a page."""
        lines = [HEADINGS, ("---",) * len(HEADINGS), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def save(self, path: str | Path) -> None:
        """Writes a picture of the measures, or a page of HTML with everything, by the suffix.

        Args:
            path: ``.html``, or a suffix that matplotlib knows.

        Raises:
            ImportError: for a picture without matplotlib (extra ``offline``).
            OSError: if it can't be written; what was there before is as it was.
        """
        if Path(path).suffix == ".html":
            with whole_file(path) as file:
                file.write(self._page().encode())
            return
        figure = _figure(self)
        with whole_file(path) as file:
            figure.savefig(file, format=Path(path).suffix.removeprefix(".") or "png", dpi=150)

    def _page(self) -> str:
        def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
            head = "".join(f"<th>{escape(cell)}</th>" for cell in headings)
            body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
            return f"<table><tr>{head}</tr>{body}</table>"

        title = f"{self.real} real and {self.simulated} simulated dialogues"
        means = [(name, f"{real:.3f}", f"{simulated:.3f}") for name, real, simulated in self.differences]
        return (
            f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
            f"<h1>{title}</h1>{_drawing(self)}{table(HEADINGS, self.rows)}"
            f"<h2>Means over dialogues</h2>{table(('feature', 'real', 'simulated'), means)}</html>\n"
        )


# Of a classifier between two kinds.
_CHANCE = 0.5
HEADINGS = ("measure", "gap", "real against real", "effect", "p", "p (Holm)")
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;color:#22252a;max-width:56em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .8em;border-bottom:1px solid #dde;text-align:left}"
    "td+td,th+th{text-align:right;font-variant-numeric:tabular-nums}svg{max-width:100%;height:auto}"
)


def sim_real_gap(
    real: Sequence[Any], simulated: Sequence[Any], permutations: int = 999, splits: int = 200, seed: int = 0
) -> GapReport:
    """Measures the gap between real and simulated conversations.

    Dialogues are permuted whole, and all p-values are corrected together after Holm. Next to each measure stands what
    it is between halves of the real dialogues: below that, no measure could tell a perfect simulator apart.

    Args:
        real: conversations, as :meth:`Dialogue.of` takes them.
        simulated: likewise.
        permutations: of each test; no p-value is below 1 / (permutations + 1).
        splits: of the real dialogues into halves.
        seed: of permutations and splits.

    Raises:
        ValueError: if there are fewer than ten of either, or a conversation has no customer.
        TypeError: if a conversation is none.
    """
    ours, theirs = dialogues_of(real), dialogues_of(simulated)
    if min(len(ours), len(theirs)) < 10:
        raise ValueError(f"a gap needs ten dialogues or more of either, not {len(ours)} and {len(theirs)}")
    features = DialogueFeatures(ours)
    vectors = [features(ours), features(theirs)]
    if not np.concatenate(vectors).std(0).any():
        raise ValueError("all dialogues are alike, real and simulated ones: there is nothing to compare")
    found = [
        *_of_numbers("messages of a customer", [[len(each.customer) for each in side] for side in (ours, theirs)]),
        *_of_values("words of a message", [[_lengths(each) for each in side] for side in (ours, theirs)]),
        _Asked("acts of customers", "JSD", ngram_statistic(2), _acts(ours, theirs, "user")),
        _Asked("acts of agents", "JSD", ngram_statistic(2), _acts(ours, theirs, "assistant")),
        _Asked("features", "MMD²", mmd_statistic(), [list(each[:, None]) for each in _standardized(*vectors)]),
    ]
    measured = [each.measured(permutations, splits, seed) for each in found]
    measured.append(_classifier(*_standardized(*vectors), permutations=permutations, seed=seed))
    adjusted = holm([metric.p_value for metric in measured])
    metrics = tuple(
        GapMetric(
            metric.name,
            metric.measure,
            metric.value,
            metric.p_value,
            float(p),
            metric.floor,
            metric.floor_upper,
            metric.effect,
        )
        for metric, p in zip(measured, adjusted, strict=True)
    )
    means = zip(features.names, vectors[0].mean(0).tolist(), vectors[1].mean(0).tolist(), strict=True)
    return GapReport(len(ours), len(theirs), metrics, tuple(means))


@dataclass(frozen=True, slots=True)
class _Asked:
    """A measure to be taken: of what, how, and on which entries of the real and the simulated dialogues."""

    name: str
    measure: str
    statistic: Statistic
    entries: Sequence[Sequence[Any]]
    effect: float | None = None

    def measured(self, permutations: int, splits: int, seed: int) -> GapMetric:
        real, simulated = self.entries
        test = permutation_test(real, simulated, self.statistic, permutations, seed)
        floor = split_floor(real, self.statistic, splits, seed)
        return GapMetric(self.name, self.measure, test.value, test.p_value, 1.0, floor.mean, floor.upper, self.effect)


def _of_numbers(name: str, sides: Sequence[Sequence[float]]) -> list[_Asked]:
    """Both measures of a number a dialogue."""
    delta = cliffs_delta(sides[1], sides[0])
    return [
        _Asked(name, "W1", wasserstein_statistic, sides, delta),
        _Asked(name, "KS", kolmogorov_smirnov_statistic, sides, delta),
    ]


def _of_values(name: str, sides: Sequence[Sequence[Sequence[int]]]) -> list[_Asked]:
    """Both measures of several numbers a dialogue, whose means make the effect."""
    delta = cliffs_delta(*([float(np.mean(values)) for values in side] for side in reversed(sides)))
    return [
        _Asked(name, "W1", wasserstein_statistic, sides, delta),
        _Asked(name, "KS", kolmogorov_smirnov_statistic, sides, delta),
    ]


def _lengths(dialogue: Dialogue) -> list[int]:
    return [len(words_of(message)) for message in dialogue.customer]


def _acts(real: Sequence[Dialogue], simulated: Sequence[Dialogue], role: str) -> list[list[list[str]]]:
    def of(dialogue: Dialogue) -> list[str]:
        return act_sequence(dialogue.customer if role == "user" else dialogue.agent, role)

    return [[of(dialogue) for dialogue in side] for side in (real, simulated)]


def _standardized(real: Floats, simulated: Floats) -> tuple[Floats, Floats]:
    """Both, divided by the spread of all of them; what does not vary is left out."""
    spread = np.concatenate([real, simulated]).std(0)
    varies = spread > 1e-9
    return real[:, varies] / spread[varies], simulated[:, varies] / spread[varies]


def _classifier(real: Floats, simulated: Floats, permutations: int, seed: int) -> GapMetric:
    """How well a classifier tells them apart."""
    folds = min(5, len(real), len(simulated))
    told = classifier_test(list(real[:, None]), list(simulated[:, None]), folds, 1.0, permutations, seed)
    return GapMetric("features", "C2ST", told.accuracy, told.accuracy_p, 1.0, _CHANCE, told.null_upper)


def _figure(report: GapReport) -> Any:
    """A bar for each measure, as a multiple of what it is among real dialogues at most."""
    height = 0.9 + 0.42 * len(report.metrics)
    figure = import_module("matplotlib.figure").Figure(figsize=(7, height), layout="constrained")
    axes = figure.add_subplot()
    names = [f"{metric.name}, {metric.measure}" for metric in report.metrics]
    sizes = [_multiple(metric) for metric in report.metrics]
    longest = max([1.0, *(size for size in sizes if size is not None)])
    axes.barh(range(len(names)), [longest if size is None else size for size in sizes], color="#3f6fb5", height=0.7)
    for place, size in enumerate(sizes):
        if size is None:
            axes.text(longest, place, " none among real ones", va="center", fontsize=8)
    axes.axvline(1.0, color="#33373d", linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("gap, as a multiple of the 95 % quantile without one")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure


def _multiple(metric: GapMetric) -> float | None:
    """How many times as large a gap is as the floor's upper end; None where real dialogues do not differ at all."""
    chance = _CHANCE if metric.measure == "C2ST" else 0.0
    most = metric.floor_upper - chance
    if most > 1e-9:
        return max(0.0, (metric.value - chance) / most)
    return 0.0 if metric.value - chance <= 1e-9 else None


def _drawing(report: GapReport) -> str:
    """The picture as SVG; nothing where matplotlib is not installed."""
    from io import StringIO

    try:
        figure, text = _figure(report), StringIO()
    except ImportError:
        return ""
    figure.savefig(text, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
