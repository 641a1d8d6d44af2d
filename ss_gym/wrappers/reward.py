"""Wrappers that change what an agent is rewarded for."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from typing import Any, Literal

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from ss_gym.agents.conversation import Conversation
from ss_gym.environment import TextEnvironment
from ss_gym.rewards.function import RewardFunction, Scoring, as_reward_function, is_finite, turns_of
from ss_gym.spelling import nearest
from ss_gym.types import Completion, Message


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
    """Rewards what was said as well, or instead, with the last step or after each reply.

    The function is asked about the conversation so far, the user's answer to the last reply included. Its
    context is the step's info with ``system_prompt``. With ``when="end"`` it is asked once, when the
    episode ends or is cut, and its score is paid. With ``when="turn"`` it is asked after each step in which
    the agent said something to the user, and after the last; what is paid is the score now less the
    score before, 0 at first. So an episode adds up to the same, the score of the whole conversation, and a
    longer one does not pay more; only when it is paid is another matter. Steps with tool calls pay nothing
    of it.

    What is paid, times the function's weight where it is added to another reward, is a term of
    ``info["reward_terms"]`` and, in sum, of ``info["episode_terms"]`` under its name; what the score is
    made of is in ``info["reward_breakdown"]``. A reward that is missing pays nothing and has no term;
    ``info["reward_missing"]`` tells why, and also which parts of a sum were left out. Before the end, the
    next score is then compared with the last one that was there. ``info["success"]`` and
    ``info["messages"]`` stay as they are.

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
        when: ``"end"`` or ``"turn"``, see above. A state that is set in the middle of an episode
            (``set_state``) does not hold what was paid: use ``"end"`` there.

    Raises:
        ValueError: if ``when`` is something else, or the environment has a reward term of the function's name;
            from ``step`` where it does not tell its terms.
    """

    def __init__(
        self,
        env: gym.Env[str, str],
        reward_fn: RewardFunction | Scoring,
        keep: bool = True,
        when: Literal["end", "turn"] = "end",
    ) -> None:
        if when not in ("end", "turn"):
            raise ValueError(f"when must be 'end' or 'turn', got {when!r}")
        RecordConstructorArgs.__init__(self, reward_fn=reward_fn, keep=keep, when=when)
        gym.Wrapper.__init__(self, env)
        self._reward_fn = as_reward_function(reward_fn)
        self._keep = keep
        self._when = when
        self._paid: float | None = None
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
        self._paid = None
        return observation, info

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """The environment's step with the function's reward, where it has one."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._conversation.record(Completion(action), observation, info)
        own = float(reward)
        if not self._keep:
            own, info = 0.0, {**info, "reward_terms": {}}
        ended = terminated or truncated
        if ended or (self._when == "turn" and _has_spoken(info)):
            paid, info = self._judged(info, ended)
            own += paid
        return observation, own, terminated, truncated, info

    def _judged(self, info: dict[str, Any], ended: bool) -> tuple[float, dict[str, Any]]:
        """What the function pays for this step, and the info with its terms."""
        function, base = self._reward_fn, self.env.unwrapped
        prompt = self._conversation.system_prompt
        # What an environment of ours remembers is right even after its state was set.
        messages = base.messages if isinstance(base, TextEnvironment) else self._conversation
        result = function.compute_or_miss(turns_of(messages), {**info, "system_prompt": prompt})
        before, there = self._paid, not math.isnan(result.score)
        if there:
            self._paid = function.weight * result.score if self._keep else result.score
        paid = (self._paid or 0.0) - (before or 0.0)
        due = {"reward_terms": paid if there else None, **({"episode_terms": self._paid} if ended else {})}
        terms = {}
        for name, value in due.items():
            kept = info.get(name, {}) if self._keep else {}
            self._check_name(kept)
            terms[name] = kept if value is None else {**kept, function.name: value}
        told = {**terms, "reward_breakdown": {**info.get("reward_breakdown", {}), **result.breakdown}}
        if result.missing:
            told["reward_missing"] = {**info.get("reward_missing", {}), **result.missing}
        return paid, {**info, **told}

    def _check_name(self, terms: Container[str]) -> None:
        name = self._reward_fn.name
        if name in terms:
            raise ValueError(f"the environment has a reward term {name!r} already: give the function another name")


def _has_spoken(info: Mapping[str, Any]) -> bool:
    """Whether the agent's step was something said to the user; without messages, every step is."""
    messages: Sequence[Message] = info.get("messages") or ()
    return not messages or not messages[0].get("tool_calls")


def _term_names(env: gym.Env[str, str]) -> frozenset[str]:
    """The reward terms that an environment or a wrapper around it tells; empty if it does not."""
    return frozenset(env.get_wrapper_attr("term_names") if env.has_wrapper_attr("term_names") else ())
