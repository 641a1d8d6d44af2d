"""What all algorithms that follow a policy gradient have in common: advantage, ratio, surrogate, aggregation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ss_gym.types import MultiTurnTrajectory
from ss_trainers.algorithms.parts import Advantage, Aggregate, Ratio, ReferencePenalty, Surrogate, token_ratio
from ss_trainers.functional import aggregation
from ss_trainers.types import BatchCounts, LossOutput, TokenBatch

if TYPE_CHECKING:
    from ss_trainers.chat import ChatFormat


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What an algorithm made of episodes before they become a batch.

    Attributes:
        trajectories: what is learnt from.
        metrics: what there is to tell of it.
        logged: what is learnt from beside it, which others played before; with negative group ids.
    """

    trajectories: tuple[MultiTurnTrajectory, ...]
    metrics: Mapping[str, float] = field(default_factory=dict)
    logged: tuple[MultiTurnTrajectory, ...] = ()


class PolicyOptimization:
    """A composition: ``aggregate(surrogate(ratio, advantage))``, and what leaving the reference costs.

    ``prepare`` needs whole groups, so it is called on the whole batch; ``loss`` is called on
    micro-batches, and their results add up.

    Args:
        config: the frozen dataclass of the algorithm's settings.
        advantage: of every token of a whole batch.
        surrogate: what is maximised for each token.
        ratio: of the policy now and at the start of the update.
        aggregate: how tokens become one number.
        penalty: in the loss, for leaving the reference.

    Raises:
        TypeError: if the config is another algorithm's.

    Attributes:
        config: as above.
        name: of the algorithm, in checkpoints and on the command line; each subclass has its own.
        config_class: of its config; likewise.
        needs_critic: whether ``prepare`` reads ``batch.values``.
        critic_iterations: iterations at the beginning in which the critic alone is trained.
        sampling_rounds: how often scenarios are played, at most, until enough of them are kept.
        mixes_groups: whether a row's advantage depends on rows of other groups, or on a partner that it would be
            replayed without.
        imitates: whether what is learnt was said by others. Its log-probability is then not the policy's, and
            nothing is weighed by it.
        demonstrator: the agent that plays in training, by name; the policy itself if None. See
            :func:`ss_trainers.demonstrations.load_demonstrator`.
    """

    demonstrator: str | None = None
    mixes_groups = False
    imitates = False
    needs_critic = False
    critic_iterations = 0
    sampling_rounds = 1
    name: ClassVar[str]
    config_class: ClassVar[type[Any]]

    def __init__(
        self,
        config: Any,
        *,
        advantage: Advantage,
        surrogate: Surrogate,
        ratio: Ratio = token_ratio,
        aggregate: Aggregate | None = None,
        penalty: ReferencePenalty | None = None,
    ) -> None:
        self.check(config)
        self.config = config
        self._advantage, self._ratio, self._surrogate = advantage, ratio, surrogate
        self._aggregate = aggregate or Aggregate()
        self._penalty = penalty or ReferencePenalty()

    @classmethod
    def check(cls, config: Any) -> None:
        """Refuses the config of another algorithm.

        Raises:
            TypeError: if it is.
        """
        expected = getattr(cls, "config_class", None)
        if expected is not None and not isinstance(config, expected):
            raise TypeError(f"{cls.name} takes a {expected.__name__}, not a {type(config).__name__}")

    @property
    def needs_reference(self) -> bool:
        """Whether ``prepare`` or ``loss`` reads ``batch.reference_logprobs``."""
        return self._penalty.coefficient > 0

    def reviewed(self, trajectories: tuple[MultiTurnTrajectory, ...], chat: ChatFormat, max_context: int) -> Reviewed:
        """What is made of the episodes before they become a batch: others judge or change them.

        Under a launcher one process is asked, and the others take over what it says.

        Args:
            trajectories: just played, whole groups.
            chat: how the model writes conversations, for whatever text is put into them.
            max_context: most tokens that such a conversation may have.
        """
        return Reviewed(trajectories)

    def keeps(self, batch: TokenBatch) -> Tensor:
        """Which rows are kept while a batch is filled up, where ``sampling_rounds`` is above 1: bool (B,)."""
        return torch.ones_like(batch.returns, dtype=torch.bool)

    def worth_training(self, batch: TokenBatch) -> Tensor:
        """Which rows have something to learn from: bool (B,). All have, where there is more than the advantage."""
        if self._penalty.coefficient > 0:
            return torch.ones_like(batch.returns, dtype=torch.bool)
        assert batch.advantages is not None
        return (batch.advantages != 0).any(1)

    def observe(self, metrics: Mapping[str, float]) -> None:
        """Takes note of an iteration's metrics, for what is adapted."""

    def state(self) -> dict[str, float]:
        """What changes in a run, for checkpoints."""
        return {}

    def restore(self, state: Mapping[str, float]) -> None:
        """Takes up the state of a checkpoint."""

    def prepare(self, batch: TokenBatch) -> TokenBatch:
        """The batch with the advantage of each action token, 0 elsewhere."""
        return replace(batch, advantages=self._advantage(batch))

    def loss(
        self,
        batch: TokenBatch,
        logprobs: Tensor | None,
        counts: BatchCounts | None = None,
        values: Tensor | None = None,
    ) -> LossOutput:
        """The loss of a micro-batch, normalised by the counts of the whole batch.

        Args:
            batch: after ``prepare``; ratios are against its ``initial_logprobs``.
            logprobs: float (B, T), differentiable, at the temperature that was sampled with; None while the
                critic alone is trained.
            counts: of the batch that this one was cut from; None if it was not cut.
            values: float (B, T), differentiable; of the critic, where there is one.

        Raises:
            ValueError: the batch lacks advantages, or reference log-probabilities that the penalty needs.
        """
        counts = counts or BatchCounts.of(batch)
        assert logprobs is not None  # only an algorithm with a critic is asked to do without
        if batch.advantages is None:
            raise ValueError(f"the batch has no advantages: call {type(self).__name__}.prepare on the whole batch")
        ratio = self._ratio(batch, logprobs)
        objective = self._surrogate(ratio, batch.advantages, logprobs)
        if batch.importance_weights is not None:
            objective = batch.importance_weights * objective
        loss = -self._aggregate(objective, batch, counts)
        metrics = self._diagnostics(batch, logprobs, ratio, counts)
        metrics["policy_loss"] = loss.item()
        if self._penalty.coefficient > 0:
            divergence = self._penalty(batch, logprobs)
            if batch.importance_weights is not None:
                divergence = batch.importance_weights * divergence
            loss = loss + self._penalty.coefficient * self._aggregate(divergence, batch, counts)
            metrics["kl"] = aggregation.token_mean(divergence.detach(), batch.action_mask, counts.tokens).item()
        return LossOutput(loss=loss, metrics=metrics)

    @torch.no_grad()
    def _diagnostics(self, batch: TokenBatch, logprobs: Tensor, ratio: Tensor, counts: BatchCounts) -> dict[str, float]:
        assert batch.advantages is not None
        mask = batch.action_mask
        low, high = self._surrogate.stopped(ratio, batch.advantages)

        def mean(values: Tensor) -> float:
            return aggregation.token_mean(values, mask, counts.tokens).item()

        figures = {
            "clip_low": mean(low.to(ratio.dtype)),
            "clip_high": mean(high.to(ratio.dtype)),
            "ratio_mean": mean(ratio),
        }
        if counts.fresh_tokens:
            # What was logged is no sample of the policy, and its probability was another's.
            sampled = batch.fresh_mask
            distance = (logprobs - batch.behavior_logprobs).abs()
            figures |= {
                # Minus the log-probability of what was sampled: an estimate of the entropy.
                "entropy": aggregation.token_mean(-logprobs, sampled, counts.fresh_tokens).item(),
                "logprob_difference": aggregation.token_mean(distance, sampled, counts.fresh_tokens).item(),
            }
        actions = ratio[mask]
        if len(actions):
            figures |= {"ratio_max": actions.max().item(), "ratio_min": actions.min().item()}
        return figures
