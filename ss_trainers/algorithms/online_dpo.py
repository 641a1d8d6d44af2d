"""Online DPO: the best and the worst attempt at a scenario as a pair, from the policy itself.

Guo et al. 2024, "Direct Language Model Alignment from Online AI Feedback", arXiv:2402.04792; Rafailov et al. 2023,
"Direct Preference Optimization", arXiv:2305.18290. A judge that rewards what was said, or any other reward, says
which attempt is better.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ss_trainers.algorithms.checks import require_not_negative
from ss_trainers.algorithms.parts import Aggregate, LogLikelihood, on_actions, reference_distance
from ss_trainers.algorithms.policy_optimization import PolicyOptimization
from ss_trainers.algorithms.settings import AlgorithmConfig
from ss_trainers.functional import advantages, preferences
from ss_trainers.types import TokenBatch


@dataclass(frozen=True, slots=True)
class OnlineDPOConfig(AlgorithmConfig):
    """The loss of online DPO.

    Attributes:
        beta: how far the policy is held to the reference.
    """

    beta: float = 0.1

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        require_not_negative(self, "beta")


class OnlineDPO(PolicyOptimization):
    """Direct preference optimisation of pairs that the policy has just played.

    The gradient of a pair's loss is that of the two log-probabilities, weighed by how little the policy
    prefers the better one. That weight is computed at the start of an update: take one step on each batch.

    Args:
        config: the loss.
    """

    name = "online_dpo"
    mixes_groups = True
    config_class = OnlineDPOConfig
    needs_reference = True

    def __init__(self, config: OnlineDPOConfig | None = None) -> None:
        config = config or OnlineDPOConfig()
        super().__init__(
            config, advantage=PairWeights(config.beta), surrogate=LogLikelihood(), aggregate=Aggregate("sequence_sum")
        )


@dataclass(frozen=True, slots=True)
class PairWeights:
    """The weight of each group's pair on the action tokens of the better attempt, and minus it on the worse.

    Attributes:
        beta: see ``OnlineDPOConfig``.
    """

    beta: float

    def __call__(self, batch: TokenBatch) -> Tensor:
        """(B, T), 0 outside the pairs."""
        chosen = advantages.best_of_group(batch.returns, batch.group_ids)
        rejected = advantages.best_of_group(-batch.returns, batch.group_ids)
        gone = reference_distance(batch).sum(1)
        # Both have one row for each group that tells its attempts apart.
        _, group = torch.unique(batch.group_ids, return_inverse=True)
        margin = gone.new_zeros(len(gone)).index_add_(0, group[chosen], gone[chosen])
        margin = margin.index_add_(0, group[rejected], -gone[rejected])
        weight = preferences.direct_preference_weight(margin, self.beta)[group]
        return on_actions(weight * chosen - weight * rejected, batch)
