"""Per-token estimators of KL(policy || reference) from the log-probabilities of sampled tokens.

Schulman 2020, "Approximating KL divergence". With ``d`` the difference of the log-probabilities
and tokens sampled from the policy, k1 and k3 have the right mean, k2 is biased and has the
smallest variance. As terms of a loss they differ in another way: the gradient of k1 is 0 on
average, that of k2 is the gradient of KL(policy || reference), that of k3 the gradient of
KL(reference || policy).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Where the policy falls this many nats below the reference, k3 is an outlier on the way to overflow.
_LIMIT = 20.0


def k1(logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    r"""The difference itself: :math:`k_1 = d = \log\pi - \log\pi_{ref}`.

    Args:
        logprobs: float (...).
        reference_logprobs: float (...).
    """
    return logprobs - reference_logprobs


def k2(logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    r"""Half the squared difference: :math:`k_2 = d^2 / 2`.

    Args:
        logprobs: float (...).
        reference_logprobs: float (...).
    """
    return k1(logprobs, reference_logprobs).square() / 2


def k3(logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    r"""The non-negative one: :math:`k_3 = e^{-d} - 1 + d`; GRPO's (arXiv:2402.03300, equation 4).

    Below :math:`d = -20` it goes on along its tangent there, whose slope is :math:`1 - e^{20}`: the
    exponential would overflow, and a constant would leave the tokens that are furthest from the
    reference without a gradient back to it.

    Args:
        logprobs: float (...).
        reference_logprobs: float (...).
    """
    difference = k1(logprobs, reference_logprobs)
    inside = torch.where(difference < -_LIMIT, -_LIMIT, difference)
    beyond = torch.where(difference < -_LIMIT, difference + _LIMIT, 0.0)
    return (-inside).expm1() + inside - math.expm1(_LIMIT) * beyond


def adapted_coefficient(coefficient: float, divergence: float, target: float, rate: float = 0.1) -> float:
    r"""The weight of a divergence after an iteration: more where it was above its target, less where below.

    .. math:: \beta \leftarrow \beta\,\Bigl(1 + K\,\mathrm{clip}\bigl(\tfrac{D}{D^*} - 1, \pm 0.2\bigr)\Bigr)

    Ziegler et al. 2019, arXiv:1909.08593, section 2.2.

    Args:
        coefficient: beta.
        divergence: D, nats a token or a sequence.
        target: the same unit, positive.
        rate: K.

    Returns:
        the new beta.

    >>> [round(adapted_coefficient(0.1, divergence, 0.05), 6) for divergence in (0.0, 0.05, 0.055, 0.5)]
    [0.098, 0.1, 0.101, 0.102]
    """
    error = min(max(divergence / target - 1, -0.2), 0.2)
    return coefficient * (1 + rate * error)
