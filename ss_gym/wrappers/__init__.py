"""Wrappers of text environments."""

from __future__ import annotations

from ss_gym.wrappers.hashing import HashingEncoder
from ss_gym.wrappers.observation import (
    ChatObservation,
    EmbeddingObservation,
    FeatureObservation,
    TokenObservation,
    TranscriptObservation,
)
from ss_gym.wrappers.reward import RewardWrapper, WeightedReward

__all__ = [
    "ChatObservation",
    "EmbeddingObservation",
    "FeatureObservation",
    "HashingEncoder",
    "RewardWrapper",
    "TokenObservation",
    "TranscriptObservation",
    "WeightedReward",
]
