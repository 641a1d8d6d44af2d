"""How a wrapper follows a conversation: what reset and step told, and where to go on after a state was set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import gymnasium as gym
from gymnasium.spaces import Space, Text

from ss_gym.agents.conversation import Conversation
from ss_gym.environment import EpisodeState, TextEnvironment
from ss_gym.types import Completion, Message


class Memory(Protocol):
    """What is kept of a conversation: anything that messages can be appended to, such as a list."""

    def append(self, message: Message, /) -> object:
        """Takes the next message, in OpenAI form; the system message comes first where there is one."""


MemoryFactory = Callable[[], Any]
"""Makes an empty ``Memory``; called at each reset."""


def opening_messages(observation: Any, info: Mapping[str, Any]) -> list[Message]:
    """What ``reset`` told, the system message first where there is one; shallow copies.

    An environment that gives no ``info["messages"]`` is taken to say its observation as the user.
    """
    return [dict(message) for message in Conversation.begin(observation, info)]


def step_messages(action: Any, observation: Any, info: Mapping[str, Any]) -> list[Message]:
    """What ``step`` told, the agent's own action first; shallow copies."""
    step = Conversation()
    step.record(Completion(action), observation, info)
    return [dict(message) for message in step]


def with_messages(info: dict[str, Any], messages: Iterable[Message]) -> dict[str, Any]:
    """The info, with messages if it has none: an observation that is no text any more could not tell them."""
    if "messages" in info:
        return info
    return {**info, "messages": [dict(message) for message in messages if message["role"] != "system"]}


def fill(memory: Any, messages: Iterable[Message]) -> None:
    """Appends messages to a memory."""
    for message in messages:
        memory.append(message)


def check_memory(memory: object) -> None:
    """Checks that something makes memories.

    Raises:
        TypeError: if it can't be called, or what it makes has no ``append``.
    """
    if not callable(memory) or not hasattr(memory(), "append"):
        raise TypeError(
            "memory must be a class or function that makes an empty list or another object with append(message), "
            f"got {memory!r:.80}"
        )


def check_text(space: Space[Any], what: str, wrapper: str) -> None:
    """Checks that a space holds text.

    Args:
        space: an environment's.
        what: which space it is, for the error.
        wrapper: who asks, for the error.

    Raises:
        TypeError: if it does not.
    """
    if not isinstance(space, Text):
        raise TypeError(f"{wrapper} needs an environment with text {what}, got {space!r:.80}")


class Resuming(gym.Wrapper[Any, Any, Any, Any]):
    """A wrapper that hands ``get_state`` and ``set_state`` on, and then picks up the conversation.

    The state is the environment's own, and setting it through the outermost wrapper reaches every
    wrapper on the way. ``env.unwrapped.set_state`` passes the wrappers by: they would go on with the
    conversation that they knew.
    """

    def get_state(self) -> EpisodeState:
        """The state of the environment, see ``TextEnvironment.get_state``."""
        state: EpisodeState = self.env.get_wrapper_attr("get_state")()
        return state

    def set_state(self, state: EpisodeState) -> None:
        """Sets the environment's state and goes on from there.

        Raises:
            TypeError: if it is no ``TextEnvironment``.
        """
        base = self.env.unwrapped
        if not isinstance(base, TextEnvironment):
            raise TypeError(f"{type(base).__name__} has no state that can be set: only a TextEnvironment has")
        self.env.get_wrapper_attr("set_state")(state)
        prompt = base.system_prompt
        system = [{"role": "system", "content": prompt}] if prompt else []
        self._resume([*system, *base.messages], running=state.seed is not None)

    def _resume(self, messages: list[Message], running: bool) -> None:
        """Goes on from a conversation.

        Args:
            messages: all of it, the system message first where there is one.
            running: whether there is an episode at all.
        """
