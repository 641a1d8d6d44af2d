"""Agents, environments and episodes as the checks see them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, NoReturn, Protocol

import gymnasium

from ss_gym.agents.conversation import Conversation
from ss_gym.asynchronous import settled
from ss_gym.types import Completion, Message

Environment = gymnasium.Env[str, str]


class ActingAgent(Protocol):
    """What the checks ask of an agent."""

    def act(self, conversations: Sequence[Sequence[Message]]) -> list[Completion]:
        """The next completion of each conversation."""
        ...


def trace_digest(env: Environment, agent: ActingAgent, seeds: Iterable[int]) -> str:
    """A hash of every byte that an agent and an environment exchange, and of every reward.

    It is equal in any process, on any platform and after pickling, for an agent that is
    deterministic.

    Args:
        env: any text environment with JSON infos.
        agent: plays.
        seeds: one episode each.
    """
    trace = blake2b(digest_size=16)
    for seed in seeds:
        for record in episode(env, agent, {"seed": seed}):
            trace.update(encode(record))
    return trace.hexdigest()


def encode(value: Any) -> bytes:
    """A record as JSON; raises ``AssertionError`` for what JSON can't hold."""
    return json.dumps(value, sort_keys=True, default=_not_json).encode()


def _not_json(value: Any) -> NoReturn:
    raise AssertionError(f"an info must hold what JSON can, got {value!r:.100}")


def episode(env: Environment, agent: ActingAgent, reset: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Plays an episode; gives what ``reset`` and every ``step`` returned, with the action before it."""
    observation, info = env.reset(**reset)
    yield observation, info
    conversation = Conversation.begin(observation, info)
    ended = False
    while not ended:
        (completion,) = settled(agent.act([conversation]))
        observation, reward, terminated, truncated, info = env.step(completion.text)
        yield completion.text, observation, reward, terminated, truncated, info
        conversation.record(completion, observation, info)
        ended = terminated or truncated
