"""A control: any algorithm whose outcomes are dealt out among the attempts at random.

What a run gains with it is not learnt from the reward.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from ss_trainers.algorithms.settings import AlgorithmConfig
from ss_trainers.algorithms.wrapping import Wrapping
from ss_trainers.types import TokenBatch


@dataclass(frozen=True, slots=True)
class ShuffledConfig(AlgorithmConfig):
    """How outcomes are dealt out.

    Attributes:
        algorithm: the name of the algorithm that is run with them; without dynamic sampling.
        settings: its config, by name of the setting.
        seed: of the dealing.
    """

    algorithm: str = "grpo"
    settings: dict[str, Any] | None = None
    seed: int = 0


class Shuffled(Wrapping):
    """Another algorithm, with the outcomes of other attempts.

    Args:
        config: which algorithm, and how they are dealt out.
    """

    name = "shuffled"
    mixes_groups = True
    config_class = ShuffledConfig

    def __init__(self, config: ShuffledConfig | None = None) -> None:
        config = config or ShuffledConfig()
        super().__init__(config, config.algorithm, config.settings)
        if self.sampling_rounds > 1:
            raise ValueError("outcomes decide what dynamic sampling keeps: set sampling_rounds to 1 to shuffle them")
        self._dealt = 0

    def prepare(self, batch: TokenBatch) -> TokenBatch:
        """The batch with outcomes of other attempts, all of them earned by the last turn."""
        # A generator of its own for each batch: one that is kept can't be sent to a worker process.
        generator = torch.Generator().manual_seed(10_000 * self.config.seed + self._dealt)
        order = torch.randperm(len(batch), generator=generator).to(batch.returns.device)
        returns = batch.returns[order]
        last = (batch.turn_mask.sum(1, keepdim=True) - 1).clamp(min=0)
        rewards = torch.zeros_like(batch.turn_rewards).scatter(1, last, returns[:, None])
        successes = None if batch.successes is None else batch.successes[order]
        return super().prepare(replace(batch, returns=returns, turn_rewards=rewards, successes=successes))

    def observe(self, metrics: Mapping[str, float]) -> None:
        """Tells the algorithm; the next iteration has another dealing, and one that is repeated the same."""
        self._dealt += 1
        super().observe(metrics)

    def state(self) -> dict[str, float]:
        """The algorithm's, and how often outcomes were dealt out."""
        return {**super().state(), "dealt": float(self._dealt)}

    def restore(self, state: Mapping[str, float]) -> None:
        """Takes up the state of a checkpoint."""
        self._dealt = int(state["dealt"])
        super().restore(state)
