"""Wrappers that add a term to each step's reward; ``ss_gym.wrappers.vector`` has them for batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from ss_gym.rewards.function import is_finite
from ss_gym.types import Message
from ss_gym.wrappers.following import Resuming, opening_messages, step_messages, with_messages

SHAPING = "shaping"
TURN_PENALTY = "turn_penalty"
PROGRESS_WEIGHT = 0.5

Potential = Callable[[Any], float]


class PotentialShaping(Resuming, RecordConstructorArgs):
    """Adds F = γΦ(s') − Φ(s) to each step's reward, where Φ is a potential of states.

    Φ is 0 at the end of every episode, truncation included: stalling must not pay, and the policies that
    are optimal stay so (Ng, Harada and Russell 1999, theorem 1; for episodes Grześ 2017). The discounted
    sum Σ γᵗFₜ of an episode is −Φ(s₀) whatever is done. At γ = 1 this is the plain sum: shaping tells
    which *step* was good. Methods that reward a trajectory as a whole, as GRPO does, see only the constant.

    The term is ``"shaping"`` in ``info["reward_terms"]`` and ``info["episode_terms"]``; ``info["success"]``
    stays as it is. Leave it off in evaluations.

    >>> import ss_gym
    >>> def said(env):
    ...     return 0.1 * len(env.unwrapped.messages)
    >>> env = PotentialShaping(gym.make("StateSet/Conversation-v0"), said)
    >>> _ = env.reset(seed=1)
    >>> round(env.step("Hello!")[1], 6)  # the agent's message and the answer
    0.2

    Args:
        env: any environment.
        potential: Φ, a function of the environment that this wrapper was put around, asked after each
            ``reset`` and ``step``. By default half of its ``progress()``, a number in [0, 1].
        gamma: γ, the discount of the algorithm, in [0, 1].

    Raises:
        TypeError: if the potential is no function, or there is none and the environment has no
            ``progress``.
        ValueError: if γ is out of range, the environment has a term of this name already, or, from
            ``reset`` and ``step``, the potential is no finite number.
    """

    def __init__(self, env: gym.Env[Any, Any], potential: Potential | None = None, gamma: float = 1.0) -> None:
        RecordConstructorArgs.__init__(self, _disable_deepcopy=True, potential=potential, gamma=gamma)
        super().__init__(env)
        check_gamma(gamma)
        check_new_term(env, SHAPING)
        if potential is None and not hasattr(env.unwrapped, "progress"):
            raise TypeError(no_progress(type(env.unwrapped).__name__))
        if potential is not None and not callable(potential):
            raise TypeError(f"a potential is a function of the environment, got {potential!r:.80}")
        self._potential: Potential = potential or half_progress
        self._gamma = float(gamma)
        self._before = 0.0
        self._total = 0.0

    @property
    def term_names(self) -> frozenset[str]:
        """The reward terms of its infos; empty where the environment does not tell its own."""
        return terms_with(self.env, SHAPING)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The environment's reset."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._before, self._total = finite_potential(self._potential(self.env)), 0.0
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """The environment's step, with the shaping."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        ended = terminated or truncated
        after = 0.0 if ended else finite_potential(self._potential(self.env))
        term = self._gamma * after - self._before
        self._before = after
        self._total += term
        info = with_term(info, SHAPING, term, self._total if ended else None)
        return observation, float(reward) + term, terminated, truncated, info

    def _resume(self, messages: list[Message], running: bool) -> None:
        # What was paid before is not known; at γ = 1 it would be the difference of the potentials.
        self._before = finite_potential(self._potential(self.env)) if running else 0.0
        self._total = 0.0


class TurnPenalty(Resuming, RecordConstructorArgs):
    """Takes something off the reward for each turn beyond the free ones.

    A turn is what the agent says to the user. Steps that call tools are none, whether the call could be
    read or not. The term is ``"turn_penalty"`` in ``info["reward_terms"]`` of the steps that pay, and in
    ``info["episode_terms"]``; ``info["success"]`` stays as it is.

    >>> import ss_gym
    >>> env = TurnPenalty(gym.make("StateSet/Conversation-v0"), penalty=0.1, free_turns=1)
    >>> _ = env.reset(seed=1)
    >>> env.step("Hello!")[1], env.step("Yes?")[1]
    (0.0, -0.1)

    Args:
        env: any environment with text.
        penalty: what each turn costs, not negative.
        free_turns: how many turns cost nothing.

    Raises:
        ValueError: if one of them is negative or no number, or the environment has a term of this name.
    """

    def __init__(self, env: gym.Env[Any, Any], penalty: float = 0.01, free_turns: int = 0) -> None:
        RecordConstructorArgs.__init__(self, penalty=penalty, free_turns=free_turns)
        super().__init__(env)
        check_penalty(penalty, free_turns)
        check_new_term(env, TURN_PENALTY)
        self._penalty, self._free_turns = float(penalty), int(free_turns)
        self._turns = 0

    @property
    def term_names(self) -> frozenset[str]:
        """The reward terms of its infos; empty where the environment does not tell its own."""
        return terms_with(self.env, TURN_PENALTY)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The environment's reset."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._turns = 0
        return observation, with_messages(info, opening_messages(observation, info))

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """The environment's step, with the penalty."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        messages = step_messages(action, observation, info)
        self._turns += turns_among(messages)
        paid = self._turns - self._free_turns
        term = -self._penalty if paid > 0 and turns_among(messages) else None
        total = -self._penalty * max(paid, 0) if terminated or truncated else None
        info = with_term(with_messages(info, messages), TURN_PENALTY, term, total)
        return observation, float(reward) + (term or 0.0), terminated, truncated, info

    def _resume(self, messages: list[Message], running: bool) -> None:
        self._turns = turns_among(messages)


def turns_among(messages: list[Message]) -> int:
    """How many of the messages are the agent's turns."""
    return sum(message["role"] == "assistant" and not message.get("tool_calls") for message in messages)


def with_term(info: dict[str, Any], name: str, term: float | None, total: float | None) -> dict[str, Any]:
    """An info with one more term of the reward.

    Args:
        info: a step's.
        name: the term's.
        term: what the step got; None for nothing.
        total: what the episode got, on its last step; None before.

    Raises:
        ValueError: if the info has a term of this name already.
    """
    if name in info.get("reward_terms", ()):
        raise ValueError(taken(name))
    added = dict(info)
    if term is not None:
        added["reward_terms"] = {**info.get("reward_terms", {}), name: term}
    if total is not None and (total or term is not None) and "episode_terms" in info:
        added["episode_terms"] = {**info["episode_terms"], name: total}
    return added


def terms_with(env: Any, name: str) -> frozenset[str]:
    """The reward terms that an environment tells and one more; empty if it does not tell."""
    known = frozenset(env.get_wrapper_attr("term_names")) if env.has_wrapper_attr("term_names") else frozenset()
    return known | {name} if known else known


def check_new_term(env: Any, name: str) -> None:
    """Checks that an environment has no reward term of a name.

    Raises:
        ValueError: if it has: two terms of one name could not be told apart.
    """
    if env.has_wrapper_attr("term_names") and name in env.get_wrapper_attr("term_names"):
        raise ValueError(taken(name))


def taken(name: str) -> str:
    """What is said where a term's name is in use."""
    return f"the environment has a reward term {name!r} already: is it wrapped twice?"


def check_gamma(gamma: object) -> None:
    """Checks a discount.

    Raises:
        ValueError: if it is not in [0, 1].
    """
    if not is_finite(gamma) or not 0 <= gamma <= 1:  # type: ignore[operator]
        raise ValueError(f"gamma must be a number in [0, 1], got {gamma!r:.80}")


def check_penalty(penalty: object, free_turns: object) -> None:
    """Checks the settings of a penalty.

    Raises:
        ValueError: if one of them is negative or no number.
    """
    if not is_finite(penalty) or penalty < 0:  # type: ignore[operator]
        raise ValueError(f"penalty must be a finite number, 0 or more: it is taken off the reward; got {penalty!r:.80}")
    if isinstance(free_turns, bool) or not isinstance(free_turns, int) or free_turns < 0:
        raise ValueError(f"free_turns must be an int, 0 or more, got {free_turns!r:.80}")


def half_progress(env: Any) -> float:
    """The default potential."""
    return PROGRESS_WEIGHT * float(env.unwrapped.progress())


def no_progress(environment: str) -> str:
    """What is said where the default potential can't be had."""
    return f"{environment} has no progress(): pass potential=…, a function of the environment"


def finite_potential(value: Any) -> float:
    """A potential as a float.

    Raises:
        ValueError: if it is no finite number.
    """
    number = value.item() if hasattr(value, "item") else value
    if not is_finite(number):
        raise ValueError(f"a potential must be a finite number, got {value!r:.80}")
    return float(number)
