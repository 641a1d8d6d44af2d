"""Conversations as numbers: a step for each of the agent's actions, for algorithms and estimates that know no text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np

from ss_gym.datasets.conversation import LoggedConversation
from ss_gym.types import Message
from ss_trainers.off_policy.features import HashedText
from ss_trainers.offline.columns import FLOAT, Array
from ss_trainers.offline.transitions import TransitionError, Transitions

# What an action is called that calls no tool.
SPOKEN = "message"


@dataclass(frozen=True, slots=True)
class TurnLog:
    """A log of conversations as numbers.

    Attributes:
        transitions: the log.
        action_names: what each action stands for; empty where actions are vectors.
    """

    transitions: Transitions
    action_names: tuple[str, ...] = ()


def turn_log(
    dataset: Iterable[LoggedConversation],
    text: Callable[[Sequence[Message]], Array] | None = None,
    actions: Literal["kinds", "vectors"] = "kinds",
) -> TurnLog:
    """Makes a numeric log of conversations, with a step for each of the agent's actions.

    An observation is all that an action answers. The last action of a conversation is terminal, since what cuts
    conversations short, such as a limit of turns, is part of the task.

    >>> from ss_gym.datasets.messages import logged
    >>> call = {"type": "function", "function": {"name": "get_order", "arguments": "{}"}}
    >>> said = [
    ...     {"role": "user", "content": "Where is my parcel?"},
    ...     {"role": "assistant", "content": "", "tool_calls": [{"id": "1", **call}]},
    ...     {"role": "tool", "tool_call_id": "1", "content": "shipped"},
    ...     {"role": "assistant", "content": "On its way."},
    ... ]
    >>> log = turn_log([logged(said, rewards=[0.0, 1.0])])
    >>> log.action_names, log.transitions.actions.tolist(), log.transitions.observations.shape
    (('get_order', 'message'), [0, 1], (2, 256))

    Args:
        dataset: conversations with rewards, such as a ``ConversationDataset``.
        text: from messages in OpenAI form to a vector (D,): an embedding. ``HashedText(256)`` if None.
        actions: ``"kinds"`` numbers the actions by the tools that they call, or that they call none; ``"vectors"``
            makes each the vector of its message.

    Raises:
        TransitionError: if a conversation has no rewards, there is no action, vectors are not all of one length, or the
            log is none to learn from: see :class:`Transitions`.
        ValueError: if ``actions`` is neither.
    """
    if actions not in ("kinds", "vectors"):
        raise ValueError(f"actions must be 'kinds' or 'vectors', not {actions!r}")
    text = HashedText(256) if text is None else text
    seen, after, said, rewards, ended = list[Array](), list[Array](), list[Message](), list[float](), list[bool]()
    for conversation in dataset:
        if not conversation.rewarded:
            raise TransitionError(f"the log tells no rewards of conversation {conversation.id!r}")
        states = _states(conversation, text)
        seen += states[:-1]
        after += states[1:]
        said += [conversation.messages[place] for place in conversation.episode.own_places]
        rewards += conversation.rewards
        ended += [False] * (len(states) - 2) + [True] * (len(states) > 1)
    if not seen:
        raise TransitionError("the conversations have no action of the agent")
    done, space, names = _numbered(said) if actions == "kinds" else _embedded(said, text)
    marks = np.array(ended)
    columns = (_stacked(seen), done, np.array(rewards), marks, np.zeros_like(marks))
    return TurnLog(Transitions.from_arrays(*columns, next_observations=_stacked(after), action_space=space), names)


def kind_of(message: Message) -> str:
    """Which tools a message of the agent calls, joined by ``+``; ``message`` if none.

    >>> kind_of({"role": "assistant", "content": "Hello!"})
    'message'
    """
    calls = message.get("tool_calls") or ()
    return "+".join(str(call["function"]["name"]) for call in calls) or SPOKEN


def _numbered(said: Sequence[Message]) -> tuple[Array, gym.Space[Any], tuple[str, ...]]:
    """Actions by number, their space, and what each number stands for."""
    names = tuple(sorted({kind_of(message) for message in said}))
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers[kind_of(message)] for message in said]), gym.spaces.Discrete(len(names)), names


def _embedded(
    said: Sequence[Message], text: Callable[[Sequence[Message]], Array]
) -> tuple[Array, gym.Space[Any], tuple[str, ...]]:
    """Actions as vectors, a box that holds them, and no names."""
    vectors = _stacked([text([message]) for message in said])
    bound = float(np.abs(vectors).max())
    return vectors, gym.spaces.Box(-bound, bound, vectors.shape[1:], FLOAT), ()


def _states(conversation: LoggedConversation, text: Callable[[Sequence[Message]], Array]) -> list[Array]:
    """The vectors of what each action answers, and of the whole conversation."""
    messages = conversation.messages
    if isinstance(text, HashedText):  # reads each message once
        return [*text.steps(conversation)[0], text(messages)]
    return [text(messages[:place]) for place in (*conversation.episode.own_places, len(messages))]


def _stacked(vectors: Sequence[Array]) -> Array:
    """Rows of float32.

    Raises:
        TransitionError: if they are no vectors of one length.
    """
    shapes = {np.shape(vector) for vector in vectors}
    if len(shapes) > 1 or len(next(iter(shapes))) != 1:
        raise TransitionError(f"text must give a vector of the same length for all messages, not {sorted(shapes)}")
    return np.stack(vectors).astype(FLOAT)
