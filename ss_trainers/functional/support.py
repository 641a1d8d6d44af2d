"""What the log supports: actions that its policy would have taken, and values that hold where it is thin.

BCQ and BEAR, and the reranking of a language model's candidates. An action without support is left out by
the value minus infinity. A product with a mask of zeros would put it above all others wherever values are
negative.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def supported_actions(behavior_logits: Tensor, threshold: float = 0.3) -> Tensor:
    r"""Which actions are likely enough to the behaviour policy, compared with its likeliest one.

    .. math:: \frac{\pi_\beta(a \mid s)}{\max_{a'} \pi_\beta(a' \mid s)} > \tau

    Discrete BCQ, Fujimoto et al. 2019, arXiv:1910.01708, equation 17. The likeliest is always in, for any
    threshold: 0 supports all that have a probability, 1 the likeliest alone.

    Args:
        behavior_logits: float (..., A); logits or log-probabilities.
        threshold: tau, from 0 to 1.

    Returns:
        bool (..., A).
    """
    relative = behavior_logits - behavior_logits.amax(-1, keepdim=True)
    return (relative > (math.log(threshold) if threshold > 0 else -math.inf)) | (relative == 0)


def supported_candidates(mean_logprobs: Tensor, candidate_mask: Tensor, margin: float) -> Tensor:
    r"""Which proposed replies are nearly as likely as the likeliest of them, by token.

    .. math:: \bar\ell_j \ge \max_i \bar\ell_i - \kappa, \quad
              \bar\ell_j = \frac{1}{n_j} \sum_t \log\pi_\beta(a_{jt})

    The filter of ``supported_actions`` for replies of different lengths, with tau = exp(-kappa).

    Args:
        mean_logprobs: float (..., C); see ``sequence_logprob`` with ``length_normalized``.
        candidate_mask: bool (..., C); which candidates there are.
        margin: kappa, nats a token; 0 or more.

    Returns:
        bool (..., C); the likeliest candidate is always in, and a row without candidates has none.
    """
    likelihood = torch.where(candidate_mask, mean_logprobs, -torch.inf)
    return candidate_mask & (likelihood >= likelihood.amax(-1, keepdim=True) - margin)


def supported_values(action_values: Tensor, support: Tensor) -> Tensor:
    r"""Values for choosing: :math:`Q(s, a)` where there is support, minus infinity elsewhere.

    Args:
        action_values: float (..., A), differentiable.
        support: bool (..., A).

    Returns:
        float (..., A).
    """
    return torch.where(support, action_values, -torch.inf)


def soft_clipped_minimum(values: Tensor, weight: float = 0.75) -> Tensor:
    r"""Mostly the least that several critics say, and partly the most: pessimism that can be dosed.

    .. math:: \lambda \min_k Q_k + (1 - \lambda) \max_k Q_k

    Soft clipped double Q-learning of BCQ, Fujimoto et al. 2018, arXiv:1812.02900; the target is its greatest over the
    candidates. Weight 1 is clipped double Q-learning.

    Args:
        values: float (K, ...); of K critics.
        weight: lambda.

    Returns:
        float (...).
    """
    return weight * values.amin(0) + (1 - weight) * values.amax(0)


def perturbed_actions(actions: Tensor, perturbation: Tensor, bound: float = 0.05, max_action: float = 1.0) -> Tensor:
    r"""Actions moved by no more than a small share of their range, and kept within it.

    .. math:: \mathrm{clip}(a + \Phi\,a_{max}\,\xi,\ \pm a_{max})

    The perturbation model of BCQ, Fujimoto et al. 2018, arXiv:1812.02900: what a generative model of the log proposes
    is improved nearby.

    Args:
        actions: float (..., d); proposed.
        perturbation: float (..., d), differentiable; xi, from -1 to 1 (the tanh of a network).
        bound: Phi.
        max_action: a_max.

    Returns:
        float (..., d).
    """
    return (actions + bound * max_action * perturbation).clamp(-max_action, max_action)
