"""Conservative Q-learning: what a critic says of all actions is held down to what it says of the logged ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def conservative_gap(action_values: Tensor, actions: Tensor) -> Tensor:
    r"""How far the soft maximum over all actions is above the value of the logged one; never negative.

    .. math:: \log \sum_a \exp Q(s, a) - Q(s, a_{log})

    CQL(H), Kumar et al. 2020, arXiv:2006.04779, equation 4, for actions that can be counted; its gradient
    is the softmax less the logged action, which adds up to 0. It is the cross-entropy of the values as
    logits, which ILQL adds for tokens. A candidate that is missing has the value minus infinity.

    Args:
        action_values: float (..., A), differentiable.
        actions: int64 (...); the logged ones, from 0 to A - 1.

    Returns:
        float (...).
    """
    logged = action_values.gather(-1, actions[..., None]).squeeze(-1)
    return torch.logsumexp(action_values, -1) - logged


def sampled_logsumexp(values: Tensor, log_densities: Tensor) -> Tensor:
    r"""The soft maximum over actions that cannot be counted, from samples whose densities are known.

    .. math:: \log \frac1S \sum_{j=1}^S \frac{\exp Q(s, a_j)}{\mu_j(a_j)}
              \approx \log \int \exp Q(s, a)\,da

    CQL(H), Kumar et al. 2020, arXiv:2006.04779, appendix F. Samples from several distributions are put
    side by side, each with its own log-density: n uniform ones over the box [-1, 1]^d (``-d * log(2)``), n
    of the policy in s and n of the policy in s' (its log-probability), all valued in s. The S that
    is divided by makes the gap to the logged action the same for any number of samples. The authors'
    code leaves it out: a threshold of theirs is log S above one that is meant here.

    Args:
        values: float (..., S), differentiable.
        log_densities: float, broadcastable to ``values``; without gradient.

    Returns:
        float (...).
    """
    return torch.logsumexp(values - log_densities.detach(), -1) - math.log(values.shape[-1])
