"""Wrappers that change what an agent is rewarded for."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from numbers import Real
from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from ss_gym.agents.conversation import Conversation
from ss_gym.rewards.function import RewardFunction, Scoring, as_reward_function, turns_of
from ss_gym.spelling import nearest
from ss_gym.types import Completion


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
            raise ValueError(f"the environment has no reward term {name!r}; {nearest(name, known)}")
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


class RewardWrapper(gym.Wrapper[str, str, str, str], RecordConstructorArgs):
    """Rewards what was said as well, or instead: the last step's reward gets weight · score of a function.

    The function is asked once, when the episode ends or is cut. Its context is the last step's info
    with ``system_prompt``. ``info["reward_terms"]`` gets the weighted score under the function's name,
    and ``info["reward_breakdown"]`` what it is made of; ``info["success"]`` stays as it is.

    >>> import ss_gym
    >>> def brief(turns, context=None):
    ...     return float(all(len(turn.content) < 80 for turn in turns if turn.role == "assistant"))
    >>> env = RewardWrapper(gym.make("StateSet/Conversation-v0", max_turns=1), brief)
    >>> env.reset(seed=1)[0] != "", env.step("Hello!")[1]
    (True, 1.0)

    Args:
        env: any environment with text observations and actions.
        reward_fn: a ``RewardFunction``, or a function of the turns and a context.
        keep: whether the environment's own reward counts too.

    Raises:
        ValueError: if the environment has a reward term of the function's name; from the last ``step``
            where it does not tell its terms.
    """

    def __init__(self, env: gym.Env[str, str], reward_fn: RewardFunction | Scoring, keep: bool = True) -> None:
        RecordConstructorArgs.__init__(self, reward_fn=reward_fn, keep=keep)
        gym.Wrapper.__init__(self, env)
        self._reward_fn = as_reward_function(reward_fn)
        self._keep = keep
        self._conversation = Conversation()
        self._check_name(getattr(env.unwrapped, "term_names", ()))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """The environment's reset."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._conversation = Conversation.begin(observation, info)
        return observation, info

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """The environment's step; the last one has the function's reward too."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._conversation.record(Completion(action), observation, info)
        own = float(reward) if self._keep else 0.0
        if not terminated and not truncated:
            return observation, own, terminated, truncated, info
        function, conversation = self._reward_fn, self._conversation
        result = function.compute(turns_of(conversation), {**info, "system_prompt": conversation.system_prompt})
        terms = dict(info.get("reward_terms", {}))
        self._check_name(terms)
        score = function.weight * result.score
        terms[function.name] = score
        info = {**info, "reward_terms": terms, "reward_breakdown": dict(result.breakdown)}
        return observation, own + score, terminated, truncated, info

    def _check_name(self, terms: Container[str]) -> None:
        name = self._reward_fn.name
        if name in terms:
            raise ValueError(f"the environment has a reward term {name!r} already: give the function another name")


def _is_finite(weight: Any) -> bool:
    if isinstance(weight, bool):  # one that is meant as a number is a slip
        return False
    return isinstance(weight, Real) and math.isfinite(weight)
