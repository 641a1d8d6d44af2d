"""Wrappers of text environments; ``ss_gym.wrappers.vector`` has them for batches."""

from __future__ import annotations

from ss_gym.wrappers.action import Menu, MenuAction
from ss_gym.wrappers.hashing import HashingEncoder
from ss_gym.wrappers.minari import to_minari
from ss_gym.wrappers.observation import (
    ChatObservation,
    EmbeddingObservation,
    FeatureObservation,
    TokenObservation,
    TranscriptObservation,
)
from ss_gym.wrappers.planning import PlanContext
from ss_gym.wrappers.randomization import DomainRandomization
from ss_gym.wrappers.recording import RecordTrajectories
from ss_gym.wrappers.reward import RewardWrapper, WeightedReward
from ss_gym.wrappers.shaping import PotentialShaping, TurnPenalty
from ss_gym.wrappers.trajectories import RecordedTokens, RecordedTrajectory, read_trajectories

__all__ = [
    "ChatObservation",
    "DomainRandomization",
    "EmbeddingObservation",
    "FeatureObservation",
    "HashingEncoder",
    "Menu",
    "MenuAction",
    "PlanContext",
    "PotentialShaping",
    "RecordTrajectories",
    "RecordedTokens",
    "RecordedTrajectory",
    "RewardWrapper",
    "TokenObservation",
    "TranscriptObservation",
    "TurnPenalty",
    "WeightedReward",
    "read_trajectories",
    "to_minari",
]
