"""Advantage estimators: how much better a sample was than what it is compared with."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def group_relative(
    returns: Tensor,
    group_ids: Tensor,
    scale: Literal["std", "none"] = "std",
    unbiased: bool = False,
    std_floor: float = 1e-6,
) -> Tensor:
    r"""Return minus the mean of its group, divided by the group's standard deviation or not.

    .. math:: A_i = \frac{R_i - \bar R_g}{\max(\sigma_g, f)} \quad\text{or}\quad A_i = R_i - \bar R_g

    ``scale="std"`` is GRPO (Shao et al. 2024, arXiv:2402.03300, section 4.1.2); ``scale="none"``
    is Dr. GRPO (Liu et al. 2025, arXiv:2503.20783, section 3.2). A group whose returns are all
    equal, or that has one member, gets exactly 0. A return that is NaN or infinite gets 0 and
    takes no part in the statistics of its group.

    Args:
        returns: float (B,).
        group_ids: int64 (B,); any values.
        scale: what to divide by.
        unbiased: divide by G - 1 instead of G in the variance.
        std_floor: the least f that a deviation is divided by. The paper adds a small constant
            instead; a floor keeps differences of the size of a style penalty from becoming unit
            advantages in a group that agrees on everything else.

    Returns:
        float (B,), of the dtype of ``returns``.
    """
    finite = torch.isfinite(returns)
    values = torch.where(finite, returns, 0.0)
    _, group = torch.unique(group_ids, return_inverse=True)
    groups = int(group.max()) + 1 if len(group) else 0

    def total(amounts: Tensor) -> Tensor:
        return amounts.new_zeros(groups).index_add_(0, group, amounts)

    def extreme(amounts: Tensor, mode: str) -> Tensor:
        return amounts.new_zeros(groups).scatter_reduce_(0, group[finite], amounts[finite], mode, include_self=False)

    count = total(finite.to(returns.dtype))
    deviation = torch.where(finite, values - (total(values) / count.clamp(min=1))[group], 0.0)
    # Rounding can leave a mean that differs from equal returns in the last digit, which the
    # division would blow up: equal returns are recognised, not computed.
    varied = extreme(values, "amax") > extreme(values, "amin")
    advantages = torch.where(varied[group], deviation, 0.0)
    if scale == "none":
        return advantages
    variance = total(deviation.square()) / (count - 1 if unbiased else count).clamp(min=1)
    spread = torch.where(varied, variance.sqrt().clamp(min=std_floor), 1.0)
    return advantages / spread[group]
