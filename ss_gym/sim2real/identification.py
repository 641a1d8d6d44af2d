"""Which parameters of a simulator explain what was observed: approximate Bayesian computation and cross-entropy.

Both know nothing of conversations: parameters are vectors within bounds, observations are vectors of summary
statistics, and a simulator goes from the one to the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Parameters at a bound are moved inwards by this share of the range before their logit is taken.
_INWARDS = 1e-6
_ROUNDING = 1e-12
# Added to the regression's normal equations, as a share of their trace: statistics may tell the same twice.
_RIDGE = 1e-9


@dataclass(frozen=True, slots=True)
class Posterior:
    """Draws of the parameters, given what was observed.

    Attributes:
        draws: float (K, P); within the bounds.
        weights: float (K,); adding up to 1.
        distances: float (K,); how far each simulation was from what was observed.
    """

    draws: Floats
    weights: Floats
    distances: Floats

    @property
    def mean(self) -> Floats:
        """Of each parameter, (P,)."""
        mean: Floats = self.weights @ self.draws
        return mean

    def quantiles(self, *shares: float) -> Floats:
        """Weighted quantiles of each parameter.

        Args:
            shares: from 0 to 1.

        Returns:
            float (len(shares), P).
        """
        order = np.argsort(self.draws, axis=0)
        values = np.take_along_axis(self.draws, order, 0)
        # The middle of each draw's own share.
        sums = np.cumsum(self.weights[order], axis=0) - self.weights[order] / 2
        columns = [np.interp(shares, sums[:, place], values[:, place]) for place in range(values.shape[1])]
        return np.stack(columns, axis=1)

    def interval(self, share: float = 0.9) -> tuple[Floats, Floats]:
        """The low and high ends, (P,) each, of central intervals that hold ``share`` of the posterior."""
        low, high = self.quantiles((1 - share) / 2, (1 + share) / 2)
        return low, high

    def sample(self, count: int, generator: np.random.Generator) -> Floats:
        """Parameter vectors drawn from the posterior, (count, P)."""
        drawn: Floats = self.draws[generator.choice(len(self.draws), size=count, p=self.weights)]
        return drawn


def abc_posterior(
    parameters: Floats,
    statistics: Floats,
    observed: Floats,
    low: Floats,
    high: Floats,
    accepted: float = 0.05,
    adjust: bool = True,
) -> Posterior:
    r"""Approximate Bayesian computation by rejection, with local-linear regression adjustment.

    Kept are the simulations whose statistics are nearest to the observed ones; statistics are divided by their median
    absolute deviation over all simulations. With weights of Epanechnikov's kernel, a linear regression of parameters on
    statistics among the kept moves each draw to where it would be had its simulation given just what was observed:

    .. math:: \phi^*_i = \phi_i - \hat\beta^\top (S_i - S_{obs})

    Beaumont, Zhang and Balding 2002, "Approximate Bayesian Computation in Population Genetics". It is done in logits
    of the parameters' place between their bounds, so that adjusted draws stay within (Hamilton et al. 2005). What is
    left of the draws once a regression on S statistics has been fitted to K of them is narrower than what they vary by
    around it, by about the root of 1 - (S + 1) / K, and is widened by that, as residuals of any regression are.

    Args:
        parameters: float (N, P), drawn from the prior.
        statistics: float (N, S), of what the simulator made of each.
        observed: float (S,).
        low: float (P,), bounds of the prior.
        high: float (P,).
        accepted: share of the simulations that are kept, above 0 and at most 1.
        adjust: whether draws are adjusted; without, they are only kept and weighed.

    Raises:
        ValueError: if shapes do not fit, numbers are not finite, parameters are out of bounds, or so few are kept that
            there is nothing to regress on.
    """
    parameters, statistics, observed = (np.asarray(each, np.float64) for each in (parameters, statistics, observed))
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    _check(parameters, statistics, observed, low, high)
    if not 0 < accepted <= 1:
        raise ValueError(f"accepted must be above 0 and at most 1, not {accepted}")
    kept = max(1, round(accepted * len(parameters)))
    scaled = (statistics - observed) / _spread(statistics)
    distances = np.sqrt(np.square(scaled).mean(1))
    nearest = np.argsort(distances, kind="stable")[:kept]
    reach = distances[nearest[-1]]
    # The last one would weigh nothing; all alike where all are as far.
    weights = 1 - np.square(distances[nearest] / (reach * (1 + 1e-3))) if reach > 0 else np.ones(kept)
    weights = weights / weights.sum()
    draws = parameters[nearest]
    if adjust:
        shares = _adjusted((draws - low) / (high - low), scaled[nearest], weights)
        draws = low + (high - low) * shares
    return Posterior(draws, weights, distances[nearest])


def cross_entropy(
    objective: Callable[[Floats], Floats],
    low: Floats,
    high: Floats,
    generator: np.random.Generator,
    iterations: int = 20,
    population: int = 50,
    elite: float = 0.2,
    smoothing: float = 0.7,
    least_spread: float = 0.02,
) -> tuple[Floats, Floats]:
    """The cross-entropy method: the parameters that an objective is least at.

    A Gaussian within the bounds proposes; the best shape the next one, mixed with the last one by ``smoothing``, and
    no narrower than ``least_spread``. Rubinstein and Kroese 2004, "The Cross-Entropy Method".

    Args:
        objective: from parameters (N, P) to what is to be least, (N,); it may be noisy.
        low: float (P,), bounds.
        high: float (P,).
        generator: the source of randomness.
        iterations: how often it is proposed.
        population: N.
        elite: share of the proposals that are best.
        smoothing: weight of what the best say against what was before, above 0 and at most 1.
        least_spread: of the Gaussian, as a share of the range.

    Returns:
        the mean and the standard deviation of the last Gaussian, (P,) each.

    Raises:
        ValueError: if bounds or settings make no sense, or the objective gives what is not finite.
    """
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    best = max(1, round(elite * population)) if 0 < elite < 1 else 1
    if low.shape != high.shape or low.ndim != 1 or not (low < high).all():
        raise ValueError(f"bounds must be two vectors, the low below the high: {low.tolist()} and {high.tolist()}")
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise ValueError(f"bounds must be finite: {low.tolist()} and {high.tolist()}")
    if iterations < 1 or not 0 < elite < 1 or best >= population or not 0 < smoothing <= 1 or not least_spread >= 0:
        raise ValueError(
            "cross_entropy needs one iteration or more, an elite smaller than the population, a smoothing above 0 and "
            "at most 1 and a spread of 0 or more, not "
            f"{iterations}, {elite} of {population}, {smoothing} and {least_spread}"
        )
    mean, spread = (low + high) / 2, (high - low) / 2
    for _ in range(iterations):
        proposed = np.clip(mean + spread * generator.standard_normal((population, len(low))), low, high)
        values = np.asarray(objective(proposed), np.float64)
        if values.shape != (population,) or not np.isfinite(values).all():
            told = f"one for each row, not {values!r:.200}"
            raise ValueError(f"the objective must give {population} finite numbers, {told}")
        chosen = proposed[np.argsort(values, kind="stable")[:best]]
        mean = smoothing * chosen.mean(0) + (1 - smoothing) * mean
        spread = smoothing * chosen.std(0) + (1 - smoothing) * spread
        spread = np.maximum(spread, least_spread * (high - low))
    return mean, spread


def _adjusted(shares: Floats, scaled: Floats, weights: Floats) -> Floats:
    """Draws as they would be had their simulations given what was observed.

    Args:
        shares: (K, P), places between the bounds.
        scaled: (K, S), statistics less those that were observed.
        weights: (K,).

    Raises:
        ValueError: if there are too few to regress on.
    """
    count, least = len(shares), scaled.shape[1] + 2
    if count < least:
        raise ValueError(
            f"{count} simulations are kept, and a regression on {scaled.shape[1]} statistics needs {least} or "
            "more: simulate more, accept a larger share, or pass adjust=False"
        )
    logits = _logit(shares)
    logits = logits - scaled @ _slopes(scaled, logits, weights)
    centre, effective = weights @ logits, max(1 / np.square(weights).sum(), least)
    logits = centre + (logits - centre) * math.sqrt(effective / (effective - least + 1))
    places: Floats = 1 / (1 + np.exp(-logits))
    return places


def _slopes(statistics: Floats, logits: Floats, weights: Floats) -> Floats:
    """Weighted least squares of logits (K, P) on statistics (K, S) and a constant; the slopes, (S, P)."""
    design = np.column_stack([np.ones(len(statistics)), statistics])
    weighted = design * weights[:, None]
    normal = weighted.T @ design
    normal += _RIDGE * np.trace(normal) * np.eye(len(normal))
    solved: Floats = np.asarray(np.linalg.solve(normal, weighted.T @ logits), np.float64)
    return solved[1:]


def _spread(statistics: Floats) -> Floats:
    """Median absolute deviations, (S,); the standard deviation where half are alike, 1 where all are."""
    middle = np.median(statistics, axis=0)
    deviation = np.median(np.abs(statistics - middle), axis=0)
    # What is the same in all simulations has a deviation of nothing but rounding.
    rounding = _ROUNDING * np.abs(middle)
    spread = np.where(deviation > rounding, deviation, statistics.std(0))
    return np.where(spread > rounding, spread, 1.0)


def _logit(share: Floats) -> Floats:
    inside = np.clip(share, _INWARDS, 1 - _INWARDS)
    return np.log(inside) - np.log1p(-inside)


def _check(parameters: Floats, statistics: Floats, observed: Floats, low: Floats, high: Floats) -> None:
    if parameters.ndim != 2 or statistics.ndim != 2 or len(parameters) != len(statistics) or not len(parameters):
        shapes = f"{parameters.shape} and {statistics.shape}"
        raise ValueError(f"parameters must be (N, P) and statistics (N, S), a row for each simulation, not {shapes}")
    if observed.shape != statistics.shape[1:]:
        raise ValueError(f"observed must be ({statistics.shape[1]},), one of each statistic, not {observed.shape}")
    if low.shape != parameters.shape[1:] or high.shape != low.shape or not (low < high).all():
        raise ValueError(f"low and high must be ({parameters.shape[1]},), the low below the high, not {low} and {high}")
    given = {"parameters": parameters, "statistics": statistics, "observed": observed, "low": low, "high": high}
    for name, values in given.items():
        if not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite, and {int((~np.isfinite(values)).sum())} numbers are not")
    if (parameters < low).any() or (parameters > high).any():
        raise ValueError("parameters must be within low and high, which are the bounds of what they were drawn from")
