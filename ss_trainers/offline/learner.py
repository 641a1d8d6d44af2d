"""What the loop asks of an offline algorithm, and what it gives it to be made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from ss_trainers.offline.transitions import Spaces, TransitionBatch, Transitions

ExamplesT = TypeVar("ExamplesT", bound="Examples")


class Examples(Protocol):
    """What a log is to an algorithm: examples that are drawn by their places, all on the device."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def at(self, places: Tensor) -> Self:
        """Those in some places, int64 (B,)."""
        ...


@dataclass(frozen=True, slots=True)
class Setup:
    """What an algorithm is made of beside its own settings.

    Attributes:
        spaces: of the log.
        hidden: widths of the hidden layers.
        initial: where initial weights come from, on the processor.
        noise: where all other chance comes from, on the device.
        device: where it is trained.
    """

    spaces: Spaces
    hidden: tuple[int, ...]
    initial: torch.Generator
    noise: torch.Generator
    device: torch.device


class Actor(Protocol):
    """A policy in the middle of some episodes, which go on side by side."""

    def act(self, observations: Tensor) -> Tensor:
        """What to do next, greedily.

        Args:
            observations: float (N, D), scaled as in training.

        Returns:
            float (N, A) within [-1, 1], or int64 (N,).
        """
        ...

    def earned(self, rewards: Tensor) -> None:
        """What the last actions earned, float (N,), scaled as in training."""
        ...


class Learner(Protocol[ExamplesT]):
    """An algorithm with its networks.

    Attributes:
        modules: all networks by name, targets among them: what a checkpoint holds of the algorithm.
        optimizers: by name.
    """

    modules: nn.ModuleDict
    optimizers: Mapping[str, torch.optim.Optimizer]

    def examples(self, log: TransitionBatch, transitions: Transitions) -> ExamplesT:
        """What it learns from.

        Args:
            log: all steps, scaled, on the device.
            transitions: the same as they are in the log; with the ends of episodes.
        """
        ...

    def update(self, batch: ExamplesT, step: int) -> Mapping[str, Tensor]:
        """Takes one step, and tells how it went.

        Args:
            batch: what to learn from.
            step: updates before this one.

        Returns:
            metrics, scalars without gradient.
        """
        ...

    def actor(self, rows: int) -> Actor:
        """The policy at the beginning of so many episodes."""
        ...


class Memoryless:
    """An actor whose actions depend on what it sees alone.

    Args:
        choose: from observations, float (N, D), to actions.
    """

    def __init__(self, choose: Choose) -> None:
        self._choose = choose

    def act(self, observations: Tensor) -> Tensor:
        """What to do next."""
        return self._choose(observations)

    def earned(self, rewards: Tensor) -> None:
        """Nothing is made of it."""


class Choose(Protocol):
    """A function from observations to actions."""

    def __call__(self, observations: Tensor, /) -> Tensor:
        """What to do."""
        ...
