"""Rollouts: an agent plays episodes in many environments at once.

Each episode goes on as soon as its own reply is there; none waits for the others' longer replies,
as it would in a vector environment, and an environment that is done takes the next episode. So the
environments are a list, each reset with its own seed and options.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import gymnasium as gym

from ss_gym.agents import Conversation
from ss_gym.types import Completion, ConversationTurn, Message, MultiTurnTrajectory
from ss_trainers.chat import EncodedConversation
from ss_trainers.metrics import trajectory_metrics

_LOGGER = logging.getLogger(__name__)

TextEnv = gym.Env[Any, Any]

# Entries of the last step's info that a trajectory holds in fields of their own.
_KEPT_ELSEWHERE = frozenset({"messages", "reward_terms", "success", "scenario_id", "system_prompt", "tools"})


@dataclass(frozen=True, slots=True)
class Episode:
    """What to play.

    Attributes:
        seed: of ``env.reset``; episodes of a group share it, and so scenario and customer.
        options: of ``env.reset``.
        group_id: attempts at the same scenario have the same.
    """

    seed: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    group_id: int = 0


@dataclass(frozen=True, slots=True)
class Rollouts:
    """What was played.

    Attributes:
        trajectories: in the order of the episodes, without those that were dropped.
        dropped: for each episode that was given up because its environment raised: the error.
    """

    trajectories: tuple[MultiTurnTrajectory, ...]
    dropped: tuple[str, ...] = ()

    @classmethod
    def joined(cls, parts: Iterable[Rollouts]) -> Rollouts:
        """Several in one, in their order."""
        parts = list(parts)
        return cls(
            tuple(trajectory for part in parts for trajectory in part.trajectories),
            tuple(error for part in parts for error in part.dropped),
        )

    @property
    def metrics(self) -> dict[str, float]:
        """What the trajectories tell; see :func:`ss_trainers.metrics.trajectory_metrics`."""
        return trajectory_metrics(self.trajectories)


class EpisodesFailedError(RuntimeError):
    """An environment raised in every episode, so that nothing was played."""


class Player(Protocol):
    """An agent that answers conversations in whatever order they come."""

    def submit(self, conversation: Conversation) -> None:
        """Asks for the reply to a conversation."""
        ...

    def replies(self) -> list[tuple[Conversation, Completion]]:
        """At least one of the replies that were asked for and not given yet."""
        ...

    def encoding(self, conversation: Conversation) -> EncodedConversation | None:
        """The ids that the agent saw and sampled; None if it has no tokens."""
        ...

    def close(self, conversation: Conversation) -> None:
        """Frees what is kept for a conversation that has ended."""
        ...


class Lockstep:
    """Lets an agent that answers in batches play: all conversations advance together.

    Args:
        act: one completion for each conversation.
    """

    def __init__(self, act: Callable[[Sequence[Conversation]], Sequence[Completion]]) -> None:
        self._act = act
        self._asked: list[Conversation] = []

    def submit(self, conversation: Conversation) -> None:
        """Keeps the conversation for the next batch."""
        self._asked.append(conversation)

    def replies(self) -> list[tuple[Conversation, Completion]]:
        """The replies to all conversations that were submitted."""
        asked, self._asked = self._asked, []
        return list(zip(asked, self._act(asked), strict=True))

    def encoding(self, conversation: Conversation) -> None:
        """The agent has no tokens."""

    def close(self, conversation: Conversation) -> None:
        """Nothing is kept."""


def rollout(
    player: Player,
    environments: Sequence[TextEnv],
    episodes: Sequence[Episode],
    system_prompt: str | None = None,
) -> Rollouts:
    """Plays the episodes, as many at a time as there are environments.

    An environment that raises ends its episode, which is dropped and logged; the environment is
    used again for the next one.

    Args:
        player: the agent.
        environments: text environments of any kind, with observations and actions that are strings.
        episodes: what to play.
        system_prompt: for conversations whose environment brings none.

    Raises:
        ValueError: if there is no environment.
    """
    if not environments:
        raise ValueError("a rollout needs at least one environment")
    waiting = iter(enumerate(episodes))
    finished: dict[int, MultiTurnTrajectory] = {}
    dropped: dict[int, str] = {}
    lanes: dict[int, _Lane] = {}
    try:
        for env in environments:
            _begin_next(player, env, waiting, lanes, dropped, system_prompt)
        while lanes:
            for conversation, completion in player.replies():
                lane = lanes[id(conversation)]
                try:
                    trajectory = lane.step(completion, player)
                except Exception as error:  # Whatever someone's environment raises concerns its episode alone.
                    dropped[lane.place] = _named(error, lane.env, lane.episode)
                else:
                    if trajectory is None:
                        player.submit(conversation)
                        continue
                    finished[lane.place] = trajectory
                del lanes[id(conversation)]
                player.close(conversation)
                _begin_next(player, lane.env, waiting, lanes, dropped, system_prompt)
    finally:
        for lane in lanes.values():
            player.close(lane.conversation)
    return Rollouts(
        tuple(finished[place] for place in sorted(finished)), tuple(dropped[place] for place in sorted(dropped))
    )


def _begin_next(
    player: Player,
    env: TextEnv,
    waiting: Iterator[tuple[int, Episode]],
    lanes: dict[int, _Lane],
    dropped: dict[int, str],
    system_prompt: str | None,
) -> None:
    """Opens the next episode that can be opened, if there is one."""
    for place, episode in waiting:
        try:
            lane = _Lane(env, place, episode, system_prompt)
        except Exception as error:  # As above.
            dropped[place] = _named(error, env, episode)
            continue
        lanes[id(lane.conversation)] = lane
        player.submit(lane.conversation)
        return


def _named(error: Exception, env: TextEnv, episode: Episode) -> str:
    name = env.spec.id if env.spec is not None else type(env.unwrapped).__name__
    message = f"{name}, seed {episode.seed}, options {dict(episode.options)}: {type(error).__name__}: {error}"
    _LOGGER.warning("an episode was dropped because its environment raised: %s", message, exc_info=error)
    return message


class _Lane:
    """One episode that is going on."""

    def __init__(self, env: TextEnv, place: int, episode: Episode, system_prompt: str | None = None) -> None:
        self.env = env
        self.place = place
        self.episode = episode
        # A copy: environments may keep or change the options they are given.
        observation, info = env.reset(seed=episode.seed, options=dict(episode.options) or None)
        self.conversation = Conversation.begin(observation, info)
        if system_prompt and self.conversation[0]["role"] != "system":
            self.conversation.insert_system_prompt(system_prompt)
        self._scenario_id = str(info.get("scenario_id", ""))
        self._rewards: list[float] = []
        self._terms: Counter[str] = Counter()

    def step(self, completion: Completion, player: Player) -> MultiTurnTrajectory | None:
        """Takes the agent's reply to the environment; gives the trajectory if that ended it."""
        observation, reward, terminated, truncated, info = self.env.step(completion.text)
        encoding = player.encoding(self.conversation)
        self._rewards.append(float(reward))
        for name, value in info.get("reward_terms", {}).items():
            self._terms[name] += value
        self.conversation.record(completion, observation, info)
        # A reply without room for one token: the model's context is full.
        full = completion.finish_reason == "length" and completion.token_ids == ()
        if not (terminated or truncated or full):
            return None
        success = info.get("success") if terminated or truncated else False
        ids = encoding.message_ids if encoding is not None else []
        if full:
            # What did not fit was never read, and would make the sequence longer than the context.
            read = [place for place, reply in self.conversation.completions.items() if reply.token_ids]
            ids = ids[: max(read, default=self._first - 1) + 1 - self._first]
        return self._trajectory(ids, encoding, bool(terminated), success, info)

    @property
    def _first(self) -> int:
        """The place of the first message that is not the system's."""
        return int(self.conversation[0]["role"] == "system")

    def _trajectory(
        self,
        ids: Sequence[tuple[int, ...]],
        encoding: EncodedConversation | None,
        terminated: bool,
        success: Any,
        info: Mapping[str, Any],
    ) -> MultiTurnTrajectory:
        first = self._first
        rewards = iter(self._rewards)
        turns = []
        for place, message in enumerate(self.conversation[first:], first):
            completion = self.conversation.completions.get(place)
            seen = ids[place - first] if place - first < len(ids) else ()
            turns.append(_turn(message, completion, seen, encoding is not None, rewards))
        return MultiTurnTrajectory(
            turns=tuple(turns),
            system_prompt=self.conversation.system_prompt,
            prompt_ids=encoding.prompt_ids if encoding is not None else None,
            scenario_id=self._scenario_id,
            group_id=self.episode.group_id,
            reward_terms=dict(self._terms),
            success=None if success is None else bool(success),
            terminated=terminated,
            truncated=not terminated,
            info={name: value for name, value in info.items() if name not in _KEPT_ELSEWHERE},
        )


def _turn(
    message: Message, completion: Completion | None, seen: tuple[int, ...], tokens: bool, rewards: Iterator[float]
) -> ConversationTurn:
    if completion is not None:
        return ConversationTurn(
            role="assistant",
            content=completion.text,
            tool_calls=tuple(message.get("tool_calls") or ()),
            token_ids=completion.token_ids,
            logprobs=completion.logprobs,
            reward=next(rewards),
        )
    return ConversationTurn(
        role=message["role"],
        content=str(message["content"] or ""),
        tool_calls=tuple(message.get("tool_calls") or ()),
        tool_call_id=str(message.get("tool_call_id", "")),
        token_ids=seen if tokens else None,
    )
