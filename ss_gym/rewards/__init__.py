"""Rewards: the verifiable outcome of a task, and functions of what was said."""

from __future__ import annotations

from ss_gym.rewards.composite import CompositeReward, TurnwiseReward
from ss_gym.rewards.function import MissingReward, RewardFunction, RewardResult, reward_function

__all__ = [
    "CompositeReward",
    "MissingReward",
    "RewardFunction",
    "RewardResult",
    "TurnwiseReward",
    "reward_function",
]
