"""Importance ratios between the policy being trained and the policy that sampled."""

from __future__ import annotations

import torch
from torch import Tensor


def token_ratio(logprobs: Tensor, old_logprobs: Tensor, action_mask: Tensor) -> Tensor:
    r"""Probability of each token now over its probability at the start of the update.

    .. math:: \rho_t = \exp(\log\pi_\theta(a_t) - \log\pi_{old}(a_t))

    Schulman et al. 2017, arXiv:1707.06347, equation 6.

    Args:
        logprobs: float (B, T), differentiable.
        old_logprobs: float (B, T).
        action_mask: bool (B, T).

    Returns:
        float (B, T), 1 outside ``action_mask`` (whatever the log-probabilities are there).
    """
    return torch.exp(torch.where(action_mask, logprobs - old_logprobs, 0.0))
