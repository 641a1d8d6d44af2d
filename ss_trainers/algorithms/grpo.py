"""GRPO and Dr. GRPO: group-relative advantages under a clipped surrogate.

Shao et al. 2024, "DeepSeekMath", arXiv:2402.03300; Liu et al. 2025, "Understanding R1-Zero-Like
Training", arXiv:2503.20783.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ss_trainers.functional import advantages, aggregation, divergences, ratios, surrogates
from ss_trainers.types import BatchCounts, LossOutput, TokenBatch


@dataclass(frozen=True, slots=True)
class GRPOConfig:
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
            weighs the same), ``"sequence_mean"`` (every sequence does, as in the paper) or
            ``"constant"`` (divide by B * max_length).
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
    aggregation: Literal["token_mean", "sequence_mean", "constant"] = "token_mean"
    max_length: int | None = None
    kl_coefficient: float = 0.0
    kl_estimator: Literal["k2", "k3"] = "k3"

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        choices = {
            "advantage_scale": ("std", "none"),
            "aggregation": ("token_mean", "sequence_mean", "constant"),
            "kl_estimator": ("k2", "k3"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"GRPOConfig.{name} must be one of {allowed}, not {getattr(self, name)!r}")
        if (self.aggregation == "constant") != (self.max_length is not None):
            raise ValueError('GRPOConfig.max_length belongs to aggregation="constant": give both or neither')
        if self.max_length is not None and self.max_length < 1:
            raise ValueError(f"GRPOConfig.max_length must be at least 1 token, not {self.max_length}")
        for name in ("clip_low", "clip_high", "std_floor", "kl_coefficient"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"GRPOConfig.{name} must not be negative, but is {getattr(self, name)}")

    @classmethod
    def dr_grpo(cls, max_length: int) -> GRPOConfig:
        """Dr. GRPO: no division by the standard deviation, none by the sequence's length.

        Args:
            max_length: the most tokens that an agent may write in one episode.
        """
        return cls(advantage_scale="none", aggregation="constant", max_length=max_length)


class GRPO:
    """Group-relative policy optimisation.

    ``advantages`` needs whole groups, so it is called on the whole batch; ``loss`` is called on
    micro-batches and their results add up.
    """

    def __init__(self, config: GRPOConfig | None = None) -> None:
        self.config = config or GRPOConfig()

    @property
    def needs_reference(self) -> bool:
        """Whether ``loss`` reads ``batch.reference_logprobs``."""
        return self.config.kl_coefficient > 0

    def advantages(self, batch: TokenBatch) -> Tensor:
        """The group-relative advantage of each row on its action tokens: (B, T), 0 elsewhere."""
        config = self.config
        relative = advantages.group_relative(
            batch.returns, batch.group_ids, config.advantage_scale, config.unbiased_std, config.std_floor
        )
        return relative.to(batch.behavior_logprobs.dtype)[:, None] * batch.action_mask

    def loss(self, batch: TokenBatch, logprobs: Tensor, counts: BatchCounts | None = None) -> LossOutput:
        """The loss of a micro-batch, normalised by the counts of the whole batch.

        Args:
            batch: with ``advantages``; ratios are against ``old_logprobs`` where the batch has
                them, against ``behavior_logprobs`` otherwise.
            logprobs: float (B, T), differentiable, at the temperature that was sampled with.
            counts: of the batch that this one was cut from; None if it was not cut.

        Raises:
            ValueError: the batch lacks advantages, or reference log-probabilities that the KL
                term needs.
        """
        config, mask = self.config, batch.action_mask
        counts = counts or BatchCounts.of(batch)
        if batch.advantages is None:
            raise ValueError("the batch has no advantages: set them with GRPO.advantages on the whole batch")
        old = batch.behavior_logprobs if batch.old_logprobs is None else batch.old_logprobs
        ratio = ratios.token_ratio(logprobs, old, mask)
        objective = surrogates.clipped(ratio, batch.advantages, config.clip_low, config.clip_high)
        loss = -self._aggregate(objective, mask, counts)
        metrics = _diagnostics(batch, logprobs, ratio, config, counts)
        metrics["policy_loss"] = loss.item()
        if self.needs_reference:
            divergence = self._divergence(batch, logprobs)
            loss = loss + config.kl_coefficient * self._aggregate(divergence, mask, counts)
            metrics["kl"] = aggregation.token_mean(divergence.detach(), mask, counts.tokens).item()
        return LossOutput(loss=loss, metrics=metrics)

    def _divergence(self, batch: TokenBatch, logprobs: Tensor) -> Tensor:
        if batch.reference_logprobs is None:
            raise ValueError("kl_coefficient > 0 needs batch.reference_logprobs: score the batch with the reference")
        estimator = divergences.k3 if self.config.kl_estimator == "k3" else divergences.k2
        return estimator(logprobs, batch.reference_logprobs)

    def _aggregate(self, values: Tensor, mask: Tensor, counts: BatchCounts) -> Tensor:
        if self.config.max_length is not None:
            return aggregation.constant_length(values, mask, self.config.max_length, counts.rows)
        if self.config.aggregation == "sequence_mean":
            return aggregation.sequence_mean_token_mean(values, mask, counts.sequences)
        return aggregation.token_mean(values, mask, counts.tokens)


@torch.no_grad()
def _diagnostics(
    batch: TokenBatch, logprobs: Tensor, ratio: Tensor, config: GRPOConfig, counts: BatchCounts
) -> dict[str, float]:
    assert batch.advantages is not None
    mask = batch.action_mask
    low, high = surrogates.clip_active(ratio, batch.advantages, config.clip_low, config.clip_high)

    def mean(values: Tensor) -> float:
        return aggregation.token_mean(values, mask, counts.tokens).item()

    figures = {
        "clip_low": mean(low.to(ratio.dtype)),
        "clip_high": mean(high.to(ratio.dtype)),
        # Minus the log-probability of what was sampled: an estimate of the entropy.
        "entropy": mean(-logprobs),
        "ratio_mean": mean(ratio),
        "logprob_difference": mean((logprobs - batch.behavior_logprobs).abs()),
    }
    actions = ratio[mask]
    if len(actions):
        figures |= {"ratio_max": actions.max().item(), "ratio_min": actions.min().item()}
    return figures
