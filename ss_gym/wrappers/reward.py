"""Wrappers that change what an agent is rewarded for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from numbers import Real
from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs


class WeightedReward(gym.Wrapper[str, str, str, str], RecordConstructorArgs):
    """The reward as a weighted sum of its terms: reward = Σ weight · term.

    ``info["reward_terms"]`` and ``info["success"]`` stay as they are, so evaluations are comparable.

    >>> import ss_gym
    >>> env = WeightedReward(gym.make("StateSet/Refund-v0"), {"success": 1.0}, default=0.0)
    >>> env.reset(seed=1)[0] != "", env.step("Hello!")[1]
    (True, 0.0)

    Args:
        env: an environment that gives ``info["reward_terms"]`` with every step.
        weights: weight by name of the term.
        default: weight of the terms that ``weights`` does not name.

    Raises:
        ValueError: if a weight is not a finite number, or the environment has no term of that name.
        KeyError: from ``step``, if the environment gives no reward terms.
    """

    def __init__(self, env: gym.Env[str, str], weights: Mapping[str, float], default: float = 1.0) -> None:
        for name, weight in [*weights.items(), ("default", default)]:
            if not _is_finite(weight):
                raise ValueError(f"the weight of {name!r} must be a finite number, got {weight!r}")
        known = sorted(getattr(env.unwrapped, "term_names", ()))
        for name in sorted(set(weights).difference(known)) if known else ():
            nearest = get_close_matches(name, known, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"it has {', '.join(known)}"
            raise ValueError(f"the environment has no reward term {name!r}; {hint}")
        RecordConstructorArgs.__init__(self, weights=dict(weights), default=default)
        gym.Wrapper.__init__(self, env)
        self._weights = dict(weights)
        self._default = default

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """The environment's step with the weighted reward."""
        observation, _, terminated, truncated, info = self.env.step(action)
        terms: Mapping[str, float] = info["reward_terms"]
        reward = sum(self._weights.get(name, self._default) * value for name, value in terms.items())
        return observation, float(reward), terminated, truncated, info


def _is_finite(weight: Any) -> bool:
    if isinstance(weight, bool):  # one that is meant as a number is a slip
        return False
    return isinstance(weight, Real) and math.isfinite(weight)
