"""What a step of a batch told of each conversation in it, whatever the autoreset mode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv

from ss_gym.types import Message
from ss_gym.vector import batch_infos
from ss_gym.wrappers.following import opening_messages, step_messages

BoolArray = npt.NDArray[np.bool_]
Envs = VectorEnv[Any, Any, Any]
VectorStep = tuple[Any, npt.NDArray[np.float64], BoolArray, BoolArray, dict[str, Any]]

HEARD = ("messages", "system_prompt", "tools")
"""The keys of an info that tell what was said."""

_FINAL = "final_info"


class Told(NamedTuple):
    """What one conversation of a batch was told.

    Attributes:
        row: which one.
        began: whether it began anew, rather than taking a step.
        ended: whether this was its last step.
        final: whether another conversation begins in the same step (SAME_STEP): observation and info
            are then in ``final_obs`` and ``final_info``.
        observation: the environment's.
        info: the environment's, taken out of the batch.
    """

    row: int
    began: bool
    ended: bool
    final: bool
    observation: Any
    info: dict[str, Any]


class Rows:
    """Follows which conversations of a batch run, end and begin.

    Args:
        envs: the batch.
        keys: what to take out of the infos; None for everything.
    """

    def __init__(self, envs: Envs, keys: Sequence[str] | None) -> None:
        self._mode = AutoresetMode(envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        self._keys = keys
        self.num_envs = envs.num_envs
        self.ended = np.ones(self.num_envs, np.bool_)

    def begun(self, mask: Any, observations: Any, infos: dict[str, Any]) -> list[Told]:
        """What the rows that were reset were told.

        Args:
            mask: the ``reset_mask``, by then found right by the batch; None for all rows.
            observations: of the batch.
            infos: of the batch.
        """
        told = []
        for row in range(self.num_envs) if mask is None else np.flatnonzero(mask).tolist():
            self.ended[row] = False
            told.append(Told(row, True, False, False, observations[row], row_info(infos, row, self._keys)))
        return told

    def stepped(self, observations: Any, terminated: Any, truncated: Any, infos: dict[str, Any]) -> list[Told]:
        """What the rows were told by a step; nothing for those whose ended episodes wait."""
        ended = np.asarray(terminated) | np.asarray(truncated)
        told = list(self._told(observations, ended, infos))
        self.ended = np.zeros_like(ended) if self._mode is AutoresetMode.SAME_STEP else ended
        return told

    def _told(self, observations: Any, ended: BoolArray, infos: dict[str, Any]) -> Iterator[Told]:
        for row in range(self.num_envs):
            if self.ended[row] and self._mode is AutoresetMode.DISABLED:
                continue
            if self.ended[row]:  # NEXT_STEP: the action was not taken
                yield Told(row, True, False, False, observations[row], row_info(infos, row, self._keys))
            elif ended[row] and self._mode is AutoresetMode.SAME_STEP:
                final = row_info(infos.get(_FINAL, {}), row, self._keys)
                yield Told(row, False, True, True, infos["final_obs"][row], final)
                yield Told(row, True, False, False, observations[row], row_info(infos, row, self._keys))
            else:
                info = row_info(infos, row, self._keys)
                yield Told(row, False, bool(ended[row]), False, observations[row], info)


def mask_of(options: Mapping[str, Any] | None) -> Any:
    """Which rows a reset picks; to be read before the reset, since batches take it out of the options."""
    return (options or {}).get("reset_mask")


def heard(told: Told, actions: Any) -> list[Message]:
    """The messages of what a row was told; see ``ss_gym.wrappers.following``."""
    if told.began:
        return opening_messages(told.observation, told.info)
    return step_messages(actions[told.row], told.observation, told.info)


def missing(told: Told, messages: Sequence[Message]) -> dict[str, Any]:
    """The messages, for an info that has none."""
    if "messages" in told.info:
        return {}
    return {"messages": [dict(message) for message in messages if message["role"] != "system"]}


def row_info(infos: Mapping[str, Any], row: int, keys: Sequence[str] | None = None) -> dict[str, Any]:
    """One environment's info out of a batch's.

    Args:
        infos: as vector environments put them together.
        row: which environment's.
        keys: the keys that are wanted; None for all.
    """
    info = {}
    for key in infos if keys is None else keys:
        had = infos.get(f"_{key}")
        if had is None or not had[row] or key == _FINAL:
            continue
        value = infos[key]
        if isinstance(value, Mapping):
            info[key] = row_info(value, row)
        else:
            one = value[row]
            info[key] = one.item() if isinstance(one, np.generic) else one
    return info


def added(infos: dict[str, Any], facts: Iterable[tuple[Told, Mapping[str, Any]]], num_envs: int) -> dict[str, Any]:
    """A batch's infos with more in them.

    Args:
        infos: as a vector environment gave them; left as they are.
        facts: what goes to the info of which conversation; dictionaries in it are merged.
        num_envs: the size of the batch.
    """
    usual: list[tuple[int, Mapping[str, Any]]] = []
    final: list[tuple[int, Mapping[str, Any]]] = []
    for told, fact in facts:
        if fact:
            (final if told.final else usual).append((told.row, fact))
    merged = _merged(infos, batch_infos(usual, num_envs))
    if final:
        merged[_FINAL] = _merged(infos.get(_FINAL, {}), batch_infos(final, num_envs))
    return merged


def _merged(infos: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(infos)
    for key, value in more.items():
        if key not in infos:
            merged[key] = value
        elif isinstance(value, dict):
            merged[key] = _merged(infos[key], value)
        elif f"_{key}" in more:
            merged[key] = np.where(_spread(more[f"_{key}"], value), value, infos[key])
        else:  # a mask of who has a key
            merged[key] = infos[key] | value
    return merged


def _spread(mask: BoolArray, values: npt.NDArray[Any]) -> BoolArray:
    """A mask of rows in a shape that goes with arrays of them."""
    return mask.reshape(mask.shape + (1,) * (values.ndim - 1))
