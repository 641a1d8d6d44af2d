"""Conversations on refunds that end early, for tests in which their length plays no part."""

from __future__ import annotations

import gymnasium as gym
import pytest

import ss_gym  # noqa: F401  registers the ids

LIMITS = {"max_turns": 3, "max_steps": 5}


def shorten(patch: pytest.MonkeyPatch, *others: str) -> None:
    """Lets them end after three replies or five steps, wherever this process makes the environment by its id.

    Args:
        patch: is undone after the test.
        others: ids of other environments that end early, too.
    """
    for env_id in ("StateSet/Refund-v0", *others):
        for limit, value in LIMITS.items():
            patch.setitem(gym.spec(env_id).kwargs, limit, value)
