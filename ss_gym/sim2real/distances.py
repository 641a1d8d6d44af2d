r"""How different two samples are: numbers, points, counts, and sequences of dialogue acts.

Each is a pure function of two samples and says nothing about chance: ``two_sample`` has the tests. These call the
``..._of_counts`` forms, whose leading dimensions are a batch of ways to divide the same pool.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

BEGIN = "<begin>"
"""What comes before the first act of a dialogue."""
END = "<end>"
"""What comes after the last act of a dialogue."""

# Pairs of more points than these take long, and change the median of their distances little.
_MOST_FOR_WIDTH = 1_000
# Entries of a kernel matrix that are held at a time: 16 MiB.
_KERNEL_ENTRIES = 2**21


def wasserstein(first: ArrayLike, second: ArrayLike) -> float:
    r"""How far values must be moved, on average, to turn one sample into the other (Wasserstein-1, earth mover's).

    .. math:: W_1 = \int | F(x) - G(x) | \, dx

    with F and G the shares of values up to x (Vallender 1974). Between samples of one size it is the mean absolute
    difference of the sorted values.

    Args:
        first: float (n,).
        second: float (m,); n and m may differ.

    Returns:
        In the units of the values; 0 for equal distributions.

    Raises:
        ValueError: if a sample is empty, not one-dimensional, or has a value that is not finite.

    >>> wasserstein([3, 4, 5], [4, 6, 8])
    2.0
    """
    points, *counts = _pooled_counts(first, second)
    return float(wasserstein_of_counts(points, *counts))


def wasserstein_of_counts(points: Floats, first: Floats, second: Floats) -> Floats:
    """``wasserstein`` of samples that have so many values at each of the same points.

    Args:
        points: float (P,), rising.
        first: float (..., P), counts or weights, not all 0.
        second: float (..., P), likewise.

    Returns:
        float (...).
    """
    apart: Floats = np.abs(_distribution_difference(first, second)[..., :-1]) @ np.diff(points)
    return apart


def kolmogorov_smirnov(first: ArrayLike, second: ArrayLike) -> float:
    r"""The largest difference between the shares of values up to any x: :math:`\sup_x | F(x) - G(x) |`.

    The two-sample statistic of Kolmogorov and Smirnov (Smirnov 1939). A strictly rising change of units leaves it as
    it is. Tables of its p-value are for values without ties, which counts have: use ``two_sample.permutation_test``.

    Args:
        first: float (n,).
        second: float (m,); n and m may differ.

    Returns:
        From 0, for equal distributions, to 1, where all of one sample are below all of the other.

    Raises:
        ValueError: as for ``wasserstein``.

    >>> round(kolmogorov_smirnov([3, 4, 5], [4, 6, 8]), 3)
    0.667
    """
    _, *counts = _pooled_counts(first, second)
    return float(kolmogorov_smirnov_of_counts(*counts))


def kolmogorov_smirnov_of_counts(first: Floats, second: Floats) -> Floats:
    """``kolmogorov_smirnov`` of samples that have so many values at each of the same points, in rising order.

    Args:
        first: float (..., P), counts or weights, not all 0.
        second: float (..., P), likewise.

    Returns:
        float (...).
    """
    largest: Floats = np.abs(_distribution_difference(first, second)).max(-1)
    return largest


def median_width(points: ArrayLike) -> float:
    r"""Width of a Gaussian kernel: the root of the median squared distance between two of the points.

    The median heuristic (Gretton et al. 2012, "A Kernel Two-Sample Test", section 8), of the pooled sample, so that
    it does not depend on which points are real. Where most pairs are at one place, the median of the others; where
    all are, 1, since the kernel is then 1 at any width. Of more than 1,000 points, 1,000 are compared, spread evenly
    over their sorted order: neither chance nor the order of the points plays a part.

    Args:
        points: float (n,) or (n, d), of both samples.

    Returns:
        Above 0, in the units of the points.

    Raises:
        ValueError: if there are none, or a coordinate is not finite.

    >>> median_width([0.0, 0.0, 3.0])
    3.0
    """
    pooled = as_points(points)
    pooled = pooled[np.lexsort(pooled.T[::-1])]
    if len(pooled) > _MOST_FOR_WIDTH:
        pooled = pooled[np.linspace(0, len(pooled) - 1, _MOST_FOR_WIDTH).round().astype(np.intp)]
    squared = _squared_distances(pooled, pooled)[np.triu_indices(len(pooled), 1)]
    apart = squared[squared > 0]
    if not apart.size:
        return 1.0
    return math.sqrt(float(np.median(squared)) or float(np.median(apart)))


def gaussian_kernel(first: Floats, second: Floats, width: float) -> Floats:
    r"""Similarity of two points: :math:`\exp(-\lVert x - y\rVert_2^2 / (2\sigma^2))`.

    Args:
        first: float (n, d).
        second: float (m, d).
        width: :math:`\sigma`, in the units of the points.

    Returns:
        float (n, m), from 0 to 1.
    """
    similar: Floats = np.exp(_squared_distances(first, second) / (-2 * width**2))
    return similar


def squared_mmd(first: ArrayLike, second: ArrayLike, width: float | None = None, unbiased: bool = False) -> float:
    r"""Squared distance between the means of two samples in the feature space of a Gaussian kernel.

    .. math:: \frac{1}{n^2} \sum_{i,j} k(x_i, x_j) + \frac{1}{m^2} \sum_{i,j} k(y_i, y_j)
              - \frac{2}{nm} \sum_{i,j} k(x_i, y_j)

    The maximum mean discrepancy of Gretton et al. 2012, "A Kernel Two-Sample Test", equation 5; unbiased, equation 3,
    which leaves out what a point has in common with itself (i = j) and divides by n (n - 1) and m (m - 1). The
    biased one is never negative, and on average above 0 for two samples of one distribution; the unbiased one is 0
    there on average, and so is often negative. It is below 0 for a sample and itself.

    Args:
        first: float (n,) or (n, d): n points.
        second: float (m,) or (m, d).
        width: of the kernel, in the units of the points; ``median_width`` of both together if not given. Bring
            coordinates of different units to one scale first.
        unbiased: see above; needs two points of each.

    Returns:
        Without a unit.

    Raises:
        ValueError: if a sample is empty or has a coordinate that is not finite, the samples have different numbers
            of coordinates, the width is not above 0, or there is but one point where two are needed.

    >>> round(squared_mmd([0, 1], [0, 3], width=1.5), 3), round(squared_mmd([0, 1], [0, 3], 1.5, unbiased=True), 3)
    (0.294, -0.238)
    """
    points, others = as_points(first), as_points(second)
    if points.shape[1] != others.shape[1]:
        raise ValueError(f"the points have {points.shape[1]} and {others.shape[1]} coordinates: give both the same")
    if unbiased and min(len(points), len(others)) < 2:
        raise ValueError("the unbiased discrepancy compares points within a sample: give two or more of each")
    sigma = check_width(median_width(np.concatenate([points, others])) if width is None else width)
    sizes = np.array([len(points), len(others)], dtype=np.float64)
    sums = np.array([_kernel_sum(each, each, sigma) for each in (points, others)])
    # A Gaussian kernel is 1 between a point and itself.
    itself = sizes if unbiased else np.zeros(2)
    within = (sums - itself) / (sizes**2 - itself)
    squared = float(within.sum() - 2 * _kernel_sum(points, others, sigma) / sizes.prod())
    return squared if unbiased else max(0.0, squared)


def jensen_shannon(first: Mapping[Hashable, float], second: Mapping[Hashable, float], smoothing: float = 0.0) -> float:
    r"""Divergence of two tables of counts, taken as shares p and q of their totals, in nats.

    .. math:: \mathrm{JSD} = \tfrac12 \mathrm{KL}(p \,\|\, m) + \tfrac12 \mathrm{KL}(q \,\|\, m), \quad m = (p + q) / 2

    Lin 1991, "Divergence Measures Based on the Shannon Entropy", equation 4.1 with equal weights. It is finite
    whatever is in one table only. Between small samples of one distribution it is above 0: compare it with
    ``two_sample.split_floor``.

    Args:
        first: how often each kind occurred; a kind that is not there occurred 0 times.
        second: likewise.
        smoothing: is added to the count of each kind that occurs in either table; it changes the smaller one more.

    Returns:
        From 0, for equal shares, to ln 2, where the tables have no kind in common.

    Raises:
        ValueError: if a table has nothing but zeros, or a count or the smoothing is negative or not finite.

    >>> round(jensen_shannon({"ask": 5, "tell": 5}, {"ask": 5, "thank": 5}), 4)
    0.3466
    """
    kinds = list(dict.fromkeys([*first, *second]))
    tables = [np.array([table.get(kind, 0) for kind in kinds], dtype=np.float64) for table in (first, second)]
    for name, table in zip(("first", "second"), tables, strict=True):
        if not (np.isfinite(table) & (table >= 0)).all():
            raise ValueError(
                f"a count in the {name} table is negative or not finite: give how often each kind occurred"
            )
        if not table.any():
            raise ValueError(f"the {name} table counts nothing: give one with a count above 0")
    return float(jensen_shannon_of_counts(tables[0], tables[1], smoothing))


def jensen_shannon_of_counts(first: Floats, second: Floats, smoothing: float = 0.0) -> Floats:
    """``jensen_shannon`` of tables over the same kinds.

    Args:
        first: float (..., K), not all 0.
        second: float (..., K), likewise.
        smoothing: as for ``jensen_shannon``.

    Returns:
        float (...), in nats.

    Raises:
        ValueError: if the smoothing is negative or not finite.
    """
    if not 0 <= smoothing < math.inf:
        raise ValueError(f"smoothing is added to counts: give 0 or more, got {smoothing}")
    shares = [(table + smoothing) / (table + smoothing).sum(-1, keepdims=True) for table in (first, second)]
    middle = (shares[0] + shares[1]) / 2
    # A share of 0 adds nothing; the ones stand in for it where its logarithm has no value.
    terms = [share * np.log(np.divide(share, middle, out=np.ones_like(share), where=share > 0)) for share in shares]
    # Rounding may leave the sum outside its bounds by a few units of the last place.
    divergence: Floats = ((terms[0] + terms[1]).sum(-1) / 2).clip(0.0, math.log(2))
    return divergence


def count_ngrams(acts: Sequence[str], n: int = 2) -> Counter[tuple[str, ...]]:
    """How often each run of ``n`` acts occurs within one dialogue, its begin and its end marked.

    There are n - 1 marks on either side, so that each act is in n runs, and T acts make T + n - 1 runs: how
    dialogues begin and end counts too, and no run goes from one dialogue into another.

    Args:
        acts: what was done in each turn, in order; none is the dialogue in which nothing was.
        n: 1 for single acts, 2 for pairs of successive ones, and so on.

    Raises:
        ValueError: if ``n`` is below 1, an act is one of the marks, or ``acts`` is a string instead of a sequence.

    >>> for run, times in count_ngrams(["ask", "tell", "ask", "tell"]).items():
    ...     print(*run, times)
    <begin> ask 1
    ask tell 2
    tell ask 1
    tell <end> 1
    """
    if n < 1:
        raise ValueError(f"runs have one act or more, got n = {n}")
    if isinstance(acts, str):
        raise ValueError(f"a dialogue is a sequence of acts, got the string {acts!r}: give [{acts!r}] for a single act")
    if BEGIN in acts or END in acts:
        raise ValueError(f"{BEGIN} and {END} mark where a dialogue begins and ends: give no act these names")
    marked = [BEGIN] * (n - 1) + list(acts) + [END] * (n - 1)
    return Counter(tuple(marked[place : place + n]) for place in range(len(marked) - n + 1))


def ngram_divergence(
    real: Iterable[Sequence[str]], simulated: Iterable[Sequence[str]], n: int = 2, smoothing: float = 0.0
) -> float:
    """``jensen_shannon`` of how often each run of ``n`` dialogue acts occurs (``count_ngrams``), in nats.

    Args:
        real: the acts of each dialogue, in order.
        simulated: likewise.
        n: as for ``count_ngrams``.
        smoothing: as for ``jensen_shannon``.

    Raises:
        ValueError: as these two do.

    >>> round(ngram_divergence([["ask", "thank"]], [["ask", "leave"]]), 4)  # one run in three is shared
    0.4621
    """
    tables: list[Counter[Hashable]] = [Counter(), Counter()]
    for table, dialogues in zip(tables, (real, simulated), strict=True):
        for acts in dialogues:
            table.update(count_ngrams(acts, n))
    return jensen_shannon(tables[0], tables[1], smoothing)


def cliffs_delta(first: ArrayLike, second: ArrayLike) -> float:
    r"""How much more often a value of the first sample is above one of the second than below it.

    :math:`\delta = P(x > y) - P(x < y)` over all pairs (Cliff 1993, "Dominance Statistics"). It depends
    on the order of the values only. Give one value a dialogue, a mean for instance, or long dialogues count more.

    Args:
        first: float (n,).
        second: float (m,).

    Returns:
        From -1, where all of the first are below all of the second, over 0 to 1.

    Raises:
        ValueError: as for ``wasserstein``.

    >>> round(cliffs_delta([1, 2, 3], [2, 3, 4]), 4)  # 1 pair of 9 is in order, 6 the other way round, 2 are ties
    -0.5556
    """
    values, ordered = as_values(first), np.sort(as_values(second))
    below = np.searchsorted(ordered, values, side="left").sum()
    above = len(values) * len(ordered) - np.searchsorted(ordered, values, side="right").sum()
    return float(below - above) / (len(values) * len(ordered))


def hedges_g(first: ArrayLike, second: ArrayLike) -> float:
    r"""Difference of the means in standard deviations within the samples, corrected for small samples.

    .. math:: g = J \, \frac{\bar x - \bar y}{s}, \quad s^2 = \frac{(n - 1) s_x^2 + (m - 1) s_y^2}{n + m - 2}, \quad
              J = \frac{\Gamma(f / 2)}{\sqrt{f / 2} \, \Gamma((f - 1) / 2)}, \quad f = n + m - 2

    Hedges 1981, "Distribution Theory for Glass's Estimator of Effect Size", with the exact factor J. For
    values with far outliers see ``cliffs_delta``, and what it says about dialogues of several values.

    Args:
        first: float (n,), n of 2 or more.
        second: float (m,), likewise.

    Returns:
        Positive where the first are higher.

    Raises:
        ValueError: as for ``wasserstein``, if a sample has one value, or all within each sample are alike and the
            two are not.

    >>> round(hedges_g([1, 2, 3], [2, 4, 6]), 4)  # -2 / sqrt(2.5) * 0.7979
    -1.0093
    """
    samples = [as_values(first), as_values(second)]
    sizes = np.array([len(sample) for sample in samples])
    if sizes.min() < 2:
        raise ValueError("the standard deviation of one value is unknown: give two or more of each")
    freedom = int(sizes.sum()) - 2
    spread = math.sqrt(float((sizes - 1) @ [sample.var(ddof=1) for sample in samples]) / freedom)
    difference = float(samples[0].mean() - samples[1].mean())
    if difference == 0:
        return 0.0
    if spread == 0:
        raise ValueError(
            "the values within each sample are alike, so there is no deviation to measure in: use Cliff's delta"
        )
    correction = math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2)) / math.sqrt(freedom / 2)
    return correction * difference / spread


def as_values(sample: ArrayLike) -> Floats:
    """A sample of numbers as float (n,).

    Raises:
        ValueError: if there are none, it has another shape, or one is not finite.
    """
    values = np.asarray(sample, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"a sample of numbers has shape (n,), got {values.shape}: give one dimension")
    return _checked(values)


def as_points(sample: ArrayLike) -> Floats:
    """A sample of numbers or points as float (n, d); d is 1 for numbers.

    Raises:
        ValueError: if there are none, it has another shape, or a coordinate is not finite.
    """
    points = np.asarray(sample, dtype=np.float64)
    if points.ndim not in (1, 2):
        raise ValueError(f"a sample of points has shape (n,) or (n, d), got {points.shape}: give a point a row")
    return _checked(points if points.ndim == 2 else points[:, None])


def check_width(width: float) -> float:
    """The width of a kernel, if it can be one.

    Raises:
        ValueError: if it is not a finite number above 0.
    """
    if not 0 < width < math.inf:
        raise ValueError(f"the width of a kernel is a length above 0, got {width}: leave it out for the median's")
    return width


def _checked(values: Floats) -> Floats:
    if not values.size:
        raise ValueError("a sample is empty: give at least one value of each")
    if not np.isfinite(values).all():
        raise ValueError("a value is NaN or infinite: leave out what was not measured")
    return values


def _pooled_counts(first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """The distinct values of both samples, rising, and how many each has there: (P,) each."""
    samples = [as_values(first), as_values(second)]
    points, places = np.unique(np.concatenate(samples), return_inverse=True)
    tables = [
        np.bincount(part, minlength=len(points)).astype(np.float64) for part in np.split(places, [len(samples[0])])
    ]
    return points, tables[0], tables[1]


def _distribution_difference(first: Floats, second: Floats) -> Floats:
    """F - G at each point: float (..., P)."""
    up_to = [table.cumsum(-1) for table in (first, second)]
    difference: Floats = up_to[0] / up_to[0][..., -1:] - up_to[1] / up_to[1][..., -1:]
    return difference


def _squared_distances(first: Floats, second: Floats) -> Floats:
    # Not |x|² + |y|² - 2xy, which rounds: a point is at 0 from itself, and the matrix is symmetric.
    squared = np.zeros((len(first), len(second)))
    for own, other in zip(first.T, second.T, strict=True):
        squared += np.subtract.outer(own, other) ** 2
    return squared


def _kernel_sum(first: Floats, second: Floats, width: float) -> float:
    rows = max(1, _KERNEL_ENTRIES // len(second))
    parts = (first[start : start + rows] for start in range(0, len(first), rows))
    return float(sum(gaussian_kernel(part, second, width).sum() for part in parts))
