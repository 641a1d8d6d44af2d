"""Wrappers of text environments."""

from __future__ import annotations

from ss_gym.wrappers.reward import RewardWrapper, WeightedReward

__all__ = ["RewardWrapper", "WeightedReward"]
