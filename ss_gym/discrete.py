"""Conversations for learners that can't read: numbers in, the number of a choice out."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from ss_gym.customer_service import CustomerServiceEnvironment
from ss_gym.dialogue.features import StateFeatures
from ss_gym.dialogue.menu import UNAVAILABLE, FamilyMenu
from ss_gym.dialogue.state import DialogueState
from ss_gym.wrappers import FeatureObservation, MenuAction, PotentialShaping


def make_discrete(
    family: str = "refund", shaping: float = 0.99, **kwargs: Any
) -> gym.Env[np.ndarray[Any, Any], np.int64]:
    """The environment of a family with a menu of choices and a vector of features.

    The world, the customer, the success and the reward are the same. A choice that is not available is a tool error.

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
    env = MenuAction(env, FamilyMenu(family), UNAVAILABLE, memory=DialogueState)
    features = StateFeatures(family)
    return FeatureObservation(env, features, high=features.high, names=features.names, memory=DialogueState)
