"""Logged episodes as columns of numbers: what they earned, and how likely each action was to two policies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ss_gym.datasets.conversation import LoggedConversation
from ss_gym.datasets.dataset import ConversationDataset
from ss_trainers.functional.off_policy import per_decision
from ss_trainers.off_policy.fitted_q import LoggedSteps

Reward = Literal["reward", "success"]
# How likely each of a conversation's actions is to a policy, nats.
ActionLogprobs = Callable[[LoggedConversation], Sequence[float]]


@dataclass(frozen=True, slots=True)
class LoggedEpisodes:
    """N episodes with H steps at most.

    Attributes:
        rewards: float (N, H).
        behavior_logprobs: float (N, H); how likely each action was to the policy that took it, nats.
        step_mask: bool (N, H); which steps there are.
        clusters: int64 (N,); which episodes tell of each other, such as attempts at one scenario, and are resampled
            together. None if each is alone.

    Raises:
        ValueError: if shapes do not fit, there are no episodes, one has no steps, or a number is not finite.
    """

    rewards: Tensor
    behavior_logprobs: Tensor
    step_mask: Tensor
    clusters: Tensor | None = None

    def __post_init__(self) -> None:
        shapes = [tuple(column.shape) for column in (self.rewards, self.behavior_logprobs, self.step_mask)]
        if len(set(shapes)) > 1 or len(shapes[0]) != 2 or not shapes[0][0]:
            told = f"{shapes[0]}, {shapes[1]} and {shapes[2]}"
            raise ValueError(f"rewards, behavior_logprobs and step_mask must be (N, H) of one size, not {told}")
        if self.step_mask.dtype != torch.bool:
            raise ValueError(f"step_mask must be bool, not {self.step_mask.dtype}")
        if not bool(self.step_mask.any(1).all()):
            raise ValueError(f"episode {int((~self.step_mask.any(1)).nonzero()[0])} has no steps: leave it out")
        for name, column in (("reward", self.rewards), ("behaviour log-probability", self.behavior_logprobs)):
            check_steps(name, self.step_mask & ~column.isfinite(), column)
        if self.clusters is not None and self.clusters.shape != (len(self),):
            raise ValueError(f"clusters must be one for each of {len(self)} episodes, not {tuple(self.clusters.shape)}")

    def __len__(self) -> int:
        return len(self.rewards)

    @classmethod
    def from_dataset(cls, dataset: ConversationDataset, reward: Reward = "reward") -> LoggedEpisodes:
        """The episodes of a log of conversations, each action a step; clusters are ``dataset.groups()``.

        Args:
            dataset: with the log-probability of each action, or of its tokens.
            reward: what is earned: the rewards of the log, or 1 with the last action of an episode that succeeded.

        Raises:
            ValueError: if a conversation does not tell how likely its actions were, or what was earned; both are named.
        """
        earned, likely = [], []
        for one in dataset:
            earned.append(_rewards(one, reward))
            if one.behavior_logprobs is None:
                raise ValueError(
                    f"conversation {one.id!r:.80} does not tell how likely its actions were: log their "
                    "log-probabilities, or evaluate by fitted_q_evaluation alone"
                )
            likely.append(one.behavior_logprobs)
        rewards, step_mask = padded(earned)
        clusters = np.unique(dataset.groups(), return_inverse=True)[1].astype(np.int64)
        return cls(rewards, padded(likely)[0], step_mask, torch.from_numpy(clusters))

    def returns(self, gamma: float = 1.0) -> Tensor:
        """What each episode earned, discounted, float (N,)."""
        even = torch.zeros_like(self.rewards)
        return per_decision(even, even, self.rewards, self.step_mask, gamma)

    def steps(self, features: Tensor) -> LoggedSteps:
        """The steps one after the other, as fitted Q evaluation takes them.

        Args:
            features: float (T, F); of state and action of each step, episode after episode.

        Raises:
            ValueError: see ``LoggedSteps``.
        """
        last = self.step_mask & (self.step_mask.flip(1).cumsum(1).flip(1) == 1)
        return LoggedSteps(features, self.rewards[self.step_mask], last[self.step_mask], self.clusters)

    def table(self, values: Tensor) -> Tensor:
        """Values of steps that stand one after the other, (T,), as (N, H); 0 where there are none.

        Raises:
            ValueError: if there are not as many as there are steps.
        """
        if values.shape != (int(self.step_mask.sum()),):
            raise ValueError(f"there are {int(self.step_mask.sum())} steps, and values of {tuple(values.shape)}")
        return torch.zeros_like(self.rewards, dtype=values.dtype).masked_scatter(self.step_mask, values)


def policy_logprobs(conversations: Iterable[LoggedConversation], policy: ActionLogprobs) -> Tensor:
    """How likely the logged actions are to a policy, float64 (N, H), as ``LoggedEpisodes.from_dataset`` orders them.

    Args:
        conversations: of a log.
        policy: gives for each action of a conversation its log-probability; minus infinity for what it never does.

    Raises:
        ValueError: if it gives another number of them; the conversation is named.
    """
    rows = []
    for one in conversations:
        told = policy(one)
        if len(told) != len(one.actions):
            raise ValueError(
                f"conversation {one.id!r:.80} has {len(one.actions)} actions, and the policy gave {len(told)} "
                "log-probabilities: one an action is needed"
            )
        rows.append(told)
    return padded(rows)[0]


def padded(rows: Sequence[Sequence[float]]) -> tuple[Tensor, Tensor]:
    """Rows of different lengths as float64 (N, H), with 0 behind their ends, and bool (N, H), where they are not.

    >>> padded([[1.0], [2.0, 3.0]])[0].tolist()
    [[1.0, 0.0], [2.0, 3.0]]
    """
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    mask = torch.arange(int(lengths.max()) if len(rows) else 0) < lengths[:, None]
    values = torch.tensor([value for row in rows for value in row], dtype=torch.float64)
    return torch.zeros(mask.shape, dtype=torch.float64).masked_scatter(mask, values), mask


def check_steps(name: str, wrong: Tensor, column: Tensor) -> None:
    """Refuses a column with a wrong number.

    Args:
        name: what its numbers are.
        wrong: bool (N, H).
        column: float (N, H).

    Raises:
        ValueError: names the first.
    """
    if bool(wrong.any()):
        episode, step = (int(place) for place in wrong.nonzero()[0])
        raise ValueError(f"the {name} of episode {episode}, step {step} is {float(column[episode, step])}")


def _rewards(one: LoggedConversation, reward: Reward) -> Sequence[float]:
    if reward == "success":
        if one.success is None:
            raise ValueError(f"conversation {one.id!r:.80} does not tell whether it succeeded: evaluate by its rewards")
        return [*[0.0] * (len(one.actions) - 1), float(one.success)]
    if not one.rewarded:
        raise ValueError(f'conversation {one.id!r:.80} has no rewards: evaluate by reward="success", or log them')
    return one.rewards
