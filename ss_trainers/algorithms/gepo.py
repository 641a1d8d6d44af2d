"""GEPO: a sequence's probability over the one expected in its group, for samples of an older policy.

Zhang et al. 2025, "Group Expectation Policy Optimization", arXiv:2508.17850. (Another GEPO,
arXiv:2607.16850, is controlled by entropy and has nothing to do with it.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ss_trainers.algorithms.checks import require_between, require_choice, require_not_negative
from ss_trainers.algorithms.parts import (
    ESTIMATORS,
    Aggregate,
    GroupRelative,
    ReferencePenalty,
    Weighted,
    group_expectation_ratio,
)
from ss_trainers.algorithms.policy_optimization import PolicyOptimization
from ss_trainers.algorithms.settings import AlgorithmConfig
from ss_trainers.functional import ratios
from ss_trainers.types import TokenBatch


@dataclass(frozen=True, slots=True)
class GEPOConfig(AlgorithmConfig):
    """The loss of GEPO.

    Attributes:
        ratio_cap: weights above it count as much and have no gradient; none if None, as in the paper. A
            clip around 1 would cut what the policy itself sampled: its weights are not 1.
        advantage_scale: ``"none"`` as in the paper, or ``"std"`` to divide by the group's standard deviation.
        std_floor: the least that deviations are divided by; see ``GRPOConfig``.
        kl_coefficient: weight of the KL term against the reference policy; 0.005 was best in the paper.
        kl_estimator: ``"k3"`` or ``"k2"``; see ``GRPOConfig``.
    """

    ratio_cap: float | None = None
    advantage_scale: Literal["std", "none"] = "none"
    std_floor: float = 0.1
    kl_coefficient: float = 0.0
    kl_estimator: Literal["k2", "k3"] = "k3"

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        require_choice(self, advantage_scale=("std", "none"), kl_estimator=ESTIMATORS)
        require_not_negative(self, "std_floor", "kl_coefficient")
        require_between(self, 1.0, float("inf"), "ratio_cap")


class GEPO(PolicyOptimization):
    """Group expectation policy optimisation.

    Args:
        config: the loss.
    """

    name = "gepo"
    config_class = GEPOConfig

    def __init__(self, config: GEPOConfig | None = None) -> None:
        config = config or GEPOConfig()
        super().__init__(
            config,
            advantage=GroupRelative(config.advantage_scale, std_floor=config.std_floor),
            ratio=group_expectation_ratio,
            surrogate=Weighted(config.ratio_cap),
            aggregate=Aggregate("sequence_mean"),
            penalty=ReferencePenalty(config.kl_coefficient, config.kl_estimator),
        )

    def prepare(self, batch: TokenBatch) -> TokenBatch:
        """The batch with advantages and what each row's probability is divided by."""
        expected = ratios.log_group_expectation(batch.initial_logprobs, batch.action_mask, batch.group_ids)
        return super().prepare(replace(batch, log_expectations=expected))
