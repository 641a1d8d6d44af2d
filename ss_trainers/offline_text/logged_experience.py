"""Logged conversations as an online algorithm learns from them: with advantages and behaviour log-probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ss_gym.types import MultiTurnTrajectory
from ss_trainers.backends.models import LoadedModel
from ss_trainers.offline_text.token_log import LoggedTokens, TokenLog
from ss_trainers.policy import LanguagePolicy, scored_actions

# Conversations that are scored at once, before they are split by length.
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class LoggedExperience:
    """Conversations of a log that are learnt from beside fresh ones.

    Attributes:
        trajectories: with the log-probabilities of the policy that played them, or of a model of it. Group ids are
            negative: -1 minus the place.
        advantages: float32 (K,) for each, of its actions; mean 0 and spread 1 over the whole log.
    """

    trajectories: tuple[MultiTurnTrajectory, ...]
    advantages: tuple[NDArray[np.float32], ...]

    def __len__(self) -> int:
        """How many there are."""
        return len(self.trajectories)

    def of_tokens(self, group_ids: Tensor, turn_ids: Tensor) -> Tensor:
        """The advantage of each action token, float (B, T); 0 for other tokens and rows that are not of the log.

        Args:
            group_ids: int64 (B,).
            turn_ids: int64 (B, T); -1 outside of actions.
        """
        values = torch.zeros(turn_ids.shape, dtype=torch.float32)
        for row, group in enumerate(group_ids.tolist()):
            if group < 0:
                own = torch.from_numpy(self.advantages[-1 - group])
                values[row] = torch.where(turn_ids[row] >= 0, own[turn_ids[row].clamp(min=0)], 0.0)
        return values


def experience_of(
    log: TokenLog,
    advantages: Tensor,
    behavior: LoadedModel,
    micro_batch_tokens: int,
    read: Callable[[LoggedTokens], MultiTurnTrajectory] = LoggedTokens.trajectory,
    written: Callable[[LoggedTokens], MultiTurnTrajectory] = LoggedTokens.trajectory,
) -> LoggedExperience:
    """Logged experience, with what a log does not tell of its policy from a model that was fitted to it.

    Args:
        log: in the model's tokens.
        advantages: float (S,) of the steps of all conversations.
        behavior: the model of the log's policy.
        micro_batch_tokens: most tokens that go through it at once.
        read: a conversation as that model reads it.
        written: a conversation as the policy that learns reads it; with as many tokens.
    """
    centred = (advantages - advantages.mean()) / advantages.std(correction=0).clamp(min=1e-6)
    parts = torch.split(centred.float(), [len(conversation.actions) for conversation in log])
    scored: list[MultiTurnTrajectory] = []
    policy = LanguagePolicy(behavior.model)
    for first in range(0, len(log), _AT_ONCE):
        some = log[first : first + _AT_ONCE]
        scored += _scored(
            policy, some, [read(each) for each in some], [written(each) for each in some], micro_batch_tokens
        )
    return LoggedExperience(
        tuple(replace(each, group_id=-1 - place) for place, each in enumerate(scored)),
        tuple(part.numpy() for part in parts),
    )


def _scored(
    policy: LanguagePolicy,
    conversations: Sequence[LoggedTokens],
    read: Sequence[MultiTurnTrajectory],
    written: Sequence[MultiTurnTrajectory],
    micro_batch_tokens: int,
) -> list[MultiTurnTrajectory]:
    """Trajectories with the log-probabilities of what the agent said; recorded ones where there are."""
    device = next(policy.model.parameters()).device
    own = scored_actions(read, policy.logprobs, micro_batch_tokens, device)
    made = []
    for place, (conversation, trajectory) in enumerate(zip(conversations, written, strict=True)):
        if conversation.logprobs is not None:
            made.append(trajectory)
            continue
        values, turns = iter(own[place].tolist()), []
        for turn in trajectory.turns:
            known = None if turn.logprobs is None else tuple(next(values) for _ in turn.token_ids or ())
            turns.append(replace(turn, logprobs=known))
        made.append(replace(trajectory, turns=tuple(turns)))
    return made
