"""Menus of choices in RLlib (``ray[rllib]``), with the mask where RLlib's modules look for it.

Ids with numbers are known to RLlib as they are, by the package's name before them: ``"ss_gym:StateSet/Refund…"``. To
learn from available choices alone, RLlib wants their mask in the observation:

>>> from ss_gym.interop.rllib import register
>>> register("StateSet/RefundDiscrete-v0")
'StateSet/RefundDiscrete-v0'
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.utils import RecordConstructorArgs
from ray.tune.registry import register_env

import ss_gym  # noqa: F401 - registers the ids, in RLlib's other processes too


class MaskedObservation(gymnasium.Wrapper[dict[str, Any], Any, Any, Any], RecordConstructorArgs):
    """``{"observations": …, "action_mask": …}``, as RLlib's ``ActionMaskingTorchRLModule`` takes it.

    Args:
        env: an environment with a menu, whose infos have the ``action_mask``.

    Raises:
        ValueError: if its actions are no choices from a menu.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        if not isinstance(env.action_space, Discrete):
            raise ValueError(f"a mask is for choices from a menu, and the actions here are {env.action_space}")
        mask = Box(0.0, 1.0, (int(env.action_space.n),), np.float32)
        self.observation_space = Dict({"action_mask": mask, "observations": env.observation_space})

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begins an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        return _masked(observation, info), info

    def step(self, action: Any) -> tuple[dict[str, Any], Any, bool, bool, dict[str, Any]]:
        """Does what is chosen."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return _masked(observation, info), reward, terminated, truncated, info


def register(env_id: str, rllib_id: str | None = None, **kwargs: Any) -> str:
    """Makes an environment with masks in its observations known to RLlib, in all of its processes.

    Args:
        env_id: of Gymnasium, one with a menu.
        rllib_id: its name there; the same if None.
        **kwargs: of the environment; ``env_config`` of RLlib's configuration adds to them and changes them.

    Returns:
        its name there.
    """
    name = env_id if rllib_id is None else rllib_id

    def made(context: Mapping[str, Any]) -> gymnasium.Env[Any, Any]:
        return MaskedObservation(gymnasium.make(env_id, **{**kwargs, **context}))

    register_env(name, made)
    return name


def _masked(observation: Any, info: Mapping[str, Any]) -> dict[str, Any]:
    return {"action_mask": info["action_mask"].astype(np.float32), "observations": observation}
