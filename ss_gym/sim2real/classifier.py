"""Logistic regressions of many labellings at once: how well real and simulated dialogues can be told apart."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ss_gym.sim2real.distances import Floats

Labels = NDArray[np.bool_]


def fit_logistic(features: Floats, labels: Labels, weights: Floats, l2: float = 1.0) -> Floats:
    r"""Coefficients of logistic regressions on the same features, one for each way to label them.

    Each minimises :math:`\sum_i w_i \log(1 + e^{-s_i (b + c \cdot x_i)}) + \frac{\lambda}{2} \lVert c \rVert^2` with
    s of 1 or -1, by Newton's method, which for this loss is iteratively reweighted least squares (Hastie, Tibshirani
    and Friedman 2009, section 4.4.1), with steps halved until the loss falls.

    Args:
        features: float (n, d), of like scale.
        labels: (B, n), with some of either in each row.
        weights: float (B, n), above 0.
        l2: :math:`\lambda`, above 0; it does not shrink the intercept b.

    Returns:
        float (B, 1 + d), the intercept first.

    Raises:
        ValueError: if the labels of a row are all alike, or ``l2`` is not above 0.
    """
    if not 0 < l2 < math.inf:
        raise ValueError(
            f"without a penalty classes that can be told apart have no best fit: give l2 above 0, got {l2}"
        )
    if (labels.all(-1) | ~labels.any(-1)).any():
        raise ValueError("the labels are all alike, so there is nothing to tell apart: give some of either")
    inputs = np.column_stack([np.ones(len(features)), features])
    penalty = np.full(inputs.shape[1], l2)
    penalty[0] = 0.0
    signs = np.where(labels, 1.0, -1.0)

    def loss(coefficients: Floats) -> Floats:
        fits = (weights * np.logaddexp(0.0, -signs * (coefficients @ inputs.T))).sum(-1)
        total: Floats = fits + (penalty * coefficients**2).sum(-1) / 2
        return total

    coefficients = np.zeros((len(labels), inputs.shape[1]))
    current = loss(coefficients)
    for _ in range(100):
        odds = np.tanh(coefficients @ inputs.T / 2)  # 2p - 1, which can't overflow
        slope = (weights * (odds - signs) / 2) @ inputs + penalty * coefficients
        if (np.abs(slope) <= 1e-8 * weights.sum(-1, keepdims=True)).all():
            break
        weighed = (weights * (1 - odds**2) / 4)[:, None, :] * inputs.T
        curvature = (weighed.reshape(-1, len(inputs)) @ inputs).reshape(len(labels), *penalty.shape * 2)
        # What is added keeps it invertible where all are certain; it changes the way, not where it ends.
        curvature += np.diag(penalty + 1e-9)
        step = np.linalg.solve(curvature, slope[..., None])[..., 0]
        for _ in range(30):
            proposed = loss(coefficients - step)
            rises = proposed > current + 1e-12 * (1 + current)
            if not rises.any():
                break
            step[rises] /= 2
        coefficients, current = coefficients - step, proposed
    return coefficients


def held_out_scores(
    rows: Floats, owners: NDArray[np.intp], labels: Labels, held_out: NDArray[np.bool_], l2: float
) -> Floats:
    """Log odds that the held-out dialogues are real, by ``fit_logistic`` on the others.

    Features are standardised by the dialogues that it is fitted to. There each dialogue weighs the same, whatever its
    number of rows, and both labels weigh the same in all.

    Args:
        rows: float (V, d), the features of all dialogues.
        owners: int (V,), which dialogue each row is of, rising from 0 to D - 1.
        labels: (B, D), which dialogues count as real.
        held_out: (D,), which are not fitted to.
        l2: as for ``fit_logistic``.

    Returns:
        float (B, number held out): the mean over the rows of each dialogue, in order.

    Raises:
        ValueError: as for ``fit_logistic``.
    """
    lengths = np.bincount(owners)
    fitted = ~held_out[owners]
    shares = 1 / lengths[owners[fitted]]
    centre = np.average(rows[fitted], axis=0, weights=shares)
    scale = np.sqrt(np.average((rows[fitted] - centre) ** 2, axis=0, weights=shares))
    # A feature that is alike everywhere but for rounding says nothing.
    scale[scale <= 1e-12 * np.abs(centre)] = 1.0
    features = (rows - centre) / scale

    drawn = labels[:, owners[fitted]]
    real = labels[:, ~held_out].sum(-1, keepdims=True)
    total = int((~held_out).sum())
    weights = shares * np.where(drawn, total / (2 * np.maximum(real, 1)), total / (2 * np.maximum(total - real, 1)))
    coefficients = fit_logistic(features[fitted], drawn, weights, l2)
    odds = coefficients[:, :1] + coefficients[:, 1:] @ features[~fitted].T
    counts = lengths[held_out]
    # Rounded, so that dialogues of the same features are ties wherever they lie in the matrix.
    scores: Floats = (np.add.reduceat(odds, counts.cumsum() - counts, axis=1) / counts).round(9)
    return scores


def area_under_curve(scores: Floats, labels: Labels) -> Floats:
    r"""How often a real one has a higher score than a simulated one: :math:`P(s > s') + \frac12 P(s = s')`.

    The area under the ROC curve, from the sum of the real ones' ranks (Hanley and McNeil 1982).

    Args:
        scores: float (B, n).
        labels: (B, n), some of either in each row.

    Returns:
        float (B,), from 0 to 1; .5 is chance.
    """
    order = np.argsort(scores, axis=1)
    ordered = np.take_along_axis(scores, order, axis=1)
    places = np.arange(scores.shape[1])
    edge = np.ones((len(scores), 1), dtype=bool)
    rises = ordered[:, 1:] > ordered[:, :-1]
    # Ties share the mean of the first and the last rank among them.
    first = np.maximum.accumulate(np.where(np.hstack([edge, rises]), places, 0), axis=1)
    last = np.where(np.hstack([rises, edge]), places, len(places))
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    real = labels.sum(-1)
    ranks = ((first + last) / 2 * np.take_along_axis(labels, order, axis=1)).sum(-1)
    area: Floats = (ranks - real * (real - 1) / 2) / (real * (len(places) - real))
    return area
