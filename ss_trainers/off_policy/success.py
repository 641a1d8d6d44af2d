"""A critic that foretells success: logistic regression on the features of conversations, judged on others.

Attempts at one task are much alike, and one customer may have several tasks. So whatever is chosen or judged on
conversations that were held out, whole groups of them are held out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

_MOST_STEPS = 50
# A Newton step that changes no weight by more than this is the last one.
_TOLERANCE = 1e-6
# Directions in which features vary less than this, relative to the most, are rounding.
_LEAST_SPREAD = 1e-10


class SuccessError(ValueError):
    """Conversations that no critic can be fitted to; the message says why."""


@dataclass(frozen=True, slots=True)
class SuccessSettings:
    """How the critic is fitted and judged.

    Attributes:
        penalties: from which the one is chosen that foretells best; see ``fitted``.
        folds: parts of which each is held out once.
        inner_folds: parts of what is left, on which the penalty is chosen.
        seed: of the parts.

    Raises:
        ValueError: if there is no penalty, or one is not positive; if there are fewer than two parts, or the seed is
            negative.
    """

    penalties: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
    folds: int = 10
    inner_folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that no fit could mean."""
        if not self.penalties or not all(0 < penalty < math.inf for penalty in self.penalties):
            raise ValueError(f"SuccessSettings.penalties must be positive numbers, not {self.penalties}")
        for name in ("folds", "inner_folds"):
            if getattr(self, name) < 2:
                raise ValueError(f"SuccessSettings.{name} must be a whole number from 2 up, not {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"SuccessSettings.seed must be a whole number from 0 up, not {self.seed}")


@dataclass(frozen=True, slots=True)
class SuccessCritic:
    """Foretells from the features of a conversation, or of its beginning, whether the task will be done.

    Attributes:
        weights: float64 (D,), one a feature.
        bias: of the log-odds.
        penalty: that it was fitted with.
    """

    weights: Floats
    bias: float
    penalty: float

    def log_odds(self, features: ArrayLike) -> Floats:
        """Of success, nats: float64 (N,).

        Args:
            features: (N, D).
        """
        return np.asarray(features, dtype=np.float64) @ self.weights + self.bias

    def probabilities(self, features: ArrayLike) -> Floats:
        """Of success, float64 (N,).

        Args:
            features: (N, D).
        """
        return _sigmoid(self.log_odds(features))


def fitted(features: ArrayLike, outcomes: ArrayLike, penalty: float) -> SuccessCritic:
    r"""Logistic regression with an L2 penalty on the weights, and none on the bias.

    .. math:: \min_{w, b}\; -\frac1n \sum_i \bigl[y_i \log p_i + (1 - y_i) \log(1 - p_i)\bigr]
              + \frac{\lambda}{2} \lVert w \rVert^2, \quad p_i = \sigma(w^\top x_i + b)

    By Newton's method with step halving, in the space that the rows span, in which the minimum lies.

    Args:
        features: (N, D); of about one size, for the penalty is the same for all.
        outcomes: (N,), 1 or true for success, else 0 or false.
        penalty: λ.

    Raises:
        SuccessError: if all have the same outcome, or a feature is not finite.
        ValueError: if the penalty is not positive.
    """
    if not 0 < penalty < math.inf:
        raise ValueError(f"the penalty of a critic must be a positive number, not {penalty}")
    rows, judged, _ = _checked(features, outcomes, None)
    return _Spanned.of(rows).critic(judged, np.ones(len(judged), dtype=bool), penalty)


def tuned(
    features: ArrayLike, outcomes: ArrayLike, groups: Sequence[Any], settings: SuccessSettings | None = None
) -> SuccessCritic:
    """The critic of all conversations, with the penalty that foretells best those that are held out.

    Best is the least mean negative log-likelihood over ``inner_folds`` parts, none of which shares a group with
    another.

    Args:
        features: (N, D).
        outcomes: (N,), success or not.
        groups: (N,); what belongs together, such as ``ConversationDataset.groups()``.
        settings: the defaults if None.

    Raises:
        SuccessError: as ``fitted``; or if there are fewer groups than parts, or successes or failures in too few.
    """
    settings = settings or SuccessSettings()
    rows, judged, kept = _checked(features, outcomes, groups)
    # The space is that of all conversations, held out or not: it shifts and turns features, which changes no fit.
    spanned, everything = _Spanned.of(rows), np.ones(len(judged), dtype=bool)
    parts = _parts(judged, kept, settings.inner_folds, _generator(settings, 0))
    penalties = sorted(settings.penalties, reverse=True)
    losses = np.zeros(len(penalties))
    for part in range(settings.inner_folds):
        left = parts != part
        _require_both(judged[left], settings.inner_folds)
        losses += spanned.losses(judged, left, penalties)
    return spanned.critic(judged, everything, penalties[int(losses.argmin())])


def held_out_scores(
    features: ArrayLike, outcomes: ArrayLike, groups: Sequence[Any], settings: SuccessSettings | None = None
) -> Floats:
    """For each conversation how much likelier success is than usual, by a critic that has seen none of its group.

    Each of ``folds`` parts is scored by a critic that is ``tuned`` on all others, its penalty as well. A score is the
    log-odds of success less those of the share of successes that the critic was fitted to. That share is high where
    successes are few among what was held out; so with the log-odds themselves, an order over all parts would put
    features that tell nothing below chance (Parker, Günter and Bedo 2007, *Stratification bias in low signal microarray
    studies*).

    Args:
        features: (N, D).
        outcomes: (N,), success or not.
        groups: (N,); what belongs together, such as ``ConversationDataset.groups()``.
        settings: the defaults if None.

    Returns:
        float64 (N,), nats; all 0 where nothing can be told.

    Raises:
        SuccessError: as ``tuned``.
    """
    settings = settings or SuccessSettings()
    rows, judged, kept = _checked(features, outcomes, groups)
    parts = _parts(judged, kept, settings.folds, _generator(settings, 1))
    scores = np.empty(len(judged))
    for part in range(settings.folds):
        left = parts != part
        _require_both(judged[left], settings.folds)
        critic = tuned(rows[left], judged[left], kept[left].tolist(), settings)
        scores[~left] = critic.log_odds(rows[~left]) - _log_odds_of(judged[left])
    return scores


@dataclass(frozen=True, slots=True)
class _Spanned:
    """Features in the space that their differences span, which for few conversations is small.

    Attributes:
        rows: float64 (N, R + 1); the last column is 1.
        directions: float64 (R, D), orthonormal.
        middle: float64 (D,), of the features.
    """

    rows: Floats
    directions: Floats
    middle: Floats

    @classmethod
    def of(cls, features: Floats) -> _Spanned:
        """The space of some features, (N, D)."""
        middle = features.mean(0)
        left, spreads, directions = np.linalg.svd(features - middle, full_matrices=False)
        kept = spreads > _LEAST_SPREAD * spreads.max(initial=0.0)
        rows = np.column_stack([left[:, kept] * spreads[kept], np.ones(len(features))])
        return cls(rows, directions[kept], middle)

    def critic(self, judged: Floats, which: NDArray[np.bool_], penalty: float) -> SuccessCritic:
        """Fitted to some of the conversations."""
        solution = _minimum(self.rows[which], judged[which], penalty)
        weights = solution[:-1] @ self.directions
        return SuccessCritic(weights, float(solution[-1] - weights @ self.middle), penalty)

    def losses(self, judged: Floats, which: NDArray[np.bool_], penalties: Sequence[float]) -> list[float]:
        """Fitted to some of the conversations, the negative log-likelihood of the others, nats, for each penalty."""
        solution: Floats | None = None
        losses = []
        for penalty in penalties:
            solution = _minimum(self.rows[which], judged[which], penalty, solution)
            losses.append(float(_misfits(self.rows[~which] @ solution, judged[~which]).sum()))
        return losses


def _minimum(rows: Floats, judged: Floats, penalty: float, start: Floats | None = None) -> Floats:
    """Weights, the bias last, that minimise the loss of ``fitted``; found sooner from a start that is near."""
    held = np.full(rows.shape[1], penalty)
    held[-1] = 0.0

    def objective(weights: Floats) -> float:
        return float(_misfits(rows @ weights, judged).mean() + held @ weights**2 / 2)

    weights = np.append(np.zeros(rows.shape[1] - 1), _log_odds_of(judged)) if start is None else start
    least = objective(weights)
    for _ in range(_MOST_STEPS):
        said = _sigmoid(rows @ weights)
        slope = rows.T @ (said - judged) / len(judged) + held * weights
        curvature = (rows.T * (said * (1 - said) / len(judged))) @ rows
        curvature[np.diag_indices_from(curvature)] += held
        step = np.linalg.solve(curvature, slope)
        # Where the curvature changes much on the way, a whole step may lead up again.
        while (reached := objective(weights - step)) > least and np.abs(step).max() > _TOLERANCE:
            step = step / 2
        weights, least = weights - step, reached
        if np.abs(step).max() <= _TOLERANCE:
            break
    return weights


def _misfits(log_odds: Floats, judged: Floats) -> Floats:
    """Negative log-likelihood of each outcome, nats."""
    return np.logaddexp(0.0, np.where(judged > 0, -log_odds, log_odds))


def _log_odds_of(judged: Floats) -> float:
    """Of the share of successes, nats."""
    successes = float(judged.sum())
    return math.log(successes / (len(judged) - successes))


def _sigmoid(log_odds: Floats) -> Floats:
    return np.exp(-np.logaddexp(0.0, -log_odds))


def _parts(judged: Floats, groups: Integers, count: int, generator: np.random.Generator) -> Integers:
    """In which of so many parts each conversation is: whole groups, with about the same share of successes."""
    sizes = np.bincount(groups)
    if len(sizes) < count:
        raise SuccessError(
            f"there are {len(sizes)} groups of conversations that belong together, too few for {count} parts that have "
            "none in common: log more tasks, or ask for fewer folds"
        )
    shares = np.bincount(groups, judged) / sizes
    order = np.lexsort([generator.random(len(sizes)), shares])
    part_of_group = np.empty(len(sizes), dtype=np.intp)
    for first in range(0, len(order), count):
        dealt = order[first : first + count]
        part_of_group[dealt] = generator.permutation(count)[: len(dealt)]
    return np.asarray(part_of_group[groups])


def _generator(settings: SuccessSettings, concern: int) -> np.random.Generator:
    """Chance that is the same for each use of one kind, whatever else was drawn."""
    return np.random.default_rng([settings.seed, concern])


def _checked(features: ArrayLike, outcomes: ArrayLike, groups: Sequence[Any] | None) -> tuple[Floats, Floats, Integers]:
    """Features (N, D), outcomes (N,) and groups counted from 0, (N,)."""
    rows, judged = np.asarray(features, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    homes = range(len(judged)) if groups is None else groups
    if rows.ndim != 2 or judged.shape != (len(rows),) or len(homes) != len(rows):
        raise SuccessError(
            f"a critic needs a row of features, an outcome and a group for each conversation, and their shapes are "
            f"{rows.shape}, {judged.shape} and ({len(homes)},)"
        )
    if not np.isfinite(rows).all():
        raise SuccessError("a feature is not finite")
    if not np.isin(judged, (0, 1)).all():
        raise SuccessError("an outcome is neither success (1) nor failure (0): leave out what was not judged")
    if not len(judged) or judged.min() == judged.max():
        found = "no conversation" if not len(judged) else "no success" if judged.max() == 0 else "no failure"
        raise SuccessError(f"there is {found} to learn from: a critic needs successes and failures")
    return rows, judged, np.unique(np.asarray(homes), return_inverse=True)[1]


def _require_both(judged: Floats, folds: int) -> None:
    if judged.min() == judged.max():
        missing = "success" if judged.max() == 0 else "failure"
        raise SuccessError(
            f"no {missing} is left to learn from when one of {folds} parts is held out: log more tasks that have one, "
            "or ask for other folds"
        )
