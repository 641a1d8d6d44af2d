"""The parts that algorithms are put together from: the pure functions, applied to batches.

Each is a small frozen object or a plain function, so that an algorithm can be sent to another process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from ss_trainers.functional import advantages, aggregation, divergences, ratios, surrogates, turns
from ss_trainers.types import BatchCounts, TokenBatch

Aggregation = Literal["token_mean", "sequence_mean", "sequence_sum", "constant"]
AGGREGATIONS = ("token_mean", "sequence_mean", "sequence_sum", "constant")
ESTIMATORS = ("k2", "k3")

# (B, T) of a whole batch.
Advantage = Callable[[TokenBatch], Tensor]
# (B, T) of a micro-batch and the log-probabilities of its tokens now.
Ratio = Callable[[TokenBatch, Tensor], Tensor]


class Surrogate(Protocol):
    """What is maximised for each token."""

    def __call__(self, ratio: Tensor, advantages: Tensor, logprobs: Tensor) -> Tensor:
        """The objective (B, T), differentiable."""
        ...

    def stopped(self, ratio: Tensor, advantages: Tensor) -> tuple[Tensor, Tensor]:
        """Where a bound stops the gradient or holds it: the low one and the high one, bool (B, T) each."""
        ...


# --- advantages ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GroupRelative:
    """The advantage of a row's return in its group, on all of its action tokens.

    Attributes:
        scale: see :func:`ss_trainers.functional.advantages.group_relative`.
        unbiased: likewise.
        std_floor: likewise.
    """

    scale: Literal["std", "none"] = "std"
    unbiased: bool = False
    std_floor: float = 0.1

    def __call__(self, batch: TokenBatch) -> Tensor:
        """(B, T), 0 outside the action mask."""
        relative = advantages.group_relative(batch.returns, batch.group_ids, self.scale, self.unbiased, self.std_floor)
        return on_actions(relative, batch)


def on_actions(row_values: Tensor, batch: TokenBatch) -> Tensor:
    """One value a row on all of its action tokens: (B, T), 0 elsewhere."""
    return row_values.to(batch.behavior_logprobs.dtype)[:, None] * batch.action_mask


def token_rewards(batch: TokenBatch, kl_coefficient: float = 0.0) -> Tensor:
    r"""What each token earned: its turn's reward on the turn's last token, less a price of leaving the reference.

    .. math:: r_t - \beta\,(\log\pi_{old} - \log\pi_{ref})

    Args:
        batch: with ``reference_logprobs`` where there is a price.
        kl_coefficient: beta.

    Returns:
        float (B, T).
    """
    rewards = turns.to_last_tokens(batch.turn_rewards.to(batch.behavior_logprobs.dtype), batch.turn_ids)
    return rewards - kl_coefficient * reference_distance(batch) if kl_coefficient else rewards


def reference_distance(batch: TokenBatch) -> Tensor:
    """The k1 estimate of each action token: (B, T), 0 elsewhere.

    Raises:
        ValueError: the batch lacks reference log-probabilities.
    """
    if batch.reference_logprobs is None:
        raise ValueError("kl_coefficient > 0 needs batch.reference_logprobs: score the batch with the reference")
    distance = divergences.k1(batch.initial_logprobs, batch.reference_logprobs)
    return torch.where(batch.action_mask, distance, 0.0)


# --- ratios --------------------------------------------------------------------------------------


def token_ratio(batch: TokenBatch, logprobs: Tensor) -> Tensor:
    """Each token's own ratio."""
    return ratios.token_ratio(logprobs, batch.initial_logprobs, batch.action_mask)


def sequence_ratio(batch: TokenBatch, logprobs: Tensor) -> Tensor:
    """The ratio of the whole row on each of its tokens."""
    whole = ratios.sequence_ratio(logprobs, batch.initial_logprobs, batch.action_mask)
    return whole[:, None].expand_as(logprobs)


def sequence_token_ratio(batch: TokenBatch, logprobs: Tensor) -> Tensor:
    """The ratio of the whole row, with the gradient of the token."""
    return ratios.sequence_token_ratio(logprobs, batch.initial_logprobs, batch.action_mask)


def group_expectation_ratio(batch: TokenBatch, logprobs: Tensor) -> Tensor:
    """The row's probability over that expected in its group, on each of its tokens.

    Raises:
        ValueError: the batch lacks the expectations, which need whole groups.
    """
    if batch.log_expectations is None:
        raise ValueError("the batch has no log_expectations: prepare the whole batch with GEPO before it is split")
    whole = ratios.group_expectation_ratio(logprobs, batch.log_expectations, batch.action_mask)
    return whole[:, None].expand_as(logprobs)


# --- surrogates ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Clip:
    """Clips the ratio, and holds what a bad action can cost.

    Attributes:
        low: how far a ratio may fall below 1 before the gradient stops.
        high: how far it may rise above 1.
        lower_bound: see :func:`ss_trainers.functional.surrogates.dual_clipped`; none if None.
    """

    low: float
    high: float
    lower_bound: float | None = None

    def __call__(self, ratio: Tensor, advantages: Tensor, logprobs: Tensor) -> Tensor:
        """The clipped objective."""
        if self.lower_bound is None:
            return surrogates.clipped(ratio, advantages, self.low, self.high)
        return surrogates.dual_clipped(ratio, advantages, self.low, self.high, self.lower_bound)

    def stopped(self, ratio: Tensor, advantages: Tensor) -> tuple[Tensor, Tensor]:
        """Where the gradient is stopped."""
        return surrogates.clip_active(ratio, advantages, self.low, self.high)


@dataclass(frozen=True, slots=True)
class CappedGradient:
    """The policy gradient with weights up to a cap.

    Attributes:
        cap: the greatest weight.
    """

    cap: float

    def __call__(self, ratio: Tensor, advantages: Tensor, logprobs: Tensor) -> Tensor:
        """The objective."""
        return surrogates.capped_policy_gradient(ratio, advantages, logprobs, self.cap)

    def stopped(self, ratio: Tensor, advantages: Tensor) -> tuple[Tensor, Tensor]:
        """Where the weight is held."""
        return torch.zeros_like(ratio, dtype=torch.bool), ratio > self.cap


@dataclass(frozen=True, slots=True)
class Weighted:
    """The advantage times the ratio, which may have a cap.

    Attributes:
        cap: ratios above it count as much and have no gradient; none if None.
    """

    cap: float | None = None

    def __call__(self, ratio: Tensor, advantages: Tensor, logprobs: Tensor) -> Tensor:
        """The objective."""
        return (ratio if self.cap is None else ratio.clamp(max=self.cap)) * advantages

    def stopped(self, ratio: Tensor, advantages: Tensor) -> tuple[Tensor, Tensor]:
        """Where the gradient is stopped."""
        never = torch.zeros_like(ratio, dtype=torch.bool)
        return never, never if self.cap is None else ratio > self.cap


@dataclass(frozen=True, slots=True)
class LogLikelihood:
    """The advantage times the log-probability: what is imitated has advantage 1."""

    def __call__(self, ratio: Tensor, advantages: Tensor, logprobs: Tensor) -> Tensor:
        """The objective."""
        return advantages * logprobs

    def stopped(self, ratio: Tensor, advantages: Tensor) -> tuple[Tensor, Tensor]:
        """Nowhere."""
        never = torch.zeros_like(ratio, dtype=torch.bool)
        return never, never


# --- aggregation and penalty ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Aggregate:
    """How the values of tokens become one number.

    Attributes:
        kind: every token weighs the same (``"token_mean"``), every sequence does (``"sequence_mean"``), every
            sequence weighs by its length (``"sequence_sum"``), or all are divided by B times a constant.
        max_length: that constant, in tokens.
    """

    kind: Aggregation = "token_mean"
    max_length: int | None = None

    def __call__(self, values: Tensor, batch: TokenBatch, counts: BatchCounts) -> Tensor:
        """A scalar whose parts, over micro-batches, add up."""
        mask = batch.action_mask
        if self.kind == "constant":
            assert self.max_length is not None
            return aggregation.constant_length(values, mask, self.max_length, counts.rows)
        if self.kind == "sequence_mean":
            return aggregation.sequence_mean_token_mean(values, mask, counts.sequences)
        if self.kind == "sequence_sum":
            return aggregation.sequence_mean_token_sum(values, mask, counts.sequences)
        return aggregation.token_mean(values, mask, counts.tokens)


@dataclass(frozen=True, slots=True)
class ReferencePenalty:
    """A price in the loss of leaving the reference policy.

    Attributes:
        coefficient: its weight; 0 for none.
        estimator: ``"k3"``, or ``"k2"``, whose gradient is that of KL(policy || reference). k1 is not
            offered: as a term of a loss its mean gradient is 0.
    """

    coefficient: float = 0.0
    estimator: Literal["k2", "k3"] = "k3"

    def __call__(self, batch: TokenBatch, logprobs: Tensor) -> Tensor:
        """The estimate of each token, (B, T), without the coefficient.

        Raises:
            ValueError: the batch lacks reference log-probabilities.
        """
        if batch.reference_logprobs is None:
            raise ValueError("kl_coefficient > 0 needs batch.reference_logprobs: score the batch with the reference")
        estimate = divergences.k3 if self.estimator == "k3" else divergences.k2
        # Not a number outside the mask would be one in the gradient, although nothing is added up there.
        reference = torch.where(batch.action_mask, batch.reference_logprobs, 0.0)
        return estimate(torch.where(batch.action_mask, logprobs, 0.0), reference)
