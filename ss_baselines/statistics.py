"""Intervals for the leaderboard's numbers: proportions, means, paired differences, and AUCs of scores.

Scenarios come in counterfactual pairs, and the two members of a pair share customer and wording,
so they are not independent. Every function takes the cluster of each observation and treats the
cluster, never the episode, as the unit that was sampled.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054  # the 97.5 % quantile of the standard normal


@dataclass(frozen=True, slots=True)
class Estimate:
    """A point estimate with its 95 % interval, in the units of what was measured."""

    value: float
    low: float
    high: float

    def overlaps(self, other: Estimate) -> bool:
        """Whether the two intervals share a point."""
        return self.low <= other.high and other.low <= self.high


def wilson(successes: float, trials: float) -> Estimate:
    """Score interval of a proportion (Wilson 1927).

    centre = (p + z²/2n) / (1 + z²/n), half-width = z·sqrt(p(1−p)/n + z²/4n²) / (1 + z²/n).

    Args:
        successes: how many succeeded; fractional where ``trials`` is an effective sample size.
        trials: how many independent trials there were.

    Raises:
        ValueError: if there are no trials, or successes are not within ``[0, trials]``.
    """
    if trials <= 0 or not 0 <= successes <= trials:
        raise ValueError(f"need 0 <= successes <= trials and trials > 0, got {successes} of {trials}")
    share = successes / trials
    shrink = 1 + Z_95**2 / trials
    centre = (share + Z_95**2 / (2 * trials)) / shrink
    half = Z_95 * math.sqrt(share * (1 - share) / trials + Z_95**2 / (4 * trials**2)) / shrink
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return Estimate(share, low, high)


# 97.5 % quantiles of Student's t distribution, by number of values.
_T_975 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


def half_width(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Half of the 95 % interval of a mean over a few runs: t times the standard error.

    Args:
        values: (N,) or (N, ...), a run a row.

    Returns:
        of the shape of one run; NaN for a single one.

    Raises:
        ValueError: for more than ten runs, or none.

    >>> round(float(half_width([1.0, 2.0, 3.0])), 3)
    2.484
    """
    runs = np.asarray(values, dtype=np.float64)
    if len(runs) == 1:
        return np.full(runs.shape[1:], np.nan)
    if len(runs) not in _T_975:
        raise ValueError(f"intervals over runs are for 1 to 10 of them, got {len(runs)}")
    half: NDArray[np.float64] = _T_975[len(runs)] * runs.std(0, ddof=1) / len(runs) ** 0.5
    return half


def _cluster_sums(
    values: Sequence[float], clusters: Sequence[Hashable]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and size of each cluster, in order of first appearance: two ``(K,)`` arrays."""
    if len(values) != len(clusters) or not values:
        raise ValueError(f"need as many clusters as values and at least one, got {len(values)} and {len(clusters)}")
    index = {cluster: place for place, cluster in enumerate(dict.fromkeys(clusters))}
    places = np.fromiter((index[cluster] for cluster in clusters), dtype=np.intp, count=len(clusters))
    sums = np.bincount(places, weights=np.asarray(values, dtype=np.float64), minlength=len(index)).astype(np.float64)
    sizes = np.bincount(places, minlength=len(index)).astype(np.float64)
    return sums, sizes


def proportion(outcomes: Sequence[bool], clusters: Sequence[Hashable]) -> Estimate:
    """Share of successes with a Wilson interval that allows for clusters.

    The interval is Wilson's on the effective sample size n* = p(1−p) / v, where v is the
    linearised between-cluster variance of p (Korn and Graubard 1998), never more than n. Where
    all outcomes agree v says nothing and n* is the number of clusters. With clusters of one and
    K of them, n* = K − 1: the price of estimating v.

    Args:
        outcomes: success of each episode.
        clusters: which cluster (pair) each episode belongs to.
    """
    sums, sizes = _cluster_sums([float(outcome) for outcome in outcomes], clusters)
    total, count = float(sizes.sum()), len(sizes)
    share = float(sums.sum()) / total
    if share in (0.0, 1.0) or count == 1:
        return wilson(share * count, count)
    residuals = sums - share * sizes
    variance = count / (count - 1) * float(residuals @ residuals) / total**2
    effective = total if variance == 0 else min(total, share * (1 - share) / variance)
    return wilson(share * effective, effective)


def mean(values: Sequence[float], clusters: Sequence[Hashable], resamples: int = 2_000, seed: int = 0) -> Estimate:
    """Mean with a percentile interval from resampling whole clusters (Efron and Tibshirani 1993).

    Args:
        values: one value an episode.
        clusters: which cluster each belongs to.
        resamples: bootstrap replicates.
        seed: of the resampling, so that a printed interval can be reproduced.
    """
    sums, sizes = _cluster_sums(values, clusters)
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=resamples).astype(np.float64)
    replicates = (counts @ sums) / (counts @ sizes)
    low, high = np.quantile(replicates, [0.025, 0.975])
    return Estimate(float(sums.sum() / sizes.sum()), float(low), float(high))


def paired_difference(
    first: Sequence[float],
    second: Sequence[float],
    clusters: Sequence[Hashable],
    resamples: int = 2_000,
    seed: int = 0,
) -> Estimate:
    """Mean of ``first − second`` over the same scenarios, with a clustered bootstrap interval.

    Two agents differ on these scenarios at the 5 % level where the interval excludes 0.

    Args:
        first: one value a scenario for the first agent.
        second: the same scenarios, in the same order, for the second.
        clusters: which cluster each scenario belongs to.
        resamples: bootstrap replicates.
        seed: of the resampling.
    """
    if len(first) != len(second):
        raise ValueError(
            f"a paired comparison needs the same scenarios on both sides, got {len(first)} and {len(second)}"
        )
    return mean([a - b for a, b in zip(first, second, strict=True)], clusters, resamples, seed)


def auc(
    scores: Sequence[float],
    outcomes: Sequence[bool],
    clusters: Sequence[Hashable],
    resamples: int = 2_000,
    seed: int = 0,
) -> Estimate:
    """How often a success has a higher score than a failure, with a clustered bootstrap interval.

    AUC = Σᵢⱼ (1[sᵢ > sⱼ] + ½·1[sᵢ = sⱼ]) / (n₊·n₋) over successes i and failures j: the area under the ROC curve,
    and Mann and Whitney's U over n₊·n₋ (Hanley and McNeil 1982). 0.5 is chance, 1 a perfect order. The interval is of
    the scores as they are: what made them is not made again in a resample.

    Args:
        scores: one an episode; higher foretells success.
        outcomes: success of each episode.
        clusters: which cluster each belongs to.
        resamples: bootstrap replicates; one without a success or a failure has no AUC, and is left out.
        seed: of the resampling.

    Raises:
        ValueError: if there is no success or no failure, or there are not as many of each argument.
    """
    return _auc_contrast([(1, scores)], outcomes, clusters, resamples, seed)


def auc_difference(
    first: Sequence[float],
    second: Sequence[float],
    outcomes: Sequence[bool],
    clusters: Sequence[Hashable],
    resamples: int = 2_000,
    seed: int = 0,
) -> Estimate:
    """AUC of ``first`` less that of ``second`` over the same episodes, with a clustered bootstrap interval.

    Args:
        first: scores of one judge.
        second: those of another, in the same order.
        outcomes: success of each episode.
        clusters: which cluster each belongs to.
        resamples: as for ``auc``.
        seed: of the resampling.

    Raises:
        ValueError: as for ``auc``.
    """
    return _auc_contrast([(1, first), (-1, second)], outcomes, clusters, resamples, seed)


def auc_within(
    scores: Sequence[float],
    outcomes: Sequence[bool],
    groups: Sequence[Hashable],
    clusters: Sequence[Hashable],
    resamples: int = 2_000,
    seed: int = 0,
) -> tuple[Estimate, int]:
    """AUC over the pairs of a success and a failure of the same group, such as two attempts at one task.

    It tells whether scores know more than which groups are hard: scores that are one number a group have 0.5.

    Args:
        scores: one an episode.
        outcomes: success of each episode.
        groups: which group each belongs to.
        clusters: which cluster each belongs to; all of a group are in the same one.
        resamples: as for ``mean``, over pairs.
        seed: of the resampling.

    Returns:
        The estimate, and how many pairs there are.

    Raises:
        ValueError: if no group has both, or as for ``auc``.
    """
    _check_judged([scores], outcomes, clusters)
    wins: list[float] = []
    homes: list[Hashable] = []
    members: dict[Hashable, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    for places in members.values():
        for good in (place for place in places if outcomes[place]):
            for bad in (place for place in places if not outcomes[place]):
                wins.append(float(np.heaviside(scores[good] - scores[bad], 0.5)))
                homes.append(clusters[good])
    if not wins:
        raise ValueError("no group has both a success and a failure, so nothing can be compared within groups")
    return mean(wins, homes, resamples, seed), len(wins)


def _check_judged(scores: Sequence[Sequence[float]], outcomes: Sequence[bool], clusters: Sequence[Hashable]) -> None:
    lengths = [*map(len, scores), len(outcomes), len(clusters)]
    if len(set(lengths)) > 1:
        raise ValueError(f"need as many scores as outcomes and clusters, got {', '.join(map(str, lengths))}")
    if len({bool(outcome) for outcome in outcomes}) < 2:
        raise ValueError("an AUC needs at least one success and one failure")
    if any(math.isnan(score) for given in scores for score in given):
        raise ValueError("an AUC needs scores that are numbers, and one is NaN")


def _auc_contrast(
    signed: Sequence[tuple[int, Sequence[float]]],
    outcomes: Sequence[bool],
    clusters: Sequence[Hashable],
    resamples: int,
    seed: int,
) -> Estimate:
    """A signed sum of AUCs, with a percentile interval from resampling whole clusters."""
    _check_judged([scores for _, scores in signed], outcomes, clusters)
    good = np.asarray(outcomes, dtype=bool)
    ranks = [(sign, np.unique(np.asarray(scores), return_inverse=True)[1]) for sign, scores in signed]

    def contrast(weights: NDArray[np.float64]) -> float:
        return sum(sign * _weighted_auc(rank, good, weights) for sign, rank in ranks)

    index = {cluster: place for place, cluster in enumerate(dict.fromkeys(clusters))}
    places = np.fromiter((index[cluster] for cluster in clusters), dtype=np.intp, count=len(clusters))
    draws = np.random.default_rng(seed).multinomial(len(index), np.full(len(index), 1 / len(index)), size=resamples)
    replicates = [contrast(drawn[places].astype(np.float64)) for drawn in draws]
    low, high = np.nanquantile(replicates, [0.025, 0.975])
    return Estimate(contrast(np.ones(len(good))), float(low), float(high))


def _weighted_auc(ranks: NDArray[np.intp], good: NDArray[np.bool_], weights: NDArray[np.float64]) -> float:
    """The AUC where each episode is there so many times; NaN if no success is, or no failure."""
    won, lost = (np.bincount(ranks, weights * side) for side in (good, ~good))
    pairs = float(won.sum() * lost.sum())
    return float(won @ (np.cumsum(lost) - lost / 2)) / pairs if pairs else math.nan
