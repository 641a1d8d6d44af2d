"""Wrappers that change what an agent is rewarded for."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from ss_gym.agents.conversation import Conversation
from ss_gym.environment import TextEnvironment
from ss_gym.rewards.function import RewardFunction, Scoring, as_reward_function, is_finite, turns_of
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
            if not is_finite(weight):
                raise ValueError(f"the weight of {name!r} must be a finite number, got {weight!r}")
        known = sorted(_term_names(env))
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
    """Rewards what was said as well, or instead, with the last step.

    The function is asked once, when the episode ends or is cut. Its context is the last step's info
    with ``system_prompt``. Its score, times its weight where it is added to another reward, is a term
    of ``info["reward_terms"]`` and ``info["episode_terms"]`` under its name, and what the score is made
    of is in ``info["reward_breakdown"]``. ``info["success"]`` stays as it is.

    >>> import ss_gym
    >>> def brief(turns, context=None):
    ...     return float(all(len(turn.content) < 80 for turn in turns if turn.role == "assistant"))
    >>> env = RewardWrapper(gym.make("StateSet/Conversation-v0", max_turns=1), brief)
    >>> env.reset(seed=1)[0] != "", env.step("Hello!")[1]
    (True, 1.0)

    Args:
        env: any environment with text observations and actions.
        reward_fn: a ``RewardFunction``, or a function of the turns and a context.
        keep: whether the environment's own reward counts too; without it, its terms are left out.

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
        self._check_name(_term_names(env))

    @property
    def term_names(self) -> frozenset[str]:
        """The reward terms of its infos; empty where the environment does not tell its own."""
        own = {self._reward_fn.name}
        inner = _term_names(self.env)
        return frozenset((inner | own if inner else ()) if self._keep else own)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """The environment's reset."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._conversation = Conversation.begin(observation, info)
        return observation, info

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """The environment's step; the last one has the function's reward too."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._conversation.record(Completion(action), observation, info)
        own = float(reward)
        if not self._keep:
            own, info = 0.0, {**info, "reward_terms": {}}
        if terminated or truncated:
            score, info = self._judged(info)
            own += score
        return observation, own, terminated, truncated, info

    def _judged(self, info: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        """The function's part of the reward, and the info with its terms."""
        function, base = self._reward_fn, self.env.unwrapped
        prompt = self._conversation.system_prompt
        # What an environment of ours remembers is right even after its state was set.
        messages = base.messages if isinstance(base, TextEnvironment) else self._conversation
        result = function.compute(turns_of(messages), {**info, "system_prompt": prompt})
        score = function.weight * result.score if self._keep else result.score
        kept = {name: info.get(name, {}) if self._keep else {} for name in ("reward_terms", "episode_terms")}
        self._check_name(kept["reward_terms"])
        terms = {name: {**values, function.name: score} for name, values in kept.items()}
        breakdown = {**info.get("reward_breakdown", {}), **result.breakdown}
        return score, {**info, **terms, "reward_breakdown": breakdown}

    def _check_name(self, terms: Container[str]) -> None:
        name = self._reward_fn.name
        if name in terms:
            raise ValueError(f"the environment has a reward term {name!r} already: give the function another name")


def _term_names(env: gym.Env[str, str]) -> frozenset[str]:
    """The reward terms that an environment or a wrapper around it tells; empty if it does not."""
    return frozenset(env.get_wrapper_attr("term_names") if env.has_wrapper_attr("term_names") else ())
