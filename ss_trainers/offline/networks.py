"""Networks of numbers: several perceptrons side by side in one product, and what actors and critics are made of."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

# Bounds of the logarithm of a Gaussian actor's standard deviation; as in SAC's code.
LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0

# Numbers in a layer that a processor computes at once where no gradient is asked for. More do not stay in its cache,
# and memory for them is asked of the system anew each time, which can take as long as the products.
_NUMBERS = 2**18


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
        self._rows = max(1, _NUMBERS // (max(sizes[1:]) * (members or 1)))
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in pairwise(sizes):
            bound = 1 / math.sqrt(inputs)
            weight, bias = ((inputs, outputs), (1, outputs)) if members else ((outputs, inputs), (outputs,))
            for parameters, shape in ((self.weights, weight), (self.biases, bias)):
                whole = (members, *shape) if members else shape
                parameters.append(nn.Parameter(torch.empty(whole).uniform_(-bound, bound, generator=generator)))

    def forward(self, inputs: Tensor, frozen: bool = False, first: int | None = None) -> Tensor:
        """What the networks say of some rows.

        Args:
            inputs: float (N, D), or (K, N, D) with an input for each member.
            frozen: whether gradients go through to the inputs alone: an actor that maximises a critic must not move it.
            first: how many of the members are asked, from the first on; all if None.

        Returns:
            float (K, N, O), or (N, O) without members.
        """
        if inputs.shape[-2] > self._rows and inputs.device.type == "cpu" and not torch.is_grad_enabled():
            return torch.cat([self(rows, frozen, first) for rows in torch.split(inputs, self._rows, -2)], -2)
        members = self.members if first is None else first
        hidden = inputs if members is None or inputs.ndim == 3 else inputs.expand(members, *inputs.shape)
        last = len(self.weights) - 1
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            weight, bias = (weight.detach(), bias.detach()) if frozen else (weight, bias)
            weight, bias = (weight, bias) if first is None else (weight[:first], bias[:first])
            hidden = linear(hidden, weight, bias) if self.members is None else _batched(hidden, weight, bias)
            hidden = hidden if place == last else hidden.relu_()
        return hidden


def _batched(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A layer of each member: (K, N, I), (K, I, O) and (K, 1, O) to (K, N, O)."""
    if weight.shape[-1] == 1 and inputs.device.type == "cpu":
        # A processor's batched products with vectors take several times as long, both ways.
        return (inputs * weight.mT).sum(-1, keepdim=True) + bias
    return torch.baddbmm(bias, inputs, weight)


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

    def forward(
        self, observations: Tensor, actions: Tensor | None = None, frozen: bool = False, first: int | None = None
    ) -> Tensor:
        """Values of actions.

        Args:
            observations: float (N, D).
            actions: float (N, A), or (N, S, A) with S actions in each state; none where each action has a value.
            frozen: see :class:`Perceptrons`.
            first: likewise.

        Returns:
            float (K, N), (K, N, S), or (K, N, A) without ``actions``.
        """
        if actions is None:
            return cast("Tensor", self.network(observations, frozen, first))
        values = cast("Tensor", self.network(side_by_side(observations, actions), frozen, first))
        return values.reshape(-1, *actions.shape[:-1])

    @torch.no_grad()
    def best(self, observations: Tensor, candidates: Tensor) -> Tensor:
        """What the first critic values most.

        Args:
            observations: float (N, D).
            candidates: float (N, S, A).

        Returns:
            float (N, A).
        """
        chosen = self(observations, candidates, first=1)[0].argmax(1)
        return candidates[torch.arange(len(chosen), device=chosen.device), chosen]


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


def side_by_side(observations: Tensor, inputs: Tensor) -> Tensor:
    """States with what else a network is shown of each, as its rows.

    Args:
        observations: float (N, D).
        inputs: float (N, A), or (N, S, A) with S of each state.

    Returns:
        float (N, D + A), or (N S, D + A), the rows of a state one after the other.
    """
    if inputs.ndim == 2:
        return torch.cat([observations, inputs], -1)
    repeated = observations[:, None].expand(-1, inputs.shape[1], -1)
    return torch.cat([repeated, inputs], -1).flatten(0, 1)


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
