"""What an agent must keep."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import gymnasium

from ss_gym.agents.conversation import Conversation
from ss_gym.asynchronous import settled
from ss_gym.testing.completions import check_completion
from ss_gym.testing.episodes import ActingAgent, Environment


def check_agent(
    agent: ActingAgent, env_id: str, episodes: int = 8, *, deterministic: bool = False, **kwargs: Any
) -> None:
    """Checks an agent by playing whole episodes in one batch.

    It must answer each conversation with a ``Completion`` that the environment takes as an action,
    with log-probabilities for exactly its token ids if it has any, leave conversations as they
    are, and take an empty batch.

    Args:
        agent: anything with ``act``, plain or asynchronous.
        env_id: a registered id.
        episodes: how many conversations side by side.
        deterministic: check also that an answer depends on its conversation alone, neither on the
            others of the batch nor on their order.
        **kwargs: what the environment is built with.

    Raises:
        AssertionError: saying what does not hold.
    """
    assert list(settled(agent.act([]))) == [], "act([]) must give an empty list"
    envs = [gymnasium.make(env_id, **kwargs) for _ in range(episodes)]
    seeds = range(episodes)
    texts = _play_batch(agent, envs, seeds)
    if deterministic:
        assert _play_batch(agent, envs, seeds[::-1]) == texts[::-1], (
            "the same conversations in another order got other answers: the agent is not deterministic, "
            "or answers depend on the batch"
        )
    for env in envs:
        env.close()


def _play_batch(agent: ActingAgent, envs: Sequence[Environment], seeds: Sequence[int]) -> list[list[str]]:
    """Plays one episode in each environment, checking every answer; gives the actions."""
    conversations = [Conversation.begin(*env.reset(seed=seed)) for env, seed in zip(envs, seeds, strict=True)]
    texts: list[list[str]] = [[] for _ in envs]
    active = list(range(len(envs)))
    while active:
        batch = [conversations[row] for row in active]
        before = copy.deepcopy([list(conversation) for conversation in batch])
        completions = settled(agent.act(batch))
        assert len(completions) == len(batch), f"{len(batch)} conversations got {len(completions)} completions"
        assert [list(conversation) for conversation in batch] == before, "act changed a conversation"
        still = []
        for row, completion in zip(active, completions, strict=True):
            _check_completion(completion, envs[row])
            texts[row].append(completion.text)
            observation, _, terminated, truncated, info = envs[row].step(completion.text)
            conversations[row].record(completion, observation, info)
            if not (terminated or truncated):
                still.append(row)
        active = still
    return texts


def _check_completion(completion: Any, env: Environment) -> None:
    check_completion(completion)
    assert completion.text in env.action_space, f"not an action: {completion.text!r:.100}"
