"""Networks of numbers: several perceptrons side by side in one product, and what actors and critics are made of."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

# Bounds of the logarithm of a Gaussian actor's standard deviation; as in SAC's code.
LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0


class Perceptrons(nn.Module):
    """K multilayer perceptrons with the same sizes, computed together; ReLU between the layers.

    Weights and biases begin uniform within ±1/sqrt(inputs), as PyTorch's own linear layers do.

    Args:
        sizes: of the input, the hidden layers and the output.
        generator: where the initial values come from.
        members: K. Without, there is one, and results have no dimension for it.
    """

    def __init__(self, sizes: Sequence[int], generator: torch.Generator, members: int | None = None) -> None:
        super().__init__()
        self.members = members
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in pairwise(sizes):
            bound = 1 / math.sqrt(inputs)
            weight, bias = ((inputs, outputs), (1, outputs)) if members else ((outputs, inputs), (outputs,))
            for parameters, shape in ((self.weights, weight), (self.biases, bias)):
                whole = (members, *shape) if members else shape
                parameters.append(nn.Parameter(torch.empty(whole).uniform_(-bound, bound, generator=generator)))

    def forward(self, inputs: Tensor, frozen: bool = False) -> Tensor:
        """What the networks say of some rows.

        Args:
            inputs: float (N, D), or (K, N, D) with an input for each member.
            frozen: whether gradients go through to the inputs alone: an actor that maximises a critic must not move it.

        Returns:
            float (K, N, O), or (N, O) without members.
        """
        hidden = inputs if self.members is None or inputs.ndim == 3 else inputs.expand(self.members, *inputs.shape)
        last = len(self.weights) - 1
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            weight, bias = (weight.detach(), bias.detach()) if frozen else (weight, bias)
            hidden = linear(hidden, weight, bias) if self.members is None else torch.baddbmm(bias, hidden, weight)
            hidden = hidden if place == last else hidden.relu_()
        return hidden


class Critics(nn.Module):
    """K action values of a state: of an action that is given with it, or of each action that there is.

    Args:
        observation_size: D.
        action_size: A.
        hidden: sizes of the hidden layers.
        generator: where the initial values come from.
        members: K.
        discrete: whether there is a value for each action.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden: Sequence[int],
        generator: torch.Generator,
        members: int = 2,
        discrete: bool = False,
    ) -> None:
        super().__init__()
        sizes = (observation_size, *hidden, action_size) if discrete else (observation_size + action_size, *hidden, 1)
        self.network = Perceptrons(sizes, generator, members)

    def forward(self, observations: Tensor, actions: Tensor | None = None, frozen: bool = False) -> Tensor:
        """Values of actions.

        Args:
            observations: float (N, D).
            actions: float (N, A), or (N, S, A) with S actions in each state; none where each action has a value.
            frozen: see :class:`Perceptrons`.

        Returns:
            float (K, N), (K, N, S), or (K, N, A) without ``actions``.
        """
        if actions is None:
            return cast("Tensor", self.network(observations, frozen))
        if actions.ndim == 2:
            return cast("Tensor", self.network(torch.cat([observations, actions], -1), frozen)).squeeze(-1)
        rows, samples, size = actions.shape
        repeated = observations[:, None].expand(-1, samples, -1)
        together = torch.cat([repeated, actions], -1).reshape(rows * samples, observations.shape[1] + size)
        return cast("Tensor", self.network(together, frozen)).reshape(-1, rows, samples)


class GaussianActor(nn.Module):
    """A Gaussian whose samples are squashed by tanh; mean and standard deviation depend on the state.

    Args:
        observation_size: D.
        action_size: A.
        hidden: sizes of the hidden layers.
        generator: where the initial values come from.
    """

    def __init__(
        self, observation_size: int, action_size: int, hidden: Sequence[int], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.network = Perceptrons((observation_size, *hidden, 2 * action_size), generator)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """The distribution before the tanh.

        Args:
            observations: float (N, D).

        Returns:
            mean and logarithm of the standard deviation, float (N, A) each.
        """
        mean, log_std = self.network(observations).chunk(2, -1)
        return mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)


def target_of(network: nn.Module) -> nn.Module:
    """A copy that follows the network slowly, and that nothing learns through."""
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def follow(target: nn.Module, network: nn.Module, rate: float) -> None:
    """Moves a target network's weights a share of the way to the network's.

    Args:
        target: a copy that ``target_of`` made.
        network: what it follows.
        rate: tau; 1 copies.
    """
    torch._foreach_lerp_(list(target.parameters()), list(network.parameters()), rate)


def adam(parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float = 0.0) -> torch.optim.Optimizer:
    """Adam with all of a step in one kernel; decoupled weight decay, if any."""
    return torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)
