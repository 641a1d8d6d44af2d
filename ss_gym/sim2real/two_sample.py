r"""Whether simulated dialogues differ from real ones by more than chance, and by more than real ones differ.

The unit is the dialogue. The turns of one dialogue are alike, so that a test which takes them for independent values
finds differences where there are none: what is permuted, divided into halves and held out are whole dialogues.

A statistic is a function in two steps. The first sees all dialogues and prepares what does not depend on which of them
are real (sorted values, a kernel matrix); the second evaluates many ways to label them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ss_gym.sim2real.classifier import Labels, area_under_curve, held_out_scores
from ss_gym.sim2real.distances import (
    Floats,
    check_width,
    count_ngrams,
    gaussian_kernel,
    jensen_shannon_of_counts,
    kolmogorov_smirnov_of_counts,
    median_width,
    wasserstein_of_counts,
)

# The labels say which dialogues count as real: bool (B, D), B ways to label D dialogues, some of either in each.
Evaluation = Callable[[Labels], Floats]  # -> (B,)
# Takes the real and the simulated dialogues as one sequence; of what, each statistic says.
Statistic = Callable[[Sequence[Any]], Evaluation]

# Numbers that are held at a time: 16 MiB.
_ENTRIES = 2**21


def wasserstein_statistic(dialogues: Sequence[ArrayLike]) -> Evaluation:
    """``distances.wasserstein`` between the values of the real dialogues and those of the simulated ones.

    Args:
        dialogues: a number each, or float (k,): the lengths of its k turns, for instance. Each value counts alike,
            so that long dialogues count more.

    Raises:
        ValueError: if a dialogue has no values, another shape, or a value that is not finite.
    """
    values, owners = _numbers(dialogues)
    points, counts = _divided(values, owners)
    return _in_parts(lambda labels: wasserstein_of_counts(points, *counts(labels)), len(values))


def kolmogorov_smirnov_statistic(dialogues: Sequence[ArrayLike]) -> Evaluation:
    """``distances.kolmogorov_smirnov``; arguments and errors are those of ``wasserstein_statistic``."""
    values, owners = _numbers(dialogues)
    _, counts = _divided(values, owners)
    return _in_parts(lambda labels: kolmogorov_smirnov_of_counts(*counts(labels)), len(values))


def mmd_statistic(width: float | None = None, unbiased: bool = True) -> Statistic:
    r"""``distances.squared_mmd`` between the points of the real dialogues and those of the simulated ones.

    The unbiased one leaves out the pairs of points of one dialogue, which are alike for another reason than where
    they come from; with one point a dialogue that is equation 3 of Gretton et al. 2012.

    Args:
        width: as for ``squared_mmd``; the median's is that of the pool, the same for all labels.
        unbiased: see above.

    Returns:
        A statistic of dialogues that are float (k, d) each: k points of d coordinates. It raises ``ValueError`` for
        a dialogue without points, of another shape or number of coordinates, or with one that is not finite.
    """
    if width is not None:
        check_width(width)

    def prepare(dialogues: Sequence[ArrayLike]) -> Evaluation:
        points, owners = _rows(dialogues)
        similar = _similarities(points, owners, median_width(points) if width is None else width)
        sizes = np.bincount(owners).astype(np.float64)
        left_out = similar.diagonal() if unbiased else np.zeros(len(sizes))
        pairs_left_out = sizes**2 if unbiased else np.zeros(len(sizes))

        def evaluate(labels: Labels) -> Floats:
            sides = [side.astype(np.float64) for side in (labels, ~labels)]
            counts = [side @ sizes for side in sides]
            within = [
                (((side @ similar) * side).sum(-1) - side @ left_out) / (count**2 - side @ pairs_left_out)
                for side, count in zip(sides, counts, strict=True)
            ]
            across = ((sides[0] @ similar) * sides[1]).sum(-1) / (counts[0] * counts[1])
            squared: Floats = within[0] + within[1] - 2 * across
            return squared if unbiased else squared.clip(min=0.0)

        return _in_parts(evaluate, len(sizes))

    return prepare


def ngram_statistic(n: int = 2, smoothing: float = 0.0) -> Statistic:
    """``distances.ngram_divergence``, in nats, over the vocabulary of all dialogues.

    Args:
        n: how many successive acts make a kind (``count_ngrams``).
        smoothing: as for ``jensen_shannon``.

    Returns:
        A statistic of dialogues that are sequences of acts, which are strings. It raises ``ValueError`` as
        ``count_ngrams`` does, and if n is 1 and a dialogue has no acts.
    """

    def prepare(dialogues: Sequence[Sequence[str]]) -> Evaluation:
        runs = [list(count_ngrams(acts, n).elements()) for acts in dialogues]
        if not all(runs):
            raise ValueError(
                f"dialogue {runs.index([])} (from 0, real ones first) has no acts: leave it out, or give n = 2"
            )
        numbers = {run: number for number, run in enumerate(dict.fromkeys(run for each in runs for run in each))}
        kinds = np.array([numbers[run] for each in runs for run in each])
        _, counts = _divided(kinds, np.repeat(np.arange(len(runs)), [len(each) for each in runs]))
        return _in_parts(lambda labels: jensen_shannon_of_counts(*counts(labels), smoothing), len(kinds))

    return prepare


def plain_statistic(function: Callable[[list[Any], list[Any]], float]) -> Statistic:
    """Any function of the list of real dialogues and the list of simulated ones, which is called for each labelling.

    >>> longer = plain_statistic(lambda real, simulated: abs(np.mean(real) - np.mean(simulated)))
    >>> permutation_test([3, 4, 5, 4, 3], [7, 8, 9, 6, 7], longer).p_value < 0.02  # 2 of 252 divisions: .008
    True
    """

    def prepare(dialogues: Sequence[Any]) -> Evaluation:
        def once(real: Labels) -> float:
            sides: tuple[list[Any], list[Any]] = ([], [])
            for dialogue, is_real in zip(dialogues, real, strict=True):
                sides[not is_real].append(dialogue)
            return function(*sides)

        return lambda labels: np.array([once(row) for row in labels], dtype=np.float64)

    return prepare


@dataclass(frozen=True, slots=True)
class PermutationResult:
    """What a permutation test found.

    Attributes:
        value: the statistic between real and simulated dialogues, in its own units.
        p_value: see ``permutation_test``.
        null_mean: mean of the statistic over the permutations: what samples of these sizes have without a gap.
        null_upper: 95 % quantile over the permutations.
        permutations: how many there were.
    """

    value: float
    p_value: float
    null_mean: float
    null_upper: float
    permutations: int


def permutation_test(
    real: Sequence[Any],
    simulated: Sequence[Any],
    statistic: Statistic,
    permutations: int = 999,
    seed: int | np.random.Generator = 0,
) -> PermutationResult:
    r"""Tests whether real and simulated dialogues are of one distribution, by giving them each other's labels.

    .. math:: p = \frac{1 + \#\{b : T_b \ge T\}}{B + 1}

    (Phipson and Smyth 2010, "Permutation P-values Should Never Be Zero"). The dialogues must be independent of one
    another; within them anything goes, since values of one stay together. A small p is not a large gap:
    see ``split_floor``, ``cliffs_delta``.

    Args:
        real: one entry a dialogue, in the form that the statistic takes.
        simulated: likewise.
        statistic: larger for larger gaps. ``wasserstein_statistic``, ``kolmogorov_smirnov_statistic``,
            ``mmd_statistic()``, ``ngram_statistic()`` or ``plain_statistic(function)``.
        permutations: B; p is never below 1 / (B + 1).
        seed: of the permutations, or a generator, which they advance.

    Raises:
        ValueError: if there are fewer than two dialogues of either, no permutations, the statistic is NaN, or it
            can't take the dialogues.

    >>> permutation_test([[3, 4], [5], [4, 4]], [[9], [8, 9], [7]], wasserstein_statistic).value
    4.25
    """
    _check_numbers(real, simulated, 2)
    _check_permutations(permutations)
    observed = np.arange(len(real) + len(simulated)) < len(real)
    drawn = np.random.default_rng(seed).permuted(np.tile(observed, (permutations, 1)), axis=1)
    values = statistic([*real, *simulated])(np.vstack([observed, drawn]))
    _check_values(values)
    null = values[1:]
    return PermutationResult(
        float(values[0]), _p_value(values), float(null.mean()), float(np.quantile(null, 0.95)), permutations
    )


@dataclass(frozen=True, slots=True)
class SplitFloor:
    """What a statistic is between halves of the real dialogues: its mean, its 95 % quantile, and each split's."""

    mean: float
    upper: float
    values: tuple[float, ...]


def split_floor(
    real: Sequence[Any], statistic: Statistic, splits: int = 200, seed: int | np.random.Generator = 0
) -> SplitFloor:
    """How large a statistic is between two random halves of the real dialogues: the gap of a perfect simulator.

    Most statistics are larger between smaller samples, and these are halves. Where there is no gap, between all n real
    dialogues and n simulated ones W1 and KS are lower than the floor by a factor of about the root of 2, JSD and the
    biased MMD by 2: at that size the floor never makes a simulator look worse than it is. With fewer simulated
    dialogues than n / 3 it does, since then they are the smaller sample.

    Args:
        real: one entry a dialogue, in the form that the statistic takes; of an odd number, one half has one more.
        statistic: as for ``permutation_test``.
        splits: how often they are divided.
        seed: of the splits, or a generator, which they advance.

    Raises:
        ValueError: if there are fewer than four dialogues, no splits, or the statistic can't take the dialogues.
    """
    if len(real) < 4:
        raise ValueError(f"halves need two dialogues each, and there are {len(real)} in all: give four or more")
    if splits < 1:
        raise ValueError(f"the floor is a mean over splits, got {splits}: ask for 1 or more")
    half = np.arange(len(real)) < len(real) // 2
    labels = np.random.default_rng(seed).permuted(np.tile(half, (splits, 1)), axis=1)
    values = statistic(list(real))(labels)
    _check_values(values)
    return SplitFloor(float(values.mean()), float(np.quantile(values, 0.95)), tuple(values.tolist()))


@dataclass(frozen=True, slots=True)
class ClassifierResult:
    """How well a classifier tells held-out real dialogues from simulated ones; chance is .5.

    Attributes:
        accuracy: mean of the shares of real and of simulated dialogues that were recognised.
        accuracy_p: see ``classifier_test``.
        auc: how often a real dialogue has a higher score than a simulated one of its fold; ties count half.
        auc_p: likewise; the finer measure, so the stronger test. Choose one of the two before you look.
        permutations: how many there were.
        null_upper: 95 % quantile of the accuracy over the permutations: what chance has for samples of these sizes.
    """

    accuracy: float
    accuracy_p: float
    auc: float
    auc_p: float
    permutations: int
    null_upper: float = 1.0


def classifier_test(
    real: Sequence[ArrayLike],
    simulated: Sequence[ArrayLike],
    folds: int = 5,
    l2: float = 1.0,
    permutations: int = 999,
    seed: int | np.random.Generator = 0,
) -> ClassifierResult:
    """Tests whether a classifier can tell real from simulated dialogues that it was not fitted to.

    The classifier two-sample test of Lopez-Paz and Oquab 2017, arXiv:1610.06545, with ``fit_logistic`` on features
    that are standardised by the dialogues it is fitted to; the score of a dialogue is the mean log odds of its rows.
    Real and simulated ones weigh the same, whatever their numbers, and so do long and short ones.

    The p-values come from permuting the dialogues' labels within each fold, which keeps how many of either it has, and
    fitting all classifiers again: that is exact for any number of dialogues. The paper's binomial distribution is for
    one held-out set; here each dialogue is held out once and otherwise fitted to, so that the answers are not
    independent, and a balanced accuracy is not binomial.

    Args:
        real: float (k, d) each: k rows of d features, such as one row for the dialogue, or one a turn.
        simulated: likewise.
        folds: each dialogue is whole in one of them.
        l2: as for ``fit_logistic``.
        permutations: p is never below 1 / (permutations + 1).
        seed: of folds and permutations, or a generator, which they advance.

    Raises:
        ValueError: if there are fewer dialogues of either than folds, or fewer folds than two, no permutations, a
            dialogue has no rows, another shape or number of features, or a feature that is not finite.
    """
    if folds < 2:
        raise ValueError(f"what one fold is fitted to is held out in another, got {folds} folds: ask for 2 or more")
    _check_numbers(real, simulated, folds)
    _check_permutations(permutations)
    rng = np.random.default_rng(seed)
    rows, owners = _rows([*real, *simulated])
    homes = np.concatenate([rng.permutation(len(side)) % folds for side in (real, simulated)])
    labels = np.tile(np.arange(len(homes)) < len(real), (1 + permutations, 1))
    for fold in range(folds):
        labels[1:, homes == fold] = rng.permuted(labels[1:, homes == fold], axis=1)

    recognised, areas = np.zeros((2, 1 + permutations)), np.zeros(1 + permutations)
    at_once = rows.size + len(rows)
    for fold in range(folds):
        held_out = homes == fold
        score = partial(held_out_scores, rows, owners, held_out=held_out, l2=l2)
        scores, truth = _in_parts(score, at_once)(labels), labels[:, held_out]
        hits = np.heaviside(np.where(truth, scores, -scores), 0.5)
        recognised += [(hits * truth).sum(-1), (hits * ~truth).sum(-1)]
        areas += area_under_curve(scores, truth) / folds
    accuracies = (recognised[0] / len(real) + recognised[1] / len(simulated)) / 2
    upper = float(np.quantile(accuracies[1:], 0.95))
    accuracy, area = float(accuracies[0]), float(areas[0])
    return ClassifierResult(accuracy, _p_value(accuracies), area, _p_value(areas), permutations, upper)


def holm(p_values: Sequence[float]) -> Floats:
    r"""p-values of several tests, adjusted so that the chance of any false finding is at most the level one cuts at.

    With p rising, the i-th of m becomes :math:`\max_{j \le i} \min(1, (m - j + 1) \, p_{(j)})` (Holm 1979, "A Simple
    Sequentially Rejective Multiple Test Procedure"). The tests may depend on one another in any way.

    Args:
        p_values: (m,), in any order.

    Returns:
        float (m,), in the same order; none is below what was given.

    Raises:
        ValueError: if there are none, or one is not from 0 to 1.

    >>> holm([0.01, 0.04, 0.03, 0.005]).round(3).tolist()
    [0.03, 0.06, 0.06, 0.02]
    """
    given = np.asarray(p_values, dtype=np.float64)
    if given.ndim != 1 or not given.size:
        raise ValueError(f"p-values of tests have shape (m,), got {given.shape}: give one or more")
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError(f"a p-value is from 0 to 1, got {given.tolist()}")
    order = np.argsort(given)
    adjusted = np.empty_like(given)
    adjusted[order] = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1)).clip(max=1.0)
    return adjusted


def _check_numbers(real: Sequence[Any], simulated: Sequence[Any], least: int) -> None:
    for name, dialogues in (("real", real), ("simulated", simulated)):
        if len(dialogues) < least:
            raise ValueError(
                f"{least} or more dialogues of each kind are needed, got {len(dialogues)} {name}: give more"
                + (" or ask for fewer folds" if least > 2 else "")
            )


def _check_permutations(permutations: int) -> None:
    if permutations < 1:
        raise ValueError(f"p is a share of the permutations, got {permutations}: ask for 1 or more, best 999")


def _check_values(values: Floats) -> None:
    if not np.isfinite(values).all():
        raise ValueError("the statistic is not finite for some labels: it must be for any two sets of dialogues")


def _p_value(values: Floats) -> float:
    """That of the first value among the others; what differs from it by rounding alone is a tie."""
    slack = 1e-9 * float(np.abs(values).max())
    return (1 + int((values[1:] >= values[0] - slack).sum())) / len(values)


def _in_parts(evaluate: Evaluation, entries: int) -> Evaluation:
    """The same in so many labellings at a time that a few arrays of ``entries`` numbers each fit in memory."""
    at_once = max(1, _ENTRIES // entries)
    return lambda labels: np.concatenate(
        [evaluate(labels[start : start + at_once]) for start in range(0, len(labels), at_once)]
    )


def _numbers(dialogues: Sequence[ArrayLike]) -> tuple[Floats, NDArray[np.intp]]:
    """All values and whose they are: (V,) each."""
    arrays = [np.atleast_1d(np.asarray(dialogue, dtype=np.float64)) for dialogue in dialogues]
    for place, values in enumerate(arrays):
        if values.ndim != 1:
            raise ValueError(f"{_name(place)} has shape {values.shape}: give one number or k of them, (k,)")
    return _joined(arrays)


def _rows(dialogues: Sequence[ArrayLike]) -> tuple[Floats, NDArray[np.intp]]:
    """All points and whose they are: (V, d) and (V,)."""
    arrays = [np.asarray(dialogue, dtype=np.float64) for dialogue in dialogues]
    for place, points in enumerate(arrays):
        if points.ndim != 2:
            # One dimension might be d features or k numbers; a wrong guess would go unnoticed.
            advice = "give (k, d), which is (1, d) for one row of d features and (k, 1) for k numbers"
            raise ValueError(f"{_name(place)} has shape {points.shape}: {advice}")
        if points.shape[1] != arrays[0].shape[1] or not points.shape[1]:
            found = f"{points.shape[1]} coordinates and dialogue 0 has {arrays[0].shape[1]}"
            raise ValueError(f"{_name(place)} has {found}: give all the same, and one or more")
    return _joined(arrays)


def _joined(arrays: Sequence[Floats]) -> tuple[Floats, NDArray[np.intp]]:
    for place, values in enumerate(arrays):
        if not len(values):
            raise ValueError(f"{_name(place)} has no values: leave it out")
        if not np.isfinite(values).all():
            raise ValueError(f"{_name(place)} has a value that is NaN or infinite: leave out what was not measured")
    return np.concatenate(arrays), np.repeat(np.arange(len(arrays)), [len(values) for values in arrays])


def _name(place: int) -> str:
    return f"dialogue {place} (from 0, real ones first)"


def _divided(
    values: NDArray[Any], owners: NDArray[np.intp]
) -> tuple[NDArray[Any], Callable[[Labels], tuple[Floats, Floats]]]:
    """The distinct values, rising: (P,); and how many of each are real and simulated: (B, D) -> (B, P) twice."""
    points, places, totals = np.unique(values, return_inverse=True, return_counts=True)
    owners, starts = owners[np.argsort(places, kind="stable")], totals.cumsum() - totals

    def counts(labels: Labels) -> tuple[Floats, Floats]:
        real = np.add.reduceat(labels[:, owners], starts, axis=1, dtype=np.float64)
        return real, totals.astype(np.float64) - real

    return points, counts


def _similarities(points: Floats, owners: NDArray[np.intp], width: float) -> Floats:
    """Sum of the kernel over the points of two dialogues: (V, d) and (V,) -> (D, D)."""
    starts = np.searchsorted(owners, np.arange(owners[-1] + 1))
    sums = np.zeros((len(starts), len(starts)))
    rows = max(1, _ENTRIES // len(points))
    for start in range(0, len(points), rows):
        part = owners[start : start + rows]
        kernel = gaussian_kernel(points[start : start + rows], points, width)
        first = np.flatnonzero(np.diff(part, prepend=-1))
        sums[part[first]] += np.add.reduceat(np.add.reduceat(kernel, starts, axis=1), first, axis=0)
    return sums
