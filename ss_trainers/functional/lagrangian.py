"""A constraint as a penalty, whose weight grows while the constraint is violated and falls while it is not.

BEAR bounds a policy's discrepancy from the data so, CQL the gap between values, SAC the entropy (the
log-probability's mean is at most minus the target entropy).
"""

from __future__ import annotations

import torch
from torch import Tensor


def lagrange_multiplier(log_multiplier: Tensor, low: float = -5.0, high: float = 10.0) -> Tensor:
    r"""The weight of the penalty: :math:`\alpha = \exp(\mathrm{clip}(\log\alpha, l, h))`.

    Args:
        log_multiplier: float ().
        low: l, as for ``lagrange_dual_loss``.
        high: h.

    Returns:
        float (), without gradient: the policy or critic that it weighs must not lower it.
    """
    return log_multiplier.detach().clamp(low, high).exp()


def lagrange_dual_loss(
    log_multiplier: Tensor, measured: Tensor, limit: float, low: float = -5.0, high: float = 10.0
) -> Tensor:
    r"""What the multiplier minimises, so that it rises exactly while the measured mean is above its limit.

    .. math:: -\exp(\mathrm{clip}(\log\alpha, l, h))\,\bigl(\mathrm{sg}(\bar C) - \epsilon\bigr)

    Dual gradient ascent on :math:`\max_\alpha \alpha\,(\bar C - \epsilon)`: BEAR, Kumar et al. 2019,
    arXiv:1906.00949, section 5 with limit .05; CQL, Kumar et al. 2020, arXiv:2006.04779, appendix F
    (there, low minus infinity). At a bound the gradient is 0 if it leads further out, and whole if it leads back:
    a clip alone would hold a multiplier that has stepped over a bound there for good.

    Args:
        log_multiplier: float (), differentiable.
        measured: float (...); C, of a batch or its mean.
        limit: epsilon, that C is to stay below.
        low: l, the least log-multiplier.
        high: h, the greatest.

    Returns:
        scalar.
    """
    excess = measured.detach().mean() - limit
    outward = ((log_multiplier >= high) & (excess > 0)) | ((log_multiplier <= low) & (excess < 0))
    # Value of the clipped one, gradient of the unclipped.
    step = torch.where(outward, 0.0, log_multiplier - log_multiplier.detach())
    return -(log_multiplier.detach().clamp(low, high) + step).exp() * excess
