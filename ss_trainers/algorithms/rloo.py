"""RLOO: REINFORCE with the other attempts at the same scenario as baseline.

Ahmadian et al. 2024, "Back to Basics", arXiv:2402.14740.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from ss_trainers.algorithms.checks import require_choice, require_max_length, require_not_negative
from ss_trainers.algorithms.parts import AGGREGATIONS, Aggregate, Aggregation, Clip, on_actions, reference_distance
from ss_trainers.algorithms.policy_optimization import PolicyOptimization
from ss_trainers.algorithms.settings import AlgorithmConfig
from ss_trainers.functional import advantages
from ss_trainers.types import TokenBatch


@dataclass(frozen=True, slots=True)
class RLOOConfig(AlgorithmConfig):
    """The loss of RLOO.

    Attributes:
        clip_low: how far a token's ratio may fall below 1 before its gradient stops. On the policy's own
            samples nothing is clipped and the gradient is REINFORCE's, as in the paper.
        clip_high: how far it may rise above 1.
        aggregation: see ``GRPOConfig``; ``"sequence_sum"`` is the gradient of whole replies, as in the paper.
        max_length: the constant of ``"constant"``, in tokens.
        kl_coefficient: price, in the reward, of each nat by which a reply is likelier than under the reference.
    """

    clip_low: float = 0.2
    clip_high: float = 0.2
    aggregation: Aggregation = "sequence_sum"
    max_length: int | None = None
    kl_coefficient: float = 0.0

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        require_choice(self, aggregation=AGGREGATIONS)
        require_max_length(self)
        require_not_negative(self, "clip_low", "clip_high", "kl_coefficient")


class RLOO(PolicyOptimization):
    """REINFORCE with a leave-one-out baseline.

    Args:
        config: the loss.
    """

    name = "rloo"
    config_class = RLOOConfig

    def __init__(self, config: RLOOConfig | None = None) -> None:
        config = config or RLOOConfig()
        super().__init__(
            config,
            advantage=LeaveOneOut(),
            surrogate=Clip(config.clip_low, config.clip_high),
            aggregate=Aggregate(config.aggregation, config.max_length),
        )

    @property
    def needs_reference(self) -> bool:
        """Whether the reward has a price in it."""
        return bool(self.config.kl_coefficient > 0)

    def prepare(self, batch: TokenBatch) -> TokenBatch:
        """The batch with returns less the price, and advantages."""
        if self.needs_reference:
            price = self.config.kl_coefficient * reference_distance(batch).sum(1)
            batch = replace(batch, returns=batch.returns - price.to(batch.returns.dtype))
        return super().prepare(batch)


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """A row's return less the mean of the others in its group, on all of its action tokens."""

    def __call__(self, batch: TokenBatch) -> Tensor:
        """(B, T), 0 outside the action mask."""
        return on_actions(advantages.leave_one_out(batch.returns, batch.group_ids), batch)
