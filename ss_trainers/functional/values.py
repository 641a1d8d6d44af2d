"""What a critic minimises, and how well it does."""

from __future__ import annotations

import torch
from torch import Tensor


def clipped_value_loss(values: Tensor, old_values: Tensor, targets: Tensor, clip: float | None = None) -> Tensor:
    r"""Half the squared error; the greater of that and the error of a value that moved no further than a bound.

    .. math:: \tfrac12 \max\bigl((V - Y)^2,\ (V_{old} + \mathrm{clip}(V - V_{old}, \pm c) - Y)^2\bigr)

    The value loss of PPO's reference code (Schulman et al. 2017, arXiv:1707.06347).

    Args:
        values: float (...), differentiable.
        old_values: float (...); at the time of the rollout.
        targets: float (...).
        clip: c; the plain squared error if None.

    Returns:
        float (...), for each value.
    """
    error = (values - targets).square()
    if clip is not None:
        near = old_values + (values - old_values).clamp(-clip, clip)
        error = torch.maximum(error, (near - targets).square())
    return error / 2


def explained_variance(values: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    r"""How much of the targets' variance a critic foresees: 1 all of it, 0 none, below 0 worse than their mean.

    .. math:: 1 - \frac{\mathrm{Var}(Y - V)}{\mathrm{Var}(Y)}

    Args:
        values: float (...).
        targets: float (...).
        mask: bool (...); where there are values.

    Returns:
        scalar; 0 where the targets do not vary.
    """
    inside, wanted = values[mask], targets[mask]
    if not len(inside):
        return values.new_zeros(())
    spread = wanted.var(correction=0)
    missed = (wanted - inside).var(correction=0)
    return torch.where(spread > 0, 1 - missed / torch.where(spread > 0, spread, 1.0), 0.0)
