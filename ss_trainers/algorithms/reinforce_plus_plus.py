"""REINFORCE++: returns-to-go of every token, whitened over the whole batch; no group is needed.

Hu et al. 2025, "REINFORCE++", arXiv:2501.03262.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ss_trainers.algorithms.checks import require_not_negative
from ss_trainers.algorithms.parts import Clip, token_rewards
from ss_trainers.algorithms.policy_optimization import PolicyOptimization
from ss_trainers.algorithms.settings import AlgorithmConfig
from ss_trainers.functional import advantages, turns
from ss_trainers.types import TokenBatch


@dataclass(frozen=True, slots=True)
class ReinforcePlusPlusConfig(AlgorithmConfig):
    """The loss of REINFORCE++.

    Attributes:
        clip_low: how far a token's ratio may fall below 1 before its gradient stops.
        clip_high: how far it may rise above 1.
        baseline: subtract the mean return of the group first: "REINFORCE++-baseline".
        std_floor: the least standard deviation that is divided by.
        kl_coefficient: price of each token, in its reward, of being likelier than under the reference, per nat.
    """

    clip_low: float = 0.2
    clip_high: float = 0.2
    baseline: bool = False
    std_floor: float = 1e-6
    kl_coefficient: float = 0.0

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        require_not_negative(self, "clip_low", "clip_high", "std_floor", "kl_coefficient")


class ReinforcePlusPlus(PolicyOptimization):
    """REINFORCE with rewards of tokens and a global normalisation.

    Args:
        config: the loss.
    """

    name = "reinforce_plus_plus"
    mixes_groups = True
    config_class = ReinforcePlusPlusConfig

    def __init__(self, config: ReinforcePlusPlusConfig | None = None) -> None:
        config = config or ReinforcePlusPlusConfig()
        super().__init__(
            config,
            advantage=WhitenedReturns(config.baseline, config.std_floor, config.kl_coefficient),
            surrogate=Clip(config.clip_low, config.clip_high),
        )

    @property
    def needs_reference(self) -> bool:
        """Whether rewards have a price in them."""
        return bool(self.config.kl_coefficient > 0)


@dataclass(frozen=True, slots=True)
class WhitenedReturns:
    """Returns-to-go of tokens over the batch's mean and standard deviation.

    Attributes:
        baseline: less the mean return of the row's group.
        std_floor: the least that is divided by.
        kl_coefficient: see :func:`ss_trainers.algorithms.parts.token_rewards`.
    """

    baseline: bool
    std_floor: float
    kl_coefficient: float

    def __call__(self, batch: TokenBatch) -> Tensor:
        """(B, T), 0 outside the action mask."""
        rewards = token_rewards(batch, self.kl_coefficient)
        if self.baseline:
            # The group's mean is paid back at the end of each row, where its last reward lies.
            deviation = advantages.group_relative(batch.returns, batch.group_ids, scale="none")
            mean = (batch.returns - deviation).to(rewards.dtype)
            last = batch.turn_mask.sum(1, keepdim=True) - 1
            at_end = batch.turn_rewards.new_zeros(batch.turn_rewards.shape, dtype=rewards.dtype)
            at_end = at_end.scatter(1, last.clamp(min=0), mean[:, None])
            rewards = rewards - turns.to_last_tokens(at_end, batch.turn_ids)
        return advantages.reinforce_plus_plus(rewards, batch.action_mask, self.std_floor)
