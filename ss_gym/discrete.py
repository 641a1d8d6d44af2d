"""Conversations for learners that can't read: numbers in, the number of a choice out."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from ss_gym.customer_service import CustomerServiceEnvironment
from ss_gym.dialogue.features import StateFeatures
from ss_gym.dialogue.menu import FamilyMenu
from ss_gym.dialogue.state import DialogueState
from ss_gym.wrappers import FeatureObservation, MenuAction, PotentialShaping


class NextAvailable(gym.Wrapper[Any, np.int64, Any, np.int64], RecordConstructorArgs):
    """A choice that is not available becomes the next one that is, for learners without masks.

    Where a learner that explores would fail at almost every choice, it now always does something.

    Args:
        env: an environment with ``action_masks()``, such as ``MenuAction``.
    """

    def __init__(self, env: gym.Env[Any, np.int64]) -> None:
        RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)
        self._masks = env.get_wrapper_attr("action_masks")

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """The environment's step with a choice that is available, if any is."""
        mask = self._masks()
        later = [*np.flatnonzero(mask[int(action) :]) + int(action), *np.flatnonzero(mask)]
        return self.env.step(np.int64(later[0] if later else action))


def make_discrete(
    family: str = "refund", shaping: float = 0.99, **kwargs: Any
) -> gym.Env[np.ndarray[Any, Any], np.int64]:
    """The environment of a family with a menu of choices and a vector of features.

    The world, the customer, the success and the reward are the same. A choice that is not available becomes
    the next one that is.

    Observations are ``ss_gym.dialogue.features.StateFeatures``, actions are the choices of the family's
    ``menu.yaml``, filled from what is known; ``info["action_mask"]`` tells which are available.

    Args:
        family: the family of tasks.
        shaping: the discount of a learner that is helped by ``PotentialShaping``, which leaves the best policy as
            it is (0.99 is what most libraries have by default); 0 for the plain reward, as in evaluations.
        **kwargs: what ``CustomerServiceEnvironment`` is built with.
    """
    env: gym.Env[Any, Any] = CustomerServiceEnvironment(family, **kwargs)
    if shaping:
        env = PotentialShaping(env, gamma=shaping)
    env = MenuAction(env, FamilyMenu(family), memory=DialogueState)
    env = NextAvailable(env)
    features = StateFeatures(family)
    return FeatureObservation(env, features, high=features.high, names=features.names, memory=DialogueState)
