"""Rewards: the verifiable outcome of a task, and functions of what was said."""

from __future__ import annotations

from ss_gym.rewards.function import CompositeReward, RewardFunction, RewardResult, reward_function

__all__ = ["CompositeReward", "RewardFunction", "RewardResult", "reward_function"]
