"""A conversation of a log: what was recorded of it, and whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import fsum
from typing import Any

from ss_gym.datasets.fingerprints import key_of
from ss_gym.scenarios import parse_scenario_id
from ss_gym.types import Message, MultiTurnTrajectory
from ss_gym.wrappers.trajectories import RecordedTrajectory


@dataclass(frozen=True, slots=True)
class LoggedConversation:
    """A conversation of a log, in one form whatever the log's own was.

    Attributes:
        id: what the log calls it; where it does not, the file and the line.
        episode: what was said, done and paid, as it was logged: messages in OpenAI form, an action and a reward a
            step, success, and the token ids where they are known. The actions are what the agent says in the
            environments of this package: text, or ``<tool_call>`` blocks.
        scenario: names the task: conversations with the same one are attempts at it. Empty where it is not known.
        customer: whose conversation it is. Empty where it is not known.
        score: how good it is, as the log says; None where it does not.
        rewarded: whether the log tells rewards; else those of the episode are 0 and mean nothing.
        action_logprobs: for each action as a whole the log-probability that the agent gave to it, nats; None where
            the log does not tell. ``behavior_logprobs`` also knows those of tokens.
        metadata: what else the log tells, by the names of its format.
        source: the file, or what else it comes from.
        line: where it begins there, counted from 1.
        reward_scale: what ``rewards`` are those of the log times: see
            ``ConversationDatasetConfig.normalize_rewards``.
        discount: γ of ``returns_to_go``: see ``ConversationDatasetConfig.discount``. Conversations that differ in it
            alone are equal, since nothing that was logged differs.
    """

    id: str
    episode: RecordedTrajectory
    scenario: str = ""
    customer: str = ""
    score: float | None = None
    rewarded: bool = True
    action_logprobs: tuple[float, ...] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    line: int = 0
    reward_scale: float = 1.0
    discount: float = field(default=1.0, compare=False)

    @property
    def messages(self) -> tuple[Message, ...]:
        """All messages in OpenAI form, the system message first where there is one."""
        return self.episode.messages

    @property
    def actions(self) -> tuple[Any, ...]:
        """What the agent did, one a step."""
        return self.episode.actions

    @property
    def rewards(self) -> tuple[float, ...]:
        """What it was paid, one a step, times the scale."""
        return tuple([reward * self.reward_scale for reward in self.episode.rewards])

    @property
    def total_reward(self) -> float:
        """The sum of the rewards, times the scale."""
        return self.episode.total_reward * self.reward_scale

    @property
    def success(self) -> bool | None:
        """Whether the task was done; None where the log does not tell."""
        return self.episode.success

    @property
    def turns(self) -> int:
        """How often the agent said something to the customer; tool calls are not said to anybody."""
        own = self.episode.own_places
        return sum(not self.messages[place].get("tool_calls") for place in own)

    @property
    def behavior_logprobs(self) -> tuple[float, ...] | None:
        """For each action the log-probability that the agent gave to it, nats; None where it is not known.

        That of an action of tokens is the sum of theirs.
        """
        if self.action_logprobs is not None or self.episode.tokens is None:
            return self.action_logprobs
        return tuple([fsum(logprobs) for logprobs in self.episode.tokens.logprobs])

    def returns_to_go(self, discount: float | None = None) -> tuple[float, ...]:
        """For each step, the discounted sum of the rewards from it on: R̂_t = r_t + γ R̂_{t+1}.

        >>> from ss_gym.datasets.messages import logged
        >>> said = [{"role": role, "content": "…"} for role in ("user", "assistant", "user", "assistant")]
        >>> logged(said, rewards=[0.5, 1.0]).returns_to_go(0.5)
        (1.0, 1.0)

        Args:
            discount: γ; the conversation's if None.
        """
        gamma = self.discount if discount is None else discount
        after, returns = 0.0, []
        for reward in reversed(self.rewards):
            after = reward + gamma * after
            returns.append(after)
        return tuple(reversed(returns))

    def trajectory(self) -> MultiTurnTrajectory:
        """The conversation as trainers take it, with scaled rewards.

        It has token ids where they were recorded (``ss_trainers.collate`` takes those only). The ``group_id`` is
        the same for all attempts at a scenario; a conversation without a scenario has one of its own.
        """
        episode = self.episode if self.reward_scale == 1.0 else replace(self.episode, rewards=self.rewards)
        group = key_of(self.scenario or f"{self.source}\n{self.line}\n{self.id}") >> 1  # fits an int64
        return replace(episode.trajectory(), group_id=group, scenario_id=self.scenario)


def pair_of(scenario: str) -> str:
    """The name that a scenario shares with its counterfactual twin; its own where it has none.

    >>> pair_of("refund/train/0007"), pair_of("refund/train/0006"), pair_of("monday")
    ('refund/train/pair-0003', 'refund/train/pair-0003', 'monday')
    """
    try:
        family, split, index = parse_scenario_id(scenario)
    except ValueError:
        return scenario
    return f"{family}/{split}/pair-{index // 2:04d}"
