"""GSPO and GSPO-token: the ratio of whole sequences under a narrow clip.

Zheng et al. 2025, "Group Sequence Policy Optimization", arXiv:2507.18071.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ss_trainers.algorithms.checks import require_choice, require_not_negative
from ss_trainers.algorithms.parts import (
    ESTIMATORS,
    Aggregate,
    Clip,
    GroupRelative,
    ReferencePenalty,
    sequence_ratio,
    sequence_token_ratio,
)
from ss_trainers.algorithms.policy_optimization import PolicyOptimization
from ss_trainers.algorithms.settings import AlgorithmConfig


@dataclass(frozen=True, slots=True)
class GSPOConfig(AlgorithmConfig):
    """The loss of GSPO.

    Attributes:
        clip_low: how far a sequence's ratio may fall below 1 before its gradient stops. The ratio is a
            mean over tokens, so that it moves little: bounds of the size of PPO's never act.
        clip_high: how far it may rise above 1.
        level: ``"sequence"``, or ``"token"``: the same value, with a gradient for each token that takes
            advantages which differ within a sequence.
        advantage_scale: ``"std"`` divides by the group's standard deviation, ``"none"`` does not.
        std_floor: the least that deviations are divided by; see ``GRPOConfig``.
        kl_coefficient: weight of the KL term against the reference policy; 0 leaves it out.
        kl_estimator: ``"k3"`` or ``"k2"``; see ``GRPOConfig``.
    """

    clip_low: float = 3e-4
    clip_high: float = 4e-4
    level: Literal["sequence", "token"] = "sequence"
    advantage_scale: Literal["std", "none"] = "std"
    std_floor: float = 0.1
    kl_coefficient: float = 0.0
    kl_estimator: Literal["k2", "k3"] = "k3"

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        require_choice(self, level=("sequence", "token"), advantage_scale=("std", "none"), kl_estimator=ESTIMATORS)
        require_not_negative(self, "clip_low", "clip_high", "std_floor", "kl_coefficient")


class GSPO(PolicyOptimization):
    """Group sequence policy optimisation.

    Args:
        config: the loss.
    """

    name = "gspo"
    config_class = GSPOConfig

    def __init__(self, config: GSPOConfig | None = None) -> None:
        config = config or GSPOConfig()
        super().__init__(
            config,
            advantage=GroupRelative(config.advantage_scale, std_floor=config.std_floor),
            ratio=sequence_ratio if config.level == "sequence" else sequence_token_ratio,
            surrogate=Clip(config.clip_low, config.clip_high),
            aggregate=Aggregate("sequence_mean"),
            penalty=ReferencePenalty(config.kl_coefficient, config.kl_estimator),
        )
