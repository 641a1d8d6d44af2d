"""Agents that can't read: numbers in, the number of a choice out, and text to the environment all the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ss_baselines.agents.scripted import ScriptedAgent
from ss_gym.dialogue.features import StateFeatures
from ss_gym.dialogue.menu import FamilyMenu
from ss_gym.dialogue.state import DialogueState
from ss_gym.discrete import text_of_choice
from ss_gym.types import Message


class Chooser(Protocol):
    """A policy over a family's menu, for one conversation; it may remember what it has seen of it."""

    def __call__(self, features: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> int:
        """The number of a choice.

        Args:
            features: as the Discrete ids observe them.
            mask: which choices are available; another stands for one that is, as there.
        """
        ...


class MenuAgent(ScriptedAgent):
    """A policy for a Discrete id as an agent of the family's text environment, for ``evaluate`` and the leaderboard.

    It sees what ``StateSet/RefundDiscrete-v0`` and the others show, and says what they say, so that its episodes are
    the same.

    Args:
        begin: makes the policy of a conversation with a customer of a family, such as ``"refund"``.
    """

    def __init__(self, begin: Callable[[str], Chooser]) -> None:
        super().__init__(lambda prompt: _MenuScript(prompt, begin))


class _MenuScript:
    """One conversation."""

    def __init__(self, system_prompt: str, begin: Callable[[str], Chooser]) -> None:
        self._state = DialogueState()
        self._state.append({"role": "system", "content": system_prompt})
        family = self._state.case.family
        self._menu, self._features = _reading(family)
        self._chooser = begin(family)

    def step(self, messages: Sequence[Message]) -> str:
        for message in messages:
            self._state.append(message)
        texts = self._menu.choices(self._state)
        mask = np.array([text is not None for text in texts])
        return text_of_choice(texts, int(self._chooser(self._features(self._state, mask), mask)))


_READINGS: dict[str, tuple[FamilyMenu, StateFeatures]] = {}


def _reading(family: str) -> tuple[FamilyMenu, StateFeatures]:
    """The menu of a family and the features over it, which take milliseconds to make."""
    if family not in _READINGS:
        menu = FamilyMenu(family)
        _READINGS[family] = menu, StateFeatures(menu, family)
    return _READINGS[family]


class MostLikely:
    """A model of Stable-Baselines3, or of its contributions, that takes its likeliest choice.

    Args:
        model: with ``predict``.
        masked: whether it takes masks.
    """

    def __init__(self, model: Any, masked: bool = False) -> None:
        self._model, self._masked = model, masked
        self._state: Any = None
        self._start = np.ones(1, dtype=bool)

    def __call__(self, features: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> int:
        """The likeliest choice."""
        more = {"action_masks": mask} if self._masked else {}
        choice, self._state = self._model.predict(
            features, state=self._state, episode_start=self._start, deterministic=True, **more
        )
        self._start = np.zeros(1, dtype=bool)
        return int(choice)
