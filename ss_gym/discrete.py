"""Conversations for learners that can't read: numbers in, the number of a choice out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete

from ss_gym.customer_service import CustomerServiceEnvironment
from ss_gym.dialogue.features import StateFeatures
from ss_gym.dialogue.menu import FamilyMenu
from ss_gym.dialogue.state import DialogueState
from ss_gym.wrappers import PotentialShaping
from ss_gym.wrappers.action import choice_of

Vector = npt.NDArray[np.float32]


class DiscreteConversation(gym.Wrapper[Vector, Any, str, str]):
    """A menu of choices and a vector of features in place of text.

    It is what ``MenuAction`` and ``FeatureObservation`` do together, over one state. ``info["action_mask"]``
    tells which choices are available; ``action_masks`` gives the same to algorithms that ask for it. A choice
    that is not available stands for one that is, dealt out in turn: a learner without masks that explores does
    each of the available things about as often.

    Args:
        env: an environment of a family, or a wrapper of one that leaves text as it is.
        family: the family, whose ``menu.yaml`` the choices are.

    Attributes:
        choice_names: what each choice is.
        feature_names: what each number of an observation is.
        menu_digest: a hash of the menu, for results to say what they are of.
    """

    def __init__(self, env: gym.Env[Any, Any], family: str) -> None:
        super().__init__(env)
        self._menu = FamilyMenu(family)
        self._features = StateFeatures(self._menu, family)
        self.choice_names, self.feature_names = self._menu.names, self._features.names
        self.menu_digest = self._menu.file.digest
        self.action_space = Discrete(len(self._menu))
        self.observation_space = Box(0.0, self._features.high, (len(self.feature_names),), np.float32)
        self._state = DialogueState()
        self._texts: list[str | None] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Vector, dict[str, Any]]:
        """Begins an episode."""
        _, info = self.env.reset(seed=seed, options=options)
        self._state = DialogueState()
        self._state.append({"role": "system", "content": info["system_prompt"]})
        return self._seen(info)

    def step(self, action: Any) -> tuple[Vector, SupportsFloat, bool, bool, dict[str, Any]]:
        """Does what is chosen, or the available choice that it stands for.

        Raises:
            TypeError: if the action is no number.
            ValueError: if there is no such choice.
            gymnasium.error.ResetNeeded: before the first reset.
        """
        number, texts = choice_of(action, len(self._menu)), self._texts
        if not texts:
            raise ResetNeeded("Cannot call env.step() before calling env.reset()")
        _, reward, terminated, truncated, info = self.env.step(text_of_choice(texts, number))
        observation, info = self._seen(info)
        return observation, reward, terminated, truncated, info

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Which choices are available, under the name that MaskablePPO of sb3-contrib asks for."""
        return np.array([text is not None for text in self._texts])

    def _seen(self, info: dict[str, Any]) -> tuple[Vector, dict[str, Any]]:
        """Takes in what arrived; the features and the info with the mask."""
        for message in info["messages"]:
            self._state.append(message)
        self._texts = self._menu.choices(self._state)
        mask = self.action_masks()
        return self._features(self._state, mask), {**info, "action_mask": mask.astype(np.int8)}


def text_of_choice(texts: Sequence[str | None], number: int) -> str:
    """What a choice says; one that is not available stands for one that is, dealt out in turn.

    Args:
        texts: of all choices as they are now, None for those that are not available.
        number: of the choice.

    >>> text_of_choice(["Hello!", None, "Goodbye!"], 1)
    'Goodbye!'
    """
    text = texts[number]
    if text is not None:
        return text
    available = [other for other in texts if other is not None]
    return available[number % len(available)] if available else ""


def make_discrete(family: str = "refund", shaping: float = 0.99, **kwargs: Any) -> DiscreteConversation:
    """The environment of a family for learners that can't read.

    The world, the customer and the success are the same, and so is the best policy: the reward is shaped by
    ``PotentialShaping``.

    Args:
        family: the family of tasks.
        shaping: the learner's discount, which the shaping must have (0.99 is what most libraries have by
            default); 0 for the plain reward.
        **kwargs: what ``CustomerServiceEnvironment`` is built with.

    Raises:
        TypeError: if pictures are asked for. Stable-Baselines3 asks for them where it makes an environment from its
            id, and goes on without them after a ``TypeError``.
    """
    if kwargs.get("render_mode") == "rgb_array":
        raise TypeError("there are no pictures of a conversation: render_mode must be None, 'human' or 'ansi'")
    env: gym.Env[Any, Any] = CustomerServiceEnvironment(family, **kwargs)
    return DiscreteConversation(PotentialShaping(env, gamma=shaping) if shaping else env, family)
