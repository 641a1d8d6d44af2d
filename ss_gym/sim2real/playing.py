"""Conversations of an agent with customers, many at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Protocol

import gymnasium as gym

from ss_gym.agents import Conversation
from ss_gym.types import Completion, Message
from ss_gym.users.rendezvous import Rendezvous
from ss_gym.users.simulator import UserSimulator, load_user

_AT_ONCE = 64


class Acting(Protocol):
    """An agent that answers customers."""

    def act(self, conversations: Sequence[Conversation]) -> Sequence[Completion]:
        """The next action of each conversation, in the same order."""
        ...


def conversations_with(
    user: str | UserSimulator,
    agent: Acting,
    made: Callable[[str | UserSimulator], gym.Env[Any, Any]],
    options: Sequence[tuple[int, dict[str, Any]]],
) -> list[tuple[Message, ...]]:
    """Plays an episode for each seed and reset options.

    The agent answers all conversations that are under way in one call, and a model that plays the customers does, too.

    Args:
        user: who plays the customers, as environments take it.
        agent: who answers them.
        made: makes an environment of customers.
        options: seed and reset options of each episode.

    Returns:
        the messages of each, in OpenAI form.
    """
    player = load_user(user)
    together = None if player is None else Rendezvous(player)
    environments = [made(together or user) for _ in range(min(_AT_ONCE, len(options)))]
    try:
        waiting = iter(enumerate(options))
        done: dict[int, tuple[Message, ...]] = {}
        lanes = [_begun(env, *one) for env, one in zip(environments, waiting, strict=False)]
        while lanes:
            completions = agent.act([conversation for _, conversation, _ in lanes])
            steps = _stepped([env for env, _, _ in lanes], [each.text for each in completions], together)
            going = []
            for (env, conversation, place), completion, step in zip(lanes, completions, steps, strict=True):
                observation, _, terminated, truncated, info = step
                conversation.record(completion, observation, info)
                if not (terminated or truncated):
                    going.append((env, conversation, place))
                    continue
                done[place] = tuple(conversation)
                going += [_begun(env, *one) for one in islice(waiting, 1)]
            lanes = going
    finally:
        for env in environments:
            env.close()
        if together is not None:
            together.close()
    return [done[place] for place in sorted(done)]


def _stepped(environments: Sequence[gym.Env[Any, Any]], actions: Sequence[str], together: Rendezvous | None) -> Any:
    """What each environment answers; their customers are asked together."""
    if together is None:
        return [env.step(action) for env, action in zip(environments, actions, strict=True)]
    return together.run(lambda row: environments[row].step(actions[row]), range(len(actions)))


def _begun(env: gym.Env[Any, Any], place: int, given: tuple[int, dict[str, Any]]) -> tuple[Any, Conversation, int]:
    seed, options = given
    return env, Conversation.begin(*env.reset(seed=seed, options=options)), place
