"""Per-token estimators of KL(policy || reference) from the log-probabilities of sampled tokens.

Schulman 2020, "Approximating KL divergence". With ``d`` the difference of the log-probabilities
and tokens sampled from the policy, k1 and k3 have the right mean, k2 is biased and has the
smallest variance. As terms of a loss they differ in another way: the gradient of k1 is 0 on
average, that of k2 is the gradient of KL(policy || reference), that of k3 the gradient of
KL(reference || policy).
"""

from __future__ import annotations

from torch import Tensor

# Beyond this many nats the estimate is an outlier and its exponential overflows.
_LIMIT = 20.0


def k1(logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    r"""The difference itself: :math:`k_1 = d = \log\pi - \log\pi_{ref}`, cut to 20 nats either side.

    Args:
        logprobs: float (...).
        reference_logprobs: float (...).
    """
    return (logprobs - reference_logprobs).clamp(-_LIMIT, _LIMIT)


def k2(logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    r"""Half the squared difference: :math:`k_2 = d^2 / 2`.

    Args:
        logprobs: float (...).
        reference_logprobs: float (...).
    """
    return k1(logprobs, reference_logprobs).square() / 2


def k3(logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    r"""The non-negative one: :math:`k_3 = e^{-d} - 1 + d`; GRPO's (arXiv:2402.03300, equation 4).

    Args:
        logprobs: float (...).
        reference_logprobs: float (...).
    """
    difference = k1(logprobs, reference_logprobs)
    return (-difference).expm1() + difference
