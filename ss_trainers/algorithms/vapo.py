"""VAPO: a critic that is trained first, factors of its own for policy and critic, and imitation of what succeeded.

Yue et al. 2025, "VAPO: Efficient and Reliable Reinforcement Learning for Advanced Reasoning Tasks",
arXiv:2504.05118. Its seventh part, many attempts at a scenario, is the group size of TrainingConfig.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ss_trainers.algorithms.actor_critic import ActorCritic, CriticSettings
from ss_trainers.algorithms.checks import require_between, require_not_negative
from ss_trainers.algorithms.parts import Clip
from ss_trainers.algorithms.settings import AlgorithmConfig
from ss_trainers.functional import advantages, aggregation
from ss_trainers.types import BatchCounts, LossOutput, TokenBatch


@dataclass(frozen=True, slots=True)
class VAPOConfig(AlgorithmConfig):
    """The loss of VAPO.

    Attributes:
        clip_low: how far a token's ratio may fall below 1 before its gradient stops.
        clip_high: how far it may rise above 1.
        critic_iterations: iterations at the beginning in which the critic alone is trained; 50 in the paper.
        critic_lambda: of the critic's targets: 1 makes them returns.
        length_alpha: tokens' share over which the policy's advantages look ahead; see
            :func:`ss_trainers.functional.advantages.length_adaptive_lambda`.
        least_lambda: the least factor of that, for short replies.
        imitation_coefficient: weight of the log-likelihood of the rows in which the task was done; there
            are none where the environment does not tell.
        normalize_advantages: give them mean 0 and standard deviation 1 in each batch.
        value_clip: how far a value may move before its gradient stops; no bound if None.
        value_coefficient: weight of the critic's loss.
    """

    clip_low: float = 0.2
    clip_high: float = 0.28
    critic_iterations: int = 2
    critic_lambda: float = 1.0
    length_alpha: float = 0.05
    least_lambda: float = 0.0
    imitation_coefficient: float = 0.1
    normalize_advantages: bool = True
    value_clip: float | None = None
    value_coefficient: float = 0.5

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        require_not_negative(self, "clip_low", "clip_high", "critic_iterations", "imitation_coefficient", "value_clip")
        require_not_negative(self, "value_coefficient")
        require_between(self, 0.0, 1.0, "critic_lambda", "least_lambda", "length_alpha")
        if not self.length_alpha > 0:
            raise ValueError("VAPOConfig.length_alpha must be positive")


class VAPO(ActorCritic):
    """Value-based augmented proximal policy optimisation.

    Args:
        config: the loss.
    """

    name = "vapo"
    config_class = VAPOConfig

    def __init__(self, config: VAPOConfig | None = None) -> None:
        config = config or VAPOConfig()
        super().__init__(
            config,
            critic=CriticSettings(
                actor_lambda=AdaptiveLambda(config.length_alpha, config.least_lambda),
                critic_lambda=config.critic_lambda,
                normalize=config.normalize_advantages,
                value_clip=config.value_clip,
                value_coefficient=config.value_coefficient,
            ),
            surrogate=Clip(config.clip_low, config.clip_high),
            critic_iterations=config.critic_iterations,
        )

    def loss(
        self,
        batch: TokenBatch,
        logprobs: Tensor | None,
        counts: BatchCounts | None = None,
        values: Tensor | None = None,
    ) -> LossOutput:
        """That of the policy and the critic, and minus the log-likelihood of what succeeded."""
        counts = counts or BatchCounts.of(batch)
        output = super().loss(batch, logprobs, counts, values)
        if logprobs is None or batch.successes is None or not self.config.imitation_coefficient:
            return output
        succeeded = batch.action_mask & batch.successes[:, None]
        unlikely = -aggregation.token_mean(logprobs, succeeded, counts.successful_tokens)
        metrics = {**output.metrics, "imitation_loss": unlikely.item()}
        return replace(output, loss=output.loss + self.config.imitation_coefficient * unlikely, metrics=metrics)


@dataclass(frozen=True, slots=True)
class AdaptiveLambda:
    """The factor of each row by its number of action tokens.

    Attributes:
        alpha: see :func:`ss_trainers.functional.advantages.length_adaptive_lambda`.
        least: likewise.
    """

    alpha: float
    least: float

    def __call__(self, lengths: Tensor) -> Tensor:
        """Float64 (B,)."""
        factors: Tensor = advantages.length_adaptive_lambda(lengths, self.alpha, self.least)
        return factors.to(torch.float64)
