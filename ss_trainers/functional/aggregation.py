"""From per-token values to one number, with normalisers that belong to the whole batch.

A micro-batch divides by the count of the *batch* it was cut from (``normalizer``), so that its
results add up to the batch's whatever the split. ``None`` stands for a batch that is not split.
"""

from __future__ import annotations

import torch
from torch import Tensor


def token_mean(values: Tensor, action_mask: Tensor, normalizer: float | None = None) -> Tensor:
    r"""Sum over all action tokens divided by their number: every token weighs the same.

    .. math:: \frac{\sum_{i,t} m_{it}\,x_{it}}{\sum_{i,t} m_{it}}

    Yu et al. 2025, arXiv:2503.14476, equation 12.

    Args:
        values: float (B, T).
        action_mask: bool (B, T).
        normalizer: action tokens of the whole batch.

    Returns:
        scalar.
    """
    return _total(values, action_mask).sum() / _divisor(action_mask.sum() if normalizer is None else normalizer)


def sequence_mean_token_mean(values: Tensor, action_mask: Tensor, normalizer: float | None = None) -> Tensor:
    r"""Mean over sequences of each sequence's mean: every sequence weighs the same.

    .. math:: \frac1B \sum_i \frac{1}{n_i} \sum_t m_{it}\,x_{it}

    Shao et al. 2024, arXiv:2402.03300, equation 3. A sequence without action tokens counts for
    nothing, in B as well.

    Args:
        values: float (B, T).
        action_mask: bool (B, T).
        normalizer: sequences with an action token in the whole batch.

    Returns:
        scalar.
    """
    lengths = action_mask.sum(-1).clamp(min=1)
    means = _total(values, action_mask) / lengths
    return means.sum() / _divisor(action_mask.any(-1).sum() if normalizer is None else normalizer)


def sequence_mean_token_sum(values: Tensor, action_mask: Tensor, normalizer: float | None = None) -> Tensor:
    r"""Mean over sequences of each sequence's sum: the gradient of a sequence's log-probability.

    .. math:: \frac1B \sum_i \sum_t m_{it}\,x_{it}

    The plain policy gradient (Williams 1992), and that of RLOO (arXiv:2402.14740). A sequence
    without action tokens counts for nothing, in B as well.

    Args:
        values: float (B, T).
        action_mask: bool (B, T).
        normalizer: sequences with an action token in the whole batch.

    Returns:
        scalar.
    """
    count = action_mask.any(-1).sum() if normalizer is None else normalizer
    return _total(values, action_mask).sum() / _divisor(count)


def constant_length(values: Tensor, action_mask: Tensor, max_length: int, normalizer: float | None = None) -> Tensor:
    r"""Sum over all action tokens divided by a constant, so that length has no influence.

    .. math:: \frac{1}{B\,L_{max}} \sum_{i,t} m_{it}\,x_{it}

    Dr. GRPO, Liu et al. 2025, arXiv:2503.20783, section 3.2.

    Args:
        values: float (B, T).
        action_mask: bool (B, T).
        max_length: L_max, tokens; a constant of the run, not of the batch.
        normalizer: number of sequences of the whole batch.

    Returns:
        scalar.
    """
    return _total(values, action_mask).sum() / (
        _divisor(len(values) if normalizer is None else normalizer) * max_length
    )


def _total(values: Tensor, action_mask: Tensor) -> Tensor:
    # Sum over each row. A product would let NaN and infinity through from outside the mask.
    return torch.where(action_mask, values, 0.0).sum(-1)


def _divisor(count: Tensor | float) -> float:
    # An empty batch has sum 0, and shall have mean 0.
    return max(1.0, float(count))
