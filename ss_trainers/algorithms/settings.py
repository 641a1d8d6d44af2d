"""What the configs of all algorithms have: a way from an engine's settings to a whole run's."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Generic, Self, TypeVar

from ss_trainers.config import TrainingConfig, config_from_mapping

ConfigT = TypeVar("ConfigT", bound="AlgorithmConfig")


@dataclass(frozen=True, slots=True)
class AlgorithmConfig:
    """Settings of an algorithm: what is minimised. What concerns rollouts and batches is in TrainingConfig."""

    @classmethod
    def from_training_config(cls, base: TrainingConfig, **changes: Any) -> Recipe[Self]:
        """Settings of this algorithm together with those of the engine.

        Args:
            base: the engine's.
            **changes: settings of either, by name; also ``num_outer_iterations`` for ``iterations``, and
                ``num_episodes``.

        Raises:
            ValueError: for an unknown setting, or a value that is wrong.
        """
        own = {entry.name for entry in fields(cls)}
        config = config_from_mapping(cls, {name: value for name, value in changes.items() if name in own})
        rest = {name: value for name, value in changes.items() if name not in own}
        return Recipe(config, base.changed(**rest))


@dataclass(frozen=True, slots=True)
class Recipe(Generic[ConfigT]):
    """A whole run: the algorithm's settings and the engine's.

    Attributes:
        config: what is minimised.
        training: rollouts, batches, optimizer.
    """

    config: ConfigT
    training: TrainingConfig
