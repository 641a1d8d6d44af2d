"""What each action of a conversation was paid, from wherever a log tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isclose
from typing import Any

from ss_gym.datasets.records import RecordError
from ss_gym.rewards.function import is_finite


def rewards_of(
    messages: Sequence[Mapping[str, Any]], own: Sequence[int], rewards: Any, reward: Any
) -> tuple[float, ...] | None:
    """A reward for each action; None where none is told.

    A log may tell them in the messages, one by one, or as one number, which is then that of the last action. Where it
    tells them in several of these ways, they must agree, and one number must be the sum: so nothing that was told is
    passed over.

    Args:
        messages: as the log has them, each perhaps with a ``reward``.
        own: where the agent's actions are.
        rewards: one an action, or one number; None where they are not told so.
        reward: one number; None where it is not told.

    Raises:
        RecordError: if one is no finite number, there are not as many as actions, a message is paid that is no
            action, or they contradict each other.
    """
    _check_others(messages, own)
    ones = [("reward", reward)]
    if rewards is not None and not isinstance(rewards, list | tuple):
        ones, rewards = [("rewards", rewards), *ones], None
    ones = [(name, _number(one)) for name, one in ones if one is not None]
    in_messages = [None if (one := messages[place].get("reward")) is None else _number(one) for place in own]
    told = any(one is not None for one in in_messages)
    if rewards is not None:
        paid = _each(rewards, own)
        if not all(one is None or _agree(one, other) for one, other in zip(in_messages, paid, strict=True)):
            raise _contradiction(f"'rewards' are {_listed(paid)}, those in the messages {_listed(in_messages)}")
    elif told:
        paid = [one or 0.0 for one in in_messages]
    elif ones:
        paid = [*[0.0] * (len(own) - 1), ones[0][1]]
    else:
        return None
    for name, one in ones:
        if not _agree(one, sum(paid)):
            where = "the rewards in the messages" if told and rewards is None else "'rewards'"
            raise _contradiction(f"{name!r} is {one:g}, and {where} add up to {sum(paid):g}")
    return tuple(paid)


def _check_others(messages: Sequence[Mapping[str, Any]], own: Sequence[int]) -> None:
    """Refuses a reward where there is no action to be paid for; a 0 there, as some logs fill it in, says nothing."""
    actions = set(own)
    for place, message in enumerate(messages):
        reward = message.get("reward")
        if place in actions or reward is None or (is_finite(reward) and reward == 0):
            continue
        told = (
            f"message {place + 1} of the {message['role']} has a reward, {reward!r:.40}, and is no action of the agent"
        )
        raise RecordError("reward on no action", f"{told}: move it to the action that it is for")


def _each(rewards: Sequence[Any], own: Sequence[int]) -> list[float]:
    if len(rewards) != len(own):
        raise RecordError("rewards of another number", f"there are {len(rewards)} rewards for {len(own)} actions")
    return list(map(_number, rewards))


def _number(reward: Any) -> float:
    if not is_finite(reward):
        raise RecordError("reward not finite", f"a reward must be a finite number, got {reward!r:.40}")
    return float(reward)


def _agree(one: float, other: float) -> bool:
    """Whether two numbers are the same but for the rounding of a log."""
    return isclose(one, other, rel_tol=1e-6, abs_tol=1e-6)


def _listed(rewards: Sequence[float | None]) -> str:
    return ", ".join(["none" if reward is None else f"{reward:g}" for reward in rewards[:8]])


def _contradiction(what: str) -> RecordError:
    return RecordError("rewards that contradict each other", f"{what}: leave out what is not meant")
