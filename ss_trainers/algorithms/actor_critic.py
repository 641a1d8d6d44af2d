"""Algorithms with a critic: what it foresees is the baseline of the policy, and what came is its target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from ss_trainers.algorithms.parts import Clip, reference_distance, token_rewards
from ss_trainers.algorithms.policy_optimization import PolicyOptimization
from ss_trainers.functional import advantages, aggregation, turns, values
from ss_trainers.types import BatchCounts, LossOutput, TokenBatch

# The factor lambda of generalised advantage estimation: one number, or one for each row's action tokens.
Lambda = float | Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class CriticSettings:
    """How values are learnt and used.

    Attributes:
        gamma: discount from one action to the next.
        actor_lambda: of the policy's advantages.
        critic_lambda: of the critic's targets.
        level: actions are ``"token"``s, or ``"turn"``s: one value where a turn begins, one advantage for all
            of its tokens.
        normalize: give the advantages of a batch mean 0 and standard deviation 1.
        value_clip: see :func:`ss_trainers.functional.values.clipped_value_loss`.
        value_coefficient: weight of the critic's loss.
    """

    gamma: float = 1.0
    actor_lambda: Lambda = 0.95
    critic_lambda: float = 0.95
    level: Literal["token", "turn"] = "token"
    normalize: bool = True
    value_clip: float | None = 0.2
    value_coefficient: float = 0.5


class ActorCritic(PolicyOptimization):
    """A clipped surrogate of advantages that a critic's values give.

    Args:
        config: the frozen dataclass of the algorithm's settings.
        critic: how values are learnt and used.
        surrogate: see :class:`PolicyOptimization`.
        kl_coefficient: price of each token, in its reward, of being likelier than under the reference.
        critic_iterations: iterations at the beginning in which the critic alone is trained.

    Attributes:
        kl_coefficient: as above; it may be adapted.
    """

    needs_critic = True

    def __init__(
        self,
        config: Any,
        *,
        critic: CriticSettings,
        surrogate: Clip,
        kl_coefficient: float = 0.0,
        critic_iterations: int = 0,
    ) -> None:
        super().__init__(config, advantage=_unknown, surrogate=surrogate)
        self._critic = critic
        self.kl_coefficient = kl_coefficient
        self.critic_iterations = critic_iterations

    @property
    def needs_reference(self) -> bool:
        """Whether rewards have a price in them."""
        return self.kl_coefficient > 0

    def worth_training(self, batch: TokenBatch) -> Tensor:
        """All rows: the critic learns from each."""
        return torch.ones_like(batch.returns, dtype=torch.bool)

    def prepare(self, batch: TokenBatch) -> TokenBatch:
        """The batch with advantages and targets of values.

        Raises:
            ValueError: the batch lacks values, or reference log-probabilities that the price needs.
        """
        if batch.values is None:
            raise ValueError(f"{type(self).__name__} needs batch.values: score the batch with the critic")
        by_token = self._critic.level == "token"
        batch = (self._prepare_tokens if by_token else self._prepare_turns)(batch, batch.values)
        assert batch.advantages is not None
        if not self._critic.normalize:
            return batch
        return replace(batch, advantages=advantages.whiten(batch.advantages, batch.action_mask))

    def _prepare_tokens(self, batch: TokenBatch, foreseen: Tensor) -> TokenBatch:
        mask = batch.action_mask
        rewards = token_rewards(batch, self.kl_coefficient)
        gained, target = self._estimates(rewards, foreseen, mask, mask.sum(1))
        return replace(batch, advantages=gained, value_targets=target, value_mask=mask)

    def _prepare_turns(self, batch: TokenBatch, foreseen: Tensor) -> TokenBatch:
        rewards, count = batch.turn_rewards.to(foreseen.dtype), batch.turn_rewards.shape[1]
        if self.kl_coefficient:
            price = torch.zeros_like(rewards).scatter_add(1, batch.turn_ids.clamp(min=0), reference_distance(batch))
            rewards = rewards - self.kl_coefficient * price
        at_begin = turns.at_first_tokens(foreseen, batch.turn_ids, count)
        gained, target = self._estimates(rewards, at_begin, batch.turn_mask, batch.turn_mask.sum(1))
        return replace(
            batch,
            advantages=turns.to_tokens(gained, batch.turn_ids),
            value_targets=turns.to_tokens(target, batch.turn_ids),
            value_mask=turns.is_first_token(batch.turn_ids),
        )

    def _estimates(self, rewards: Tensor, foreseen: Tensor, mask: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Advantages of the policy, and targets of the critic, of tokens or turns."""
        critic = self._critic
        factor = critic.actor_lambda
        lam = factor(lengths).to(foreseen.dtype) if callable(factor) else factor
        estimate = advantages.generalized_advantage_estimation
        gained = estimate(rewards, foreseen, mask, critic.gamma, lam)
        ahead = estimate(rewards, foreseen, mask, critic.gamma, critic.critic_lambda)
        return gained, torch.where(mask, ahead + foreseen, 0.0)

    def loss(
        self,
        batch: TokenBatch,
        logprobs: Tensor | None,
        counts: BatchCounts | None = None,
        values: Tensor | None = None,
    ) -> LossOutput:
        """The loss of a micro-batch: the policy's and the critic's, which have no parameters in common.

        Args:
            batch: after ``prepare``.
            logprobs: float (B, T), differentiable; None leaves the policy's part out.
            counts: of the batch that this one was cut from; None if it was not cut.
            values: float (B, T), differentiable; None leaves the critic's part out.

        Raises:
            ValueError: the batch lacks advantages or targets.
        """
        counts = counts or BatchCounts.of(batch)
        output = None if logprobs is None else super().loss(batch, logprobs, counts)
        if values is None:
            return output or LossOutput(batch.behavior_logprobs.sum() * 0, {})
        ahead = self._value_loss(batch, values, counts)
        metrics = {**(output.metrics if output else {}), "value_loss": ahead.item()}
        ahead = self._critic.value_coefficient * ahead
        return LossOutput(ahead if output is None else output.loss + ahead, metrics)

    def _value_loss(self, batch: TokenBatch, foreseen: Tensor, counts: BatchCounts) -> Tensor:
        if batch.value_targets is None or batch.value_mask is None or batch.values is None:
            raise ValueError(f"the batch has no targets of values: call {type(self).__name__}.prepare on the whole")
        errors = values.clipped_value_loss(foreseen, batch.values, batch.value_targets, self._critic.value_clip)
        return aggregation.token_mean(errors, batch.value_mask, counts.values)


def _unknown(batch: TokenBatch) -> Tensor:
    raise AssertionError("an actor-critic's advantages come with its targets")
