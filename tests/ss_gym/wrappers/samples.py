"""What the tests of the wrappers share: functions that can be pickled, and every wrapper once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from ss_gym import wrappers

REFUND = "StateSet/Refund-v0"
CLOSE = '<tool_call>{"name":"end_conversation","arguments":{}}</tool_call>'
LOOK_UP = '<tool_call>{"name":"find_customer","arguments":{"email":"nobody@example.org"}}</tool_call>'


def to_bytes(text: str) -> list[int]:
    return list(text.encode())


def replies(messages: list[dict[str, Any]]) -> float:
    return sum(message["role"] == "assistant" for message in messages) / 50


def characters(env: Any) -> float:
    return 0.01 * sum(len(message["content"]) for message in env.unwrapped.messages)


def close_later(messages: list[dict[str, Any]]) -> str | None:
    return CLOSE if replies(messages) else None


def anybody(rng: np.random.Generator) -> dict[str, Any]:
    return {"user_seed": int(rng.integers(10**6))}


MENU = ("Could you tell me your e-mail and postal code?", LOOK_UP, close_later)

Wrap = Callable[[Any], gym.Env[Any, Any]]


def every_wrapper(folder: str) -> dict[str, Wrap]:
    """Name -> what puts the wrapper around an environment."""
    return {
        "transcript": lambda env: wrappers.TranscriptObservation(env, include_system=True),
        "chat": wrappers.ChatObservation,
        "tokens": lambda env: wrappers.TokenObservation(env, to_bytes, 300, vocabulary_size=256),
        "features": lambda env: wrappers.FeatureObservation(env, [replies]),
        "embedding": wrappers.EmbeddingObservation,
        "menu": lambda env: wrappers.MenuAction(env, MENU),
        "features of a menu": lambda env: wrappers.FeatureObservation(wrappers.MenuAction(env, MENU), [replies]),
        "shaping": lambda env: wrappers.PotentialShaping(env, characters, gamma=0.9),
        "plan": lambda env: wrappers.PlanContext(env, max_steps=3, show="turns"),
        "turn penalty": lambda env: wrappers.TurnPenalty(env, 0.125, free_turns=1),
        "recording": lambda env: wrappers.RecordTrajectories(env, f"{folder}/episodes.jsonl"),
        "randomization": lambda env: wrappers.DomainRandomization(env, anybody),
    }


NAMES = tuple(every_wrapper(""))
