"""The optimizer of small networks, where what counts is how little is done around the arithmetic."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

# Decay of the averages of gradients and of their squares, and what the root of the latter is raised by; PyTorch's.
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8
# Of gradients and of their squares; their names are PyTorch's.
_AVERAGES = ("exp_avg", "exp_avg_sq")


class Adam(torch.optim.Optimizer):
    """Adam with decoupled weight decay; gives what ``torch.optim.AdamW`` gives, to the bit.

    Kingma and Ba 2014, arXiv:1412.6980; Loshchilov and Hutter 2017, arXiv:1711.05101. Parameters are moved by one
    kernel and share the count of their steps. PyTorch's class has a count for each, which costs several times the
    kernel.

    Args:
        parameters: what it moves: all of them whenever any of them has a gradient.
        learning_rate: the step size.
        weight_decay: the share, of the learning rate, that parameters shrink by in a step.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float = 0.0) -> None:
        super().__init__(parameters, {"lr": learning_rate, "weight_decay": weight_decay, "steps": 0})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Moves the parameters; where none of a group has a gradient, it is left as it is.

        Raises:
            RuntimeError: if some of a group have a gradient and some have none.
        """
        for group in self.param_groups:
            parameters = group["params"]
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            if not gradients:
                continue
            if len(gradients) < len(parameters):
                raise RuntimeError(
                    f"{len(parameters) - len(gradients)} of {len(parameters)} parameters have no gradient"
                )
            group["steps"] += 1
            # Filled, not copied, which a GPU would be waited for.
            count = torch.full((), group["steps"], dtype=torch.float32, device=gradients[0].device)
            averages = [self.state[parameter] or self._begin(parameter) for parameter in parameters]
            torch._fused_adamw_(
                parameters,
                gradients,
                [average["exp_avg"] for average in averages],
                [average["exp_avg_sq"] for average in averages],
                [],
                [count] * len(parameters),
                lr=group["lr"],
                beta1=_BETA_1,
                beta2=_BETA_2,
                weight_decay=group["weight_decay"],
                eps=_EPSILON,
                amsgrad=False,
                maximize=False,
            )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from what ``state_dict`` of another one gave.

        Raises:
            ValueError: if it is of other parameters, or averages are missing.
        """
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            for parameter in group["params"] if group["steps"] else ():
                averages = self.state[parameter]
                if any(name not in averages or averages[name].shape != parameter.shape for name in _AVERAGES):
                    shape = tuple(parameter.shape)
                    raise ValueError(f"the averages of a parameter of {shape} are missing, or have another shape")

    def _begin(self, parameter: Tensor) -> dict[str, Tensor]:
        averages = {name: torch.zeros_like(parameter) for name in _AVERAGES}
        self.state[parameter] = averages
        return averages
