"""Columns of a log as arrays of the right kind, from whatever they are given as."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FLOAT, INT, BOOL = np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.bool_)
# Of what kind columns are, and how many dimensions they have; those of actions depend on the environment.
KINDS = {
    "observations": (FLOAT, 2),
    "rewards": (FLOAT, 1),
    "next_observations": (FLOAT, 2),
    "terminals": (BOOL, 1),
    "timeouts": (BOOL, 1),
}


class TransitionError(ValueError):
    """Steps that nothing can be learnt from; the message says which, and what is wrong with them."""


def rows(name: str, values: Any) -> Array:
    """Values as float32 (N, D).

    Raises:
        TransitionError: if they are no numbers.
    """
    array = _array(name, values, FLOAT)
    return array.reshape(len(array), math.prod(array.shape[1:]))


def numbers(name: str, values: Any) -> Array:
    """Values as float32 (N,).

    Raises:
        TransitionError: if they are not one number a step.
    """
    return _single(name, _array(name, values, FLOAT))


def marks(name: str, values: Any) -> Array:
    """Values as bool (N,), in an array of their own.

    Raises:
        TransitionError: if they are neither true and false nor 1 and 0.
    """
    array = _single(name, _array(name, values))
    if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        raise TransitionError(f"{name} must be true or false, or 1 or 0, and are {array!r:.80}")
    return array.astype(BOOL)


def actions(values: Any, space: gym.Space[Any] | None) -> Array:
    """Actions that can be counted as int64 (N,), others as float32 (N, A).

    Raises:
        TransitionError: if they are no numbers, or several integers a step.
    """
    array = _array("actions", values)
    if array.dtype.kind not in "iubf":
        raise TransitionError(f"actions must be numbers of one kind, not {array.dtype}: {array[:1]!r:.100}")
    if array.dtype.kind == "f" or isinstance(space, gym.spaces.Box):
        return rows("actions", array)
    return _single("actions that are integers", array).astype(INT)


def bounds(chosen: Array, space: gym.Space[Any] | None) -> dict[str, Any]:
    """The number of actions, or their bounds: those of their space, or without one those in the log.

    Args:
        chosen: what ``actions`` made.
        space: of the environment.

    Raises:
        TransitionError: if networks can't act in the space.
    """
    if isinstance(space, gym.spaces.Discrete):
        if space.start != 0:
            raise TransitionError(f"actions must be counted from 0, and those of {space} are not")
        return {"action_count": int(space.n)}
    if isinstance(space, gym.spaces.Box):
        if not space.is_bounded():
            raise TransitionError(f"actions of {space} have no bounds to scale them by")
        return {"action_low": rows("bounds", [space.low])[0], "action_high": rows("bounds", [space.high])[0]}
    if space is not None:
        raise TransitionError(f"actions of {space} are neither counted nor bounded numbers")
    if chosen.dtype == INT:
        return {"action_count": int(chosen.max()) + 1}
    return {"action_low": chosen.min(0), "action_high": chosen.max(0)}


def check_lengths(columns: Mapping[str, Array]) -> None:
    """Columns have a row a step, and there are steps.

    Raises:
        TransitionError: otherwise.
    """
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise TransitionError(f"columns have different lengths: {lengths}")
    if not next(iter(lengths.values())):
        raise TransitionError("the log has no steps")


def described(array: Array) -> str:
    """What an array is, for messages."""
    return f"{array.dtype} {array.shape}"


def _array(name: str, values: Any, kind: np.dtype[Any] | None = None) -> Array:
    """Values as an array with a row a step."""
    try:
        array = np.asarray(values, kind)
    except (TypeError, ValueError) as error:
        raise TransitionError(f"{name} are no array of numbers: {error}") from error
    if not array.ndim:
        raise TransitionError(f"{name} must have a row for each step, and are {values!r:.80}")
    return array


def _single(name: str, array: Array) -> Array:
    """An array with one value a step as (N,)."""
    if array.shape[1:] not in ((), (1,)):
        raise TransitionError(f"{name} must be one for each step, and their array has the shape {array.shape}")
    return array.reshape(-1)
