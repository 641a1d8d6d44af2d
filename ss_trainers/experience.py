"""From what was played to what is trained on: tokens, scores of the models, and the algorithm's part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from ss_gym.streams import Stream
from ss_gym.types import MultiTurnTrajectory
from ss_trainers.algorithms.policy_optimization import PolicyOptimization
from ss_trainers.collate import collate, drop_nonfinite, drop_stale, rows_by_length
from ss_trainers.config import TrainingConfig
from ss_trainers.distributed import Workers
from ss_trainers.functional import aggregation, divergences, ratios
from ss_trainers.functional.values import explained_variance
from ss_trainers.metrics import group_metrics
from ss_trainers.optimization import even_share
from ss_trainers.ranks import Ranks
from ss_trainers.types import TokenBatch

# A shared prompt is attended to under a mask, which costs more than repeating a short one.
_MIN_PREFIX = 64


def token_batch(trajectories: Sequence[MultiTurnTrajectory], policy_version: int | None = None) -> TokenBatch | None:
    """Trajectories as tokens, without those whose return is no number; None if none is left.

    Args:
        trajectories: what was played.
        policy_version: after how many iterations the policy had the weights it was played with, if that is known.
    """
    if not trajectories:
        return None
    batch, _ = drop_nonfinite(collate(trajectories, min_prefix=_MIN_PREFIX))
    if policy_version is not None:
        batch = replace(batch, policy_versions=torch.full((len(batch),), policy_version))
    return batch if len(batch) else None


def recent(batch: TokenBatch, iteration: int, training: TrainingConfig, metrics: dict[str, float]) -> TokenBatch | None:
    """The rows whose policy is not older than the settings allow; None if none is left.

    Args:
        batch: with ``policy_versions``.
        iteration: which trains on it, counted from 0.
        training: the engine's settings.
        metrics: takes up how old the policies are.
    """
    assert batch.policy_versions is not None
    staleness = (iteration - batch.policy_versions).to(torch.float64)
    metrics["staleness_mean"], metrics["staleness_max"] = staleness.mean().item(), staleness.max().item()
    batch, dropped = drop_stale(batch, iteration, training.rollout_lag)
    metrics["stale_episodes"] = float(dropped)
    return batch if len(batch) else None


def prepared(
    batch: TokenBatch,
    algorithm: PolicyOptimization,
    workers: Workers | Ranks,
    training: TrainingConfig,
    metrics: dict[str, float],
    learnt: Callable[[TokenBatch], TokenBatch] | None = None,
    all_rows: bool = False,
) -> TokenBatch | None:
    """A batch with all that the loss needs; None if there is nothing to learn from.

    Normalisers and figures of the update count the rows that are left, which scales the gradient and
    leaves its direction.

    Args:
        batch: whole groups.
        algorithm: what is minimised.
        workers: score the batch.
        training: the engine's settings.
        metrics: takes up what there is to tell.
        learnt: is told the batch with its advantages, and may change those of what is not fresh.
        all_rows: keep rows without an advantage, which something else is learnt from.
    """
    fresh = batch.group_ids >= 0  # what was logged is in no group
    if bool(fresh.any()):
        metrics |= group_metrics(batch.returns[fresh], batch.group_ids[fresh])
    # What others said has no probability that the policy's could be compared with.
    corrected = training.mismatch != "none" and not algorithm.imitates
    batch = _scored(batch, algorithm, workers, training, corrected)
    if corrected:
        batch = _weighed(batch, training, metrics)
    if batch.reference_logprobs is not None:
        distance = divergences.k1(batch.initial_logprobs, batch.reference_logprobs)
        metrics["kl_reference"] = aggregation.token_mean(distance, batch.action_mask).item()
    batch = algorithm.prepare(batch)
    if learnt is not None:
        batch = learnt(batch)
    if batch.values is not None and batch.value_targets is not None and batch.value_mask is not None:
        explained = explained_variance(batch.values, batch.value_targets, batch.value_mask)
        metrics["explained_variance"] = explained.item()
    worth = algorithm.worth_training(batch)
    if not all_rows and not bool(worth.all()):
        batch = batch.select(worth.nonzero()[:, 0])
    return batch if len(batch) else None


def minibatches(batch: TokenBatch, count: int, order: Stream) -> list[TokenBatch]:
    """The batch dealt out at random into so many parts of nearly the same number of rows.

    Args:
        batch: prepared.
        count: of parts; fewer if there are fewer rows.
        order: decides which row is in which part.
    """
    if count == 1:
        return [batch]
    generator = torch.Generator().manual_seed(order.bits() >> 1)
    shuffled = torch.randperm(len(batch), generator=generator)
    return [batch.select(rows.sort().values) for rows in shuffled.tensor_split(min(count, len(batch)))]


def _scored(
    batch: TokenBatch,
    algorithm: PolicyOptimization,
    workers: Workers | Ranks,
    training: TrainingConfig,
    corrected: bool,
) -> TokenBatch:
    """The batch with the log-probabilities and values that are asked for."""
    asked = {
        "old_logprobs": corrected,
        "reference_logprobs": algorithm.needs_reference,
        "values": algorithm.needs_critic,
    }
    wanted = [name for name, needed in asked.items() if needed]
    if not wanted:
        return batch
    parts = rows_by_length(batch, even_share(batch, workers.count, training.micro_batch_tokens))
    results = workers.score([batch.select(rows) for rows in parts], training.temperature, wanted)
    fields = {name: torch.zeros_like(batch.behavior_logprobs) for name in wanted}
    for rows, result in zip(parts, results, strict=True):
        for name, field in fields.items():
            field[rows, : result[name].shape[1]] = result[name].to(field.dtype)
    return replace(batch, **fields)


def _weighed(batch: TokenBatch, training: TrainingConfig, metrics: dict[str, float]) -> TokenBatch:
    """The batch with weights for what the sampler saw with another probability than the trainer."""
    assert batch.old_logprobs is not None
    given = (batch.old_logprobs, batch.behavior_logprobs, batch.action_mask)
    if training.mismatch == "truncate":
        weights = ratios.truncated_importance_weight(*given, cap=training.mismatch_cap)
    else:
        weights = ratios.masked_importance_weight(*given, high=training.mismatch_cap)
    metrics["mismatch_weight"] = aggregation.token_mean(weights, batch.action_mask).item()
    for name, rows in (("", batch.group_ids >= 0), ("logged/", batch.group_ids < 0)):
        if bool(rows.any()):
            share = ratios.effective_sample_share(weights[rows], batch.action_mask[rows])
            metrics[f"{name}effective_sample_share"] = share.item()
    return replace(batch, importance_weights=weights)
