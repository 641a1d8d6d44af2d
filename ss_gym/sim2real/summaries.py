"""What is compared of sets of dialogues when customers are fitted: statistics, and what they say of parameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ss_gym.sim2real.dialogues import Floats

# Features whose spread over dialogues is a statistic as well as their mean: how many messages, and how long.
_SPREADS = 4
# Penalty of the regression that foretells parameters, for each draw.
_RIDGE = 0.01


def summary(features: Floats) -> Floats:
    """Statistics of sets of dialogues: means of their features, and the spread of the first four.

    Args:
        features: (…, N, D), of the N dialogues of each set; two or more.

    Returns:
        float (…, S).
    """
    spread = features[..., :_SPREADS].std(-2, ddof=1)
    found: Floats = np.concatenate([features.mean(-2), spread], axis=-1)
    return found


def foretelling(statistics: Floats, shares: Floats) -> Callable[[Floats], Floats]:
    """What a ridge regression on statistics and their squares says of parameters, as a function of statistics.

    Foretold parameters are the statistics that tell most of them: Fearnhead and Prangle 2012, "Constructing Summary
    Statistics for Approximate Bayesian Computation".

    Args:
        statistics: (N, S).
        shares: (N, P), places of the parameters between their bounds.
    """
    centre, spread = statistics.mean(0), np.maximum(statistics.std(0), 1e-9)

    def inputs(given: Floats) -> Floats:
        scaled = np.clip((given - centre) / spread, -4, 4)
        return np.column_stack([np.ones(len(given)), scaled, np.square(scaled)])

    columns = inputs(statistics)
    penalty = _RIDGE * len(statistics) * np.diag([0.0, *np.ones(columns.shape[1] - 1)])
    slopes = np.linalg.solve(columns.T @ columns + penalty, columns.T @ shares)
    return lambda given: inputs(given) @ slopes


def foretold_by_others(statistics: Floats, shares: Floats, folds: int = 5) -> Floats:
    """What is foretold of the parameters of each draw by a regression on the others, (N, P).

    A regression foretells what it was fitted to better than anything else; what was observed is something else.

    Args:
        statistics: (N, S).
        shares: (N, P).
        folds: regressions.
    """
    found = np.empty_like(shares)
    homes = np.arange(len(statistics)) % folds
    for fold in range(folds):
        own = homes == fold
        found[own] = foretelling(statistics[~own], shares[~own])(statistics[own])
    return found
