"""CISPO: importance weights are capped, and no token loses its gradient.

MiniMax 2025, "MiniMax-M1", arXiv:2506.13585, section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ss_trainers.algorithms.checks import require_between, require_choice, require_not_negative
from ss_trainers.algorithms.parts import CappedGradient, GroupRelative
from ss_trainers.algorithms.policy_optimization import PolicyOptimization
from ss_trainers.algorithms.settings import AlgorithmConfig


@dataclass(frozen=True, slots=True)
class CISPOConfig(AlgorithmConfig):
    """The loss of CISPO.

    Attributes:
        ratio_cap: the greatest weight of a token, absolute: the paper's 1 + epsilon.
        advantage_scale: ``"std"`` divides by the group's standard deviation, ``"none"`` does not.
        std_floor: the least that deviations are divided by; see ``GRPOConfig``.
    """

    ratio_cap: float = 5.0
    advantage_scale: Literal["std", "none"] = "std"
    std_floor: float = 0.1

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        require_choice(self, advantage_scale=("std", "none"))
        require_not_negative(self, "std_floor")
        require_between(self, 1.0, float("inf"), "ratio_cap")


class CISPO(PolicyOptimization):
    """Clipped importance-sampling policy optimisation.

    Args:
        config: the loss.
    """

    name = "cispo"
    config_class = CISPOConfig

    def __init__(self, config: CISPOConfig | None = None) -> None:
        config = config or CISPOConfig()
        super().__init__(
            config,
            advantage=GroupRelative(config.advantage_scale, std_floor=config.std_floor),
            surrogate=CappedGradient(config.ratio_cap),
        )
