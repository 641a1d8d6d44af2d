"""What the loop asks of an offline algorithm, and what it gives it to be made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from ss_trainers.offline.transitions import Spaces, TransitionBatch, Transitions

BatchT = TypeVar("BatchT")
BatchT_co = TypeVar("BatchT_co", covariant=True)
BatchT_contra = TypeVar("BatchT_contra", contravariant=True)


class Examples(Protocol[BatchT_co]):
    """What a log is to an algorithm: examples that have places, all on the device."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def batches(self, order: Tensor, size: int) -> Iterator[BatchT_co]:
        """Examples one batch after the other.

        Args:
            order: int64 (N,), their places.
            size: of a batch; the last one has those that are left.
        """
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
        reward_scale: what rewards of the log were multiplied by, for settings that are in their units.
    """

    spaces: Spaces
    hidden: tuple[int, ...]
    initial: torch.Generator
    noise: torch.Generator
    device: torch.device
    reward_scale: float = 1.0


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


class Updating(Protocol[BatchT_contra]):
    """What learns.

    Attributes:
        modules: all networks by name, targets among them: what a checkpoint holds of it.
    """

    modules: nn.ModuleDict

    @property
    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        """All of them by name."""
        ...

    def update(self, batch: BatchT_contra, step: int) -> Mapping[str, Tensor]:
        """Takes one step, and tells how it went.

        Args:
            batch: what to learn from.
            step: updates before this one.

        Returns:
            metrics, scalars without gradient.
        """
        ...


class Learner(Updating[BatchT], Protocol[BatchT]):
    """An algorithm of numeric environments with its networks."""

    def examples(self, log: TransitionBatch, transitions: Transitions) -> Examples[BatchT]:
        """What it learns from.

        Args:
            log: all steps, scaled, on the device.
            transitions: the same as they are in the log; with the ends of episodes.
        """
        ...

    def actor(self, rows: int) -> Actor:
        """The policy at the beginning of so many episodes."""
        ...


@runtime_checkable
class ReturnConditioned(Protocol):
    """An algorithm whose policy is asked for a return, as an algorithm may be beside what all are."""

    def actor_towards(self, target_return: float, rows: int) -> Actor:
        """The policy at the beginning of episodes.

        Args:
            target_return: what is to be earned in each, in units of scaled rewards.
            rows: how many there are.
        """
        ...


@runtime_checkable
class Forewarning(Protocol):
    """An algorithm that knows beforehand of runs which are too short, as an algorithm may be beside what all are."""

    def too_short(self, updates: int) -> str | None:
        """What a run never comes to.

        Args:
            updates: of the whole run.

        Returns:
            a sentence that says what it misses and what to change, or None if it misses nothing.
        """
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
