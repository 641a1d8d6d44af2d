"""Settings of offline training: what all algorithms have, and the engine's."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ss_trainers.algorithms.checks import require_between


@dataclass(frozen=True, slots=True)
class OfflineConfig:
    """What all offline algorithms have.

    Attributes:
        hidden_dim: width of each hidden layer.
        num_epochs: how often the log is gone through.
        learning_rate: Adam's.
        gamma: discount of a step.
    """

    hidden_dim: int = 256
    num_epochs: int = 100
    learning_rate: float = 3e-4
    gamma: float = 0.99

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        require_between(self, 1, math.inf, "hidden_dim", "num_epochs")
        require_between(self, 0, 1, "gamma")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"{type(self).__name__}.learning_rate must be positive, not {self.learning_rate}")


@dataclass(frozen=True, slots=True)
class OfflineTraining:
    """The engine: batches, the order of the log, logs and checkpoints.

    Attributes:
        batch_size: steps of the log that an update learns from. A log that is smaller is one batch, and what is left at
            the end of an epoch is a batch of its own.
        hidden_layers: how many hidden layers networks have.
        max_updates: updates after which training ends, if the epochs are not done before.
        normalize_observations: shift and scale each component by the log's mean and standard deviation.
        reward_scale: what rewards are multiplied by.
        report_every: updates whose metrics are averaged into one line; in the first one of a run that was interrupted,
            and goes on, fewer.
        save_every: updates from one checkpoint to the next; without, there is one at the end alone.
        output_dir: folder of metrics and checkpoints; nothing is written if None.
        device: where it is trained; the whole log is kept there.
        seed: of the initial weights, the order and all noise.
    """

    batch_size: int = 256
    hidden_layers: int = 2
    max_updates: int | None = None
    normalize_observations: bool = True
    reward_scale: float = 1.0
    report_every: int = 500
    save_every: int | None = None
    output_dir: str | None = None
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        require_between(self, 1, math.inf, "batch_size", "max_updates", "report_every", "save_every")
        require_between(self, 0, math.inf, "hidden_layers")
        if not math.isfinite(self.reward_scale) or self.reward_scale == 0:
            raise ValueError(f"OfflineTraining.reward_scale must be a number other than 0, not {self.reward_scale}")


def hidden_sizes(config: OfflineConfig, training: OfflineTraining) -> tuple[int, ...]:
    """Widths of the hidden layers."""
    return (config.hidden_dim,) * training.hidden_layers
