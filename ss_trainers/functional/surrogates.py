"""Policy-gradient surrogates: per-token objectives, to be maximised."""

from __future__ import annotations

import torch
from torch import Tensor


def clipped(ratio: Tensor, advantages: Tensor, clip_low: float, clip_high: float) -> Tensor:
    r"""The pessimistic of the plain and the clipped importance-weighted advantage.

    .. math:: \min\bigl(\rho A,\ \mathrm{clip}(\rho, 1-\epsilon_{low}, 1+\epsilon_{high})\,A\bigr)

    Schulman et al. 2017, arXiv:1707.06347, equation 7; two bounds as in Yu et al. 2025,
    arXiv:2503.14476, equation 10.

    Args:
        ratio: float (...), differentiable.
        advantages: float, broadcastable to ``ratio``.
        clip_low: how far the ratio may fall below 1 before the gradient stops.
        clip_high: how far it may rise above 1.

    Returns:
        float (...).
    """
    return torch.minimum(ratio * advantages, ratio.clamp(1 - clip_low, 1 + clip_high) * advantages)


def clip_active(ratio: Tensor, advantages: Tensor, clip_low: float, clip_high: float) -> tuple[Tensor, Tensor]:
    """Where ``clipped`` stops the gradient: at the low bound, and at the high bound.

    Args:
        ratio: float (...).
        advantages: float, broadcastable to ``ratio``.
        clip_low: as for ``clipped``.
        clip_high: as for ``clipped``.

    Returns:
        two bool (...): (ratio too low, advantage negative), (ratio too high, advantage positive).
    """
    return (ratio < 1 - clip_low) & (advantages < 0), (ratio > 1 + clip_high) & (advantages > 0)


def dual_clipped(
    ratio: Tensor, advantages: Tensor, clip_low: float, clip_high: float, lower_bound: float = 3.0
) -> Tensor:
    r"""As ``clipped``, but a bad action's objective does not fall below a multiple of its advantage.

    .. math:: \max\bigl(\text{clipped},\ c A\bigr) \quad\text{where } A < 0

    Ye et al. 2019, arXiv:1912.09729: without it, a bad action that became far likelier is
    pulled back without bound.

    Args:
        ratio: float (...), differentiable.
        advantages: float, broadcastable to ``ratio``.
        clip_low: as for ``clipped``.
        clip_high: as for ``clipped``.
        lower_bound: c, above 1.

    Returns:
        float (...).
    """
    objective = clipped(ratio, advantages, clip_low, clip_high)
    return torch.where(advantages < 0, torch.maximum(objective, lower_bound * advantages), objective)


def capped_policy_gradient(ratio: Tensor, advantages: Tensor, logprobs: Tensor, cap: float) -> Tensor:
    r"""The policy gradient with importance weights that are capped and have no gradient of their own.

    .. math:: \mathrm{sg}\bigl(\min(\rho, c)\bigr)\,A\,\log\pi_\theta

    CISPO, MiniMax 2025, arXiv:2506.13585, equation 4: clipping stops a token's gradient, a cap never does.

    Args:
        ratio: float (...).
        advantages: float, broadcastable to ``ratio``.
        logprobs: float (...), differentiable.
        cap: c, the greatest weight; the paper's :math:`1 + \epsilon_{high}`.

    Returns:
        float (...).
    """
    return ratio.detach().clamp(max=cap) * advantages * logprobs
