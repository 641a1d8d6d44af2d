"""A menu of things to say in place of text; ``ss_gym.wrappers.vector`` has it for batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Discrete
from gymnasium.utils import RecordConstructorArgs

from ss_gym.types import Message
from ss_gym.wrappers.following import (
    MemoryFactory,
    Resuming,
    check_memory,
    check_text,
    fill,
    opening_messages,
    step_messages,
    with_messages,
)

Choice = str | None
"""What would be said; None for what can't be said now."""

Entry = str | Callable[[Any], Choice]
"""A text, or a function from what is remembered of the conversation to a text or None."""


@runtime_checkable
class Menu(Protocol):
    """Things that an agent can say or do."""

    def __len__(self) -> int:
        """How many there are, the same at any time."""

    def choices(self, memory: Any) -> Sequence[Choice]:
        """What each of them would be now; None for one that is not available.

        Args:
            memory: what is remembered of the conversation; by default the list of its messages.
        """


class TextMenu:
    """The menu of a sequence of texts and functions.

    >>> TextMenu(["Hello!", lambda messages: "Goodbye!" if len(messages) > 2 else None]).choices([])
    ['Hello!', None]

    Raises:
        TypeError: if an entry is neither a text nor a function.
        ValueError: if there is none.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = tuple(entries)
        if not self._entries:
            raise ValueError("a menu needs at least one choice")
        for index, entry in enumerate(self._entries):
            if not isinstance(entry, str) and not callable(entry):
                raise TypeError(f"choice {index} must be a str or a function of the conversation, got {entry!r:.80}")

    def __len__(self) -> int:
        """The number of entries."""
        return len(self._entries)

    def choices(self, memory: Any) -> list[Choice]:
        """The texts as they are now."""
        return [entry if isinstance(entry, str) else entry(memory) for entry in self._entries]


def as_menu(menu: Menu | Sequence[Entry]) -> Menu:
    """The menu itself, or that of a sequence of texts and functions.

    Raises:
        TypeError: if it is neither.
        ValueError: if it is empty.
    """
    if isinstance(menu, Menu):
        if len(menu) < 1:
            raise ValueError("a menu needs at least one choice")
        return menu
    if isinstance(menu, str) or not isinstance(menu, Sequence):
        raise TypeError(
            f"a menu is a sequence of texts and functions, or has choices(memory) and len, got {menu!r:.80}"
        )
    return TextMenu(menu)


class Offer:
    """A menu as one conversation goes on: what is remembered, and what can be said now.

    Args:
        menu: the choices.
        memory: makes an empty memory.
    """

    def __init__(self, menu: Menu, memory: MemoryFactory) -> None:
        self._menu, self._factory = menu, memory
        self._memory = memory()
        self.texts: list[Choice] = [None] * len(menu)

    def begin(self, messages: Sequence[Message]) -> None:
        """A new conversation."""
        self._memory = self._factory()
        self.add(messages)

    def add(self, messages: Sequence[Message]) -> None:
        """What was said.

        Raises:
            TypeError: if a choice is no text.
            ValueError: if there are more or fewer choices than the menu says.
        """
        fill(self._memory, messages)
        texts = list(self._menu.choices(self._memory))
        if len(texts) != len(self._menu):
            raise ValueError(f"the menu must give {len(self._menu)} choices, got {len(texts)}")
        for index, text in enumerate(texts):
            if text is not None and not isinstance(text, str):
                raise TypeError(f"choice {index} must give a str or None, got {type(text).__name__}")
        self.texts = texts

    @property
    def mask(self) -> npt.NDArray[np.int8]:
        """1 for each choice that is available, fresh each time."""
        return np.array([text is not None for text in self.texts], np.int8)


class MenuAction(Resuming, RecordConstructorArgs):
    """Actions are numbers: which entry of a menu to say.

    ``info["action_mask"]`` says which choices are available, as ``Discrete.sample(mask)`` takes it;
    ``action_masks`` gives the same to algorithms that ask for it. The menu is asked after each ``reset``
    and ``step``. What the environment understood is the first of ``info["messages"]``, as without a menu.

    >>> import ss_gym
    >>> def farewell(messages):
    ...     return "Goodbye!" if any(message["role"] == "assistant" for message in messages) else None
    >>> env = MenuAction(gym.make("StateSet/Conversation-v0"), ["How can I help?", farewell])
    >>> _, info = env.reset(seed=1)
    >>> env.action_space, info["action_mask"]
    (Discrete(2), array([1, 0], dtype=int8))
    >>> info = env.step(0)[4]
    >>> info["messages"][0]["content"], info["action_mask"]
    ('How can I help?', array([1, 1], dtype=int8))

    Args:
        env: an environment whose actions are text.
        menu: texts, and functions from what is remembered of the conversation to a text, or None where
            the choice is not available; or an object with ``choices(memory)``, a list of such, and a
            length.
        unavailable: what is said for a choice that is not available; silence by default, which the
            environment answers as it does any odd text.
        memory: makes an empty memory: anything with ``append(message)``. By default the list of
            messages, the system message first where there is one.

    Raises:
        TypeError: if the actions are no text, or menu or memory are none; from ``step``, if the action
            is no integer.
        ValueError: if the menu is empty; from ``step``, if there is no such choice.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        menu: Menu | Sequence[Entry],
        unavailable: str = "",
        memory: MemoryFactory = list,
    ) -> None:
        RecordConstructorArgs.__init__(self, _disable_deepcopy=True, menu=menu, unavailable=unavailable, memory=memory)
        super().__init__(env)
        check_text(env.action_space, "actions", type(self).__name__)
        check_memory(memory)
        if not isinstance(unavailable, str):
            raise TypeError(f"unavailable must be a str, got {unavailable!r:.80}")
        self._menu, self._unavailable = as_menu(menu), unavailable
        self.action_space = Discrete(len(self._menu))
        self._offer = Offer(self._menu, memory)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The environment's reset, with the mask of the first action."""
        observation, info = self.env.reset(seed=seed, options=options)
        messages = opening_messages(observation, info)
        self._offer.begin(messages)
        return observation, {**with_messages(info, messages), "action_mask": self._offer.mask}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Says what is chosen; the info has the mask of the next action."""
        text = self._offer.texts[choice_of(action, len(self._menu))]
        said = self._unavailable if text is None else text
        observation, reward, terminated, truncated, info = self.env.step(said)
        messages = step_messages(said, observation, info)
        self._offer.add(messages)
        info = {**with_messages(info, messages), "action_mask": self._offer.mask}
        return observation, float(reward), terminated, truncated, info

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Which choices are available, under the name that MaskablePPO of sb3-contrib asks for."""
        return self._offer.mask.astype(np.bool_)

    def _resume(self, messages: list[Message], running: bool) -> None:
        if running:
            self._offer.begin(messages)


def choice_of(action: Any, count: int) -> int:
    """The number that an action is.

    Raises:
        TypeError: if it is none.
        ValueError: if it is out of range.
    """
    if isinstance(action, np.ndarray) and action.ndim == 0:
        action = action[()]
    if isinstance(action, bool) or not isinstance(action, int | np.integer):
        raise TypeError(f"an action is the number of a choice, got {type(action).__name__} {action!r:.80}")
    if not 0 <= action < count:
        raise ValueError(f"an action is the number of one of {count} choices, 0 to {count - 1}, got {action}")
    return int(action)
