"""GRPO and Dr. GRPO: group-relative advantages under a clipped surrogate.

Shao et al. 2024, "DeepSeekMath", arXiv:2402.03300; Liu et al. 2025, "Understanding R1-Zero-Like
Training", arXiv:2503.20783.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ss_trainers.algorithms.checks import require_choice, require_max_length, require_not_negative
from ss_trainers.algorithms.parts import (
    AGGREGATIONS,
    ESTIMATORS,
    Aggregate,
    Aggregation,
    Clip,
    GroupRelative,
    ReferencePenalty,
)
from ss_trainers.algorithms.policy_optimization import PolicyOptimization
from ss_trainers.algorithms.settings import AlgorithmConfig


@dataclass(frozen=True, slots=True)
class GRPOConfig(AlgorithmConfig):
    """The loss of GRPO; what concerns rollouts, batches and the optimizer is in TrainingConfig.

    Attributes:
        clip_low: how far a token's ratio may fall below 1 before its gradient stops.
        clip_high: how far it may rise above 1; 0.28 is DAPO's "clip-higher".
        advantage_scale: ``"std"`` divides by the group's standard deviation, ``"none"`` does not.
        unbiased_std: use G - 1 instead of G in that standard deviation.
        std_floor: the least that deviations are divided by. Rewards of these environments carry
            penalties of a hundredth for length; without a floor they would be unit advantages in
            a group of successes.
        aggregation: how token losses become one number: ``"token_mean"`` (every token of the batch
            weighs the same), ``"sequence_mean"`` (every sequence does, as in the paper),
            ``"sequence_sum"`` (sequences weigh by their length) or ``"constant"`` (divide by
            B * max_length).
        max_length: the constant of ``"constant"``, in tokens.
        kl_coefficient: weight of the KL term against the reference policy; 0 leaves it out.
        kl_estimator: ``"k3"`` as in the paper, or ``"k2"``, whose gradient is that of
            KL(policy || reference). k1 is not offered: as a loss term its mean gradient is 0.
    """

    clip_low: float = 0.2
    clip_high: float = 0.2
    advantage_scale: Literal["std", "none"] = "std"
    unbiased_std: bool = False
    std_floor: float = 0.1
    aggregation: Aggregation = "token_mean"
    max_length: int | None = None
    kl_coefficient: float = 0.0
    kl_estimator: Literal["k2", "k3"] = "k3"

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        require_choice(self, advantage_scale=("std", "none"), aggregation=AGGREGATIONS, kl_estimator=ESTIMATORS)
        require_max_length(self)
        require_not_negative(self, "clip_low", "clip_high", "std_floor", "kl_coefficient")

    @classmethod
    def dr_grpo(cls, max_length: int) -> GRPOConfig:
        """Dr. GRPO: no division by the standard deviation, none by the sequence's length.

        Args:
            max_length: the most tokens that an agent may write in one episode.
        """
        return cls(advantage_scale="none", aggregation="constant", max_length=max_length)


class GRPO(PolicyOptimization):
    """Group-relative policy optimisation.

    Args:
        config: the loss.
    """

    name = "grpo"
    config_class = GRPOConfig

    def __init__(self, config: GRPOConfig | None = None) -> None:
        config = config or GRPOConfig()
        super().__init__(
            config,
            advantage=GroupRelative(config.advantage_scale, config.unbiased_std, config.std_floor),
            surrogate=Clip(config.clip_low, config.clip_high),
            aggregate=Aggregate(config.aggregation, config.max_length),
            penalty=ReferencePenalty(config.kl_coefficient, config.kl_estimator),
        )
