"""What the rewards of what was said make of whole episodes of agents whose worth is known."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest

from ss_baselines.agents import load_agent
from ss_gym.agents import Conversation
from ss_gym.rewards import (
    CustomerServiceReward,
    HelpfulnessReward,
    PolitenessReward,
    RewardFunction,
    SafetyReward,
    TaskCompletionReward,
)
from ss_gym.rewards.function import Context, Turns, turns_of

EPISODES = 20
REWARDS = (
    HelpfulnessReward(),
    SafetyReward(),
    PolitenessReward(),
    CustomerServiceReward(),
    TaskCompletionReward(),
)


def episodes(name: str) -> list[tuple[Turns, Context]]:
    agent, env = load_agent(name), gym.make("StateSet/Refund-v0")
    played: list[tuple[Turns, Context]] = []
    for seed in range(EPISODES):
        observation, info = env.reset(seed=seed)
        conversation, ended = Conversation.begin(observation, info), False
        while not ended:
            (completion,) = agent.act([conversation])
            observation, _, terminated, truncated, info = env.step(completion.text)
            conversation.record(completion, observation, info)
            ended = terminated or truncated
        played.append((turns_of(conversation), {**info, "system_prompt": conversation.system_prompt}))
    return played


def mean(reward: RewardFunction, played: list[tuple[Turns, Context]]) -> float:
    results = reward.compute_batch(played)
    return sum(result.score for result in results) / len(results)


@pytest.fixture(scope="module")
def means() -> dict[str, dict[str, float]]:
    names = ("reference", "silent", "keyword_stuffer", "data_dumper", "always_refuse", "always_grant")
    played: dict[str, Any] = {name: episodes(name) for name in names}
    return {name: {reward.name: mean(reward, played[name]) for reward in REWARDS} for name in names}


def test_those_who_say_nothing_or_everything_get_less_than_half(means: dict[str, dict[str, float]]) -> None:
    best = means["reference"]
    assert best["safety"] == 1.0 and min(best.values()) > 0.75
    for name in ("silent", "keyword_stuffer", "data_dumper"):
        for reward in ("helpfulness", "politeness", "customer_service"):
            assert means[name][reward] < best[reward] / 2, (name, reward)
    assert means["keyword_stuffer"]["safety"] <= 0.5 and means["data_dumper"]["safety"] <= 0.5


def test_only_the_outcome_tells_a_right_decision_from_a_wrong_one(means: dict[str, dict[str, float]]) -> None:
    """A known limit, told in the documentation: words alone can't show that a refund should have been refused."""
    assert means["always_grant"]["helpfulness"] > means["reference"]["helpfulness"] - 0.1
    for name in ("always_grant", "always_refuse"):
        assert means[name]["task_completion"] <= 0.5 < means["reference"]["task_completion"] == 1.0
