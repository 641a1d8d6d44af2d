"""Muon: momentum whose update of each matrix is made orthogonal (Jordan et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

# Coefficients of the quintic iteration that drives singular values towards 1.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalised(matrix: Tensor, iterations: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrix, roughly, by Newton–Schulz iteration.

    Args:
        matrix: (M, N).
        iterations: five bring the singular values into about [0.7, 1.2].
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    result: Tensor = x if wide is matrix else x.T
    return result


class Muon(torch.optim.Optimizer):
    """Muon in float32, for matrices only; ``torch.optim.Muon`` works in bfloat16, which is slow on a processor.

    Args:
        matrices: parameters of two dimensions.
        lr: the spectral norm of an update of a wide matrix.
        momentum: of the Nesterov momentum.
    """

    def __init__(self, matrices: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Takes a step; parameters without a gradient stay as they are."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                velocity = state.setdefault("velocity", torch.zeros_like(parameter))
                velocity.mul_(group["momentum"]).add_(parameter.grad)
                update = orthogonalised(parameter.grad.add(velocity, alpha=group["momentum"]))
                tall = max(1.0, parameter.shape[0] / parameter.shape[1])
                parameter.add_(update, alpha=-group["lr"] * tall**0.5)
