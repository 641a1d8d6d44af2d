"""From trajectories to token batches, and from a batch to micro-batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ss_gym.types import MultiTurnTrajectory
from ss_trainers.types import TokenBatch


def collate(
    trajectories: Sequence[MultiTurnTrajectory],
    *,
    share_prefix: bool = True,
    min_prefix: int = 1,
    pad_id: int = 0,
    dtype: torch.dtype = torch.float32,
) -> TokenBatch:
    """Lay trajectories out as tokens, exactly as they were sampled; text is never encoded again.

    Agent turns (those with ``logprobs``) are action tokens; the prompt and every other turn are
    context. What an agent turn without tokens earned belongs to the turn before it, or else to the
    first. A non-finite reward is kept as it is, so that ``drop_nonfinite`` can count it.

    Args:
        trajectories: all with ``prompt_ids``, and ``token_ids`` on every turn.
        share_prefix: take the longest common prefix of the prompts out of the rows.
        min_prefix: leave a prefix of fewer tokens in the rows.
        pad_id: what fills the rows on the right; never attended to.
        dtype: of log-probabilities.

    Raises:
        ValueError: there is no trajectory, one has no tokens, or a turn's ids and
            log-probabilities differ in number.
    """
    if not trajectories:
        raise ValueError("collate needs at least one trajectory")
    rows = [_Row(index, trajectory) for index, trajectory in enumerate(trajectories)]
    prefix = _common_prefix([row.prompt for row in rows]) if share_prefix else ()
    # The first token of a row predicts the second: it must be context, never an action.
    shared = min([len(prefix), *(len(row.prompt) - 1 for row in rows)])
    if shared < min_prefix:
        shared = 0
    width = max(len(row.ids) for row in rows) - shared
    turns = max(1, *(len(row.rewards) for row in rows))

    def filled(values: list[list[float]] | list[list[int]], columns: int, fill: float, kind: torch.dtype) -> Tensor:
        return torch.tensor([row + [fill] * (columns - len(row)) for row in values], dtype=kind)

    turn_ids = filled([row.turn_ids[shared:] for row in rows], width, -1, torch.int64)
    return TokenBatch(
        input_ids=filled([row.ids[shared:] for row in rows], width, pad_id, torch.int64),
        lengths=torch.tensor([len(row.ids) - shared for row in rows]),
        action_mask=turn_ids >= 0,
        behavior_logprobs=filled([row.logprobs[shared:] for row in rows], width, 0.0, dtype),
        turn_ids=turn_ids,
        turn_rewards=filled([row.rewards for row in rows], turns, 0.0, torch.float64),
        returns=torch.tensor([trajectory.total_reward for trajectory in trajectories], dtype=torch.float64),
        group_ids=torch.tensor([trajectory.group_id for trajectory in trajectories]),
        prefix=torch.tensor(rows[0].prompt[:shared], dtype=torch.int64),
        successes=_successes(trajectories),
    )


def _successes(trajectories: Sequence[MultiTurnTrajectory]) -> Tensor | None:
    """Whether each did its task; None where the environment does not say, of one of them or of all."""
    told = [trajectory.success for trajectory in trajectories]
    return None if None in told else torch.tensor(told, dtype=torch.bool)


class _Row:
    """One trajectory as flat lists: ids, log-probabilities and turn numbers of its tokens."""

    def __init__(self, index: int, trajectory: MultiTurnTrajectory) -> None:
        if not trajectory.prompt_ids:
            raise ValueError(f"trajectory {index} has no prompt ids: only agents with tokens can be trained on")
        self.prompt = trajectory.prompt_ids
        self.ids = list(self.prompt)
        self.logprobs = [0.0] * len(self.ids)
        self.turn_ids = [-1] * len(self.ids)
        self.rewards: list[float] = []
        self._pending = 0.0
        for position, turn in enumerate(trajectory.turns):
            if turn.token_ids is None:
                raise ValueError(f"turn {position} of trajectory {index} has no token ids")
            size = len(turn.token_ids)
            if turn.logprobs is not None and len(turn.logprobs) != size:
                raise ValueError(
                    f"turn {position} of trajectory {index} has {size} ids but {len(turn.logprobs)} log-probabilities"
                )
            self.ids.extend(turn.token_ids)
            self.logprobs.extend(turn.logprobs if turn.logprobs is not None else [0.0] * size)
            self.turn_ids.extend([len(self.rewards) if turn.logprobs is not None else -1] * size)
            if turn.logprobs is not None:
                self._earn(turn.reward, size)
        if self._pending and self.rewards:
            self.rewards[0] += self._pending

    def _earn(self, reward: float, size: int) -> None:
        """Notes what a turn earned; where it has no token that could be credited, the turn before it is."""
        if size:
            self.rewards.append(reward)
        elif self.rewards:
            self.rewards[-1] += reward
        else:
            self._pending += reward


def _common_prefix(prompts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    # What the first and the last in lexicographic order have in common, all have.
    first, last = min(prompts), max(prompts)
    for position, (one, other) in enumerate(zip(first, last, strict=False)):
        if one != other:
            return first[:position]
    return first


def drop_nonfinite(batch: TokenBatch) -> tuple[TokenBatch, int]:
    """The batch without the rows whose return is NaN or infinite, and how many those were."""
    finite = torch.isfinite(batch.returns)
    dropped = len(batch) - int(finite.sum())
    return (batch.select(finite.nonzero()[:, 0]), dropped) if dropped else (batch, 0)


def drop_stale(batch: TokenBatch, iteration: int, bound: int) -> tuple[TokenBatch, int]:
    """The batch without the rows whose policy is too old, and how many those were.

    Args:
        batch: with ``policy_versions``.
        iteration: which trains on it, counted from 0.
        bound: the most iterations that a row's policy may be behind.

    Raises:
        ValueError: the batch does not tell its policies' versions.
    """
    if batch.policy_versions is None:
        raise ValueError("the batch does not tell with which version of the policy its rows were played")
    kept = iteration - batch.policy_versions <= bound
    dropped = len(batch) - int(kept.sum())
    return (batch.select(kept.nonzero()[:, 0]), dropped) if dropped else (batch, 0)


def split_by_length(batch: TokenBatch, max_tokens: int) -> list[TokenBatch]:
    """Micro-batches of rows of similar length, so that little of each is padding.

    Args:
        batch: with everything that its micro-batches need.
        max_tokens: see ``rows_by_length``.
    """
    return [batch.select(rows) for rows in rows_by_length(batch, max_tokens)]


def rows_by_length(batch: TokenBatch, max_tokens: int) -> list[Tensor]:
    """Which rows make up each micro-batch, int64 (N,).

    Rows are taken longest first, as many as keep rows times the longest's length within
    ``max_tokens``; a row longer than that is a micro-batch by itself.

    Args:
        batch: to split.
        max_tokens: tokens of a micro-batch, padding included, the shared prompt not.
    """
    if max_tokens < 1:
        raise ValueError(f"max_tokens must be at least 1, not {max_tokens}")
    lengths, order = torch.sort(batch.lengths, descending=True, stable=True)
    parts, start = [], 0
    while start < len(order):
        size = max(1, max_tokens // max(1, int(lengths[start])))
        parts.append(order[start : start + size])
        start += size
    return parts
