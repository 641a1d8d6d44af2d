"""Environments of this package in TorchRL (``torchrl``), which takes text and numbers as they are, with their infos.

>>> from ss_gym.interop.torchrl import make
>>> env = make("StateSet/Refund-v0")
>>> data = env.reset(seed=7)
>>> data["action"] = "Hello! What is your order number?"
>>> after = env.step(data)["next"]
>>> [message["role"] for message in after["messages"]], bool(after["success"])
(['assistant', 'user'], False)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensordict import NonTensorData
from torchrl.data import Binary, Composite, NonTensor
from torchrl.envs import ActionMask, GymEnv, TransformedEnv
from torchrl.envs.gym_like import BaseInfoDictReader

import ss_gym  # noqa: F401 - registers the ids, in TorchRL's other processes too


class InfoReader(BaseInfoDictReader):  # type: ignore[misc]  # not installed where types are checked
    """What infos tell, in TorchRL's data.

    ``success`` is true on the last step of an episode that succeeded. Text has ``messages``, those that were new, and
    the ``system_prompt`` of the episode; a menu has its ``action_mask``.

    Args:
        choices: how many there are on the menu; 0 for text.
        flag: the type of truth values, which TorchRL's specs want.
    """

    def __init__(self, choices: int, flag: Any) -> None:
        self._choices, self._prompt = choices, ""
        specs: dict[str, Any] = {"success": Binary(1, dtype=flag)}
        if choices:
            specs["action_mask"] = Binary(choices, dtype=flag)
        else:
            specs.update(messages=NonTensor(()), system_prompt=NonTensor(()))
        self._spec = Composite(specs)

    def __call__(self, info_dict: Mapping[str, Any], tensordict: Any) -> Any:
        """Puts them beside the observation."""
        tensordict.set("success", [bool(info_dict.get("success", False))])
        if self._choices:
            return tensordict.set("action_mask", info_dict["action_mask"].astype(bool))
        self._prompt = info_dict.get("system_prompt", self._prompt)
        tensordict.set("messages", NonTensorData(list(info_dict.get("messages", ()))))
        return tensordict.set("system_prompt", NonTensorData(self._prompt))

    @property
    def info_spec(self) -> Any:
        """Their specs."""
        return self._spec


def make(env_id: str, **kwargs: Any) -> Any:
    """An environment of TorchRL, with what infos tell in its data.

    Of a menu only what is available is sampled: its choices are numbers, and ``ActionMask`` is around it.

    Args:
        env_id: of Gymnasium, with text or a menu.
        **kwargs: of the environment.
    """
    env = GymEnv(env_id, categorical_action_encoding=True, **kwargs)
    choices = int(getattr(env.action_spec.space, "n", 0))
    env.set_info_dict_reader(InfoReader(choices, env.full_done_spec["done"].dtype))
    return TransformedEnv(env, ActionMask()) if choices else env
