"""The values that pass between collation, policy, algorithm and trainer: plain, frozen tensors.

Letters for shapes: ``B`` sequences, ``T`` tokens of the longest row, ``K`` turns of the longest
row, ``P`` tokens of the shared prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

# Fields laid out as (B, T): `select` cuts them to the longest row that is left.
_TOKEN_FIELDS = (
    "input_ids",
    "action_mask",
    "behavior_logprobs",
    "turn_ids",
    "advantages",
    "old_logprobs",
    "reference_logprobs",
    "importance_weights",
    "values",
    "value_targets",
    "value_mask",
)


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """A batch of token sequences to train on, padded on the right.

    The whole sequence of row ``b`` is ``prefix`` followed by ``input_ids[b, :lengths[b]]``. The
    first token of a row is never an action, so every action token has a predecessor in its row.

    Attributes:
        input_ids: int64 (B, T); token ids after the shared prompt.
        lengths: int64 (B,); tokens in each row without padding.
        action_mask: bool (B, T); True on the tokens that the policy emitted, end-of-turn included.
        behavior_logprobs: float (B, T); log-probabilities under the distribution that was sampled
            from, in nats; 0 outside ``action_mask``.
        turn_ids: int64 (B, T); which of the row's agent turns a token belongs to; -1 outside
            ``action_mask``.
        turn_rewards: float64 (B, K); reward of the environment step that followed each turn; 0
            after the row's last turn.
        returns: float64 (B,); undiscounted return of the trajectory.
        group_ids: int64 (B,); rows with the same id are attempts at the same scenario.
        prefix: int64 (P,); prompt ids that all rows begin with, P = 0 if there are none.
        successes: bool (B,); whether the task was done, where the environment has that notion.
        advantages: float (B, T); set by the algorithm before the batch is split.
        old_logprobs: float (B, T); log-probabilities at the start of the update, where they are
            not the behaviour policy's.
        reference_logprobs: float (B, T); log-probabilities under the reference policy.
        importance_weights: float (B, T); of tokens that the sampler saw with another probability
            than the trainer.
        values: float (B, T); the critic's, at the start of the update, of the state before each
            action token.
        value_targets: float (B, T); what the critic should have said.
        value_mask: bool (B, T); where it is trained to.
        policy_versions: int64 (B,); after how many iterations the policy had the weights that a row was played
            with: they never change within an episode.
        log_expectations: float (B,); see ``ss_trainers.functional.ratios.log_group_expectation``.
    """

    input_ids: Tensor
    lengths: Tensor
    action_mask: Tensor
    behavior_logprobs: Tensor
    turn_ids: Tensor
    turn_rewards: Tensor
    returns: Tensor
    group_ids: Tensor
    prefix: Tensor
    successes: Tensor | None = None
    advantages: Tensor | None = None
    old_logprobs: Tensor | None = None
    reference_logprobs: Tensor | None = None
    importance_weights: Tensor | None = None
    values: Tensor | None = None
    value_targets: Tensor | None = None
    value_mask: Tensor | None = None
    policy_versions: Tensor | None = None
    log_expectations: Tensor | None = None

    @property
    def initial_logprobs(self) -> Tensor:
        """Float (B, T); what ratios are against: ``old_logprobs`` if they are there, else the sampler's."""
        return self.behavior_logprobs if self.old_logprobs is None else self.old_logprobs

    @property
    def fresh_mask(self) -> Tensor:
        """Bool (B, T); the action tokens of what was played for this batch. What was logged is in no group."""
        return self.action_mask & (self.group_ids >= 0)[:, None]

    @property
    def turn_mask(self) -> Tensor:
        """Bool (B, K); which turns a row has."""
        turns = torch.arange(self.turn_rewards.shape[1], device=self.turn_ids.device)
        last = self.turn_ids.amax(1) if self.turn_ids.shape[1] else turns.new_full((len(self),), -1)
        return turns <= last[:, None]

    def __len__(self) -> int:
        """Number of sequences, B."""
        return self.input_ids.shape[0]

    def select(self, rows: Tensor) -> TokenBatch:
        """The given rows, in that order, with the padding that is no longer needed cut off.

        Args:
            rows: int64 (N,) row indices.
        """
        width = int(self.lengths[rows].max()) if len(rows) else 0
        changes: dict[str, Tensor] = {}
        for name, value in self._tensors():
            if name == "prefix":
                continue
            changes[name] = value[rows, :width] if name in _TOKEN_FIELDS else value[rows]
        return replace(self, **changes)

    def to(self, device: torch.device | str) -> TokenBatch:
        """The same batch on another device."""
        return replace(self, **{name: value.to(device) for name, value in self._tensors()})

    def _tensors(self) -> list[tuple[str, Tensor]]:
        values = [(entry.name, getattr(self, entry.name)) for entry in fields(self)]
        return [(name, value) for name, value in values if value is not None]


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """What the losses of micro-batches are divided by: the counts of the batch they came from.

    Attributes:
        tokens: action tokens.
        sequences: rows with at least one action token.
        rows: all rows.
        values: tokens whose value the critic is trained to foresee.
        successful_tokens: action tokens of rows in which the task was done.
        fresh_tokens: action tokens of rows that were played for this batch, which may be none.
    """

    tokens: float
    sequences: float
    rows: float
    values: float = 1.0
    successful_tokens: float = 1.0
    fresh_tokens: float = 0.0

    @classmethod
    def of(cls, batch: TokenBatch) -> BatchCounts:
        """Counts of a whole batch; those that a loss is divided by are at least 1, so that of an empty batch is 0."""
        mask, successes = batch.action_mask, batch.successes

        def count(where: Tensor | None) -> float:
            return 1.0 if where is None else max(1.0, float(where.sum()))

        return cls(
            tokens=count(mask),
            sequences=count(mask.any(-1)),
            rows=max(1.0, float(len(batch))),
            values=count(batch.value_mask),
            successful_tokens=count(None if successes is None else mask & successes[:, None]),
            fresh_tokens=float(batch.fresh_mask.sum()),
        )


@dataclass(frozen=True, slots=True)
class LossOutput:
    """What an algorithm's ``loss`` gives back for one micro-batch.

    Attributes:
        loss: scalar to minimise. Its normaliser is that of the whole batch, so the losses (and
            gradients) of micro-batches add up to those of the batch.
        metrics: figures for the log by name. Each is a sum over the micro-batch divided by the
            whole batch's count, so those of micro-batches add up as well, except names that end
            in ``_max`` or ``_min``: see ``merge_metrics``.
    """

    loss: Tensor
    metrics: Mapping[str, float]


def merge_metrics(outputs: Iterable[LossOutput]) -> dict[str, float]:
    """The figures of a whole batch from those of its micro-batches: sums, and maxima and minima.

    Args:
        outputs: one per micro-batch, all computed with the same ``BatchCounts``.
    """
    merged: dict[str, float] = {}
    for output in outputs:
        for name, value in output.metrics.items():
            if name not in merged:
                merged[name] = value
            elif name.endswith("_max"):
                merged[name] = max(merged[name], value)
            elif name.endswith("_min"):
                merged[name] = min(merged[name], value)
            else:
                merged[name] += value
    return merged
