"""Conversations on refunds that end early, for tests in which their length plays no part."""

from __future__ import annotations

import gymnasium as gym
import pytest

LIMITS = {"max_turns": 3, "max_steps": 5}


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Lets them end after three replies or five steps, wherever this process makes the environment by its id."""
    for limit, value in LIMITS.items():
        patch.setitem(gym.spec("StateSet/Refund-v0").kwargs, limit, value)
