"""A log as numbers: what was seen, done and earned, step after step.

Steps of an episode stand one after the other. An episode ends with a step that is *terminal*, after which nothing can
be earned, or with a *timeout*, after which more could have been; only the first stops bootstrapping (Pardo et al. 2018,
arXiv:1712.00378).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[Any]


class TransitionError(ValueError):
    """Steps that nothing can be learnt from; the message says which, and what is wrong with them."""


@dataclass(frozen=True, slots=True)
class Spaces:
    """What networks have to know of observations and actions.

    Attributes:
        observation_size: numbers in an observation.
        action_size: numbers in an action; of actions that can be counted, how many there are.
        discrete: whether they can be counted.
    """

    observation_size: int
    action_size: int
    discrete: bool


@dataclass(frozen=True, slots=True)
class TransitionBatch:
    """Steps to learn from, each with what came next.

    Attributes:
        observations: float (N, D).
        actions: float (N, A) within [-1, 1], or int64 (N,).
        rewards: float (N,).
        next_observations: float (N, D).
        terminals: bool (N,); the task ended with this step.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    terminals: Tensor

    def __len__(self) -> int:
        return len(self.rewards)

    def at(self, places: Tensor) -> TransitionBatch:
        """The steps in some places.

        Args:
            places: int64 (B,).
        """
        return TransitionBatch(*(getattr(self, entry.name).index_select(0, places) for entry in fields(self)))

    def to(self, device: str | torch.device) -> TransitionBatch:
        """The same on a device."""
        return TransitionBatch(*(getattr(self, entry.name).to(device) for entry in fields(self)))


@dataclass(frozen=True, slots=True)
class Transitions:
    """A log of a numeric environment.

    Attributes:
        observations: float32 (N, D).
        actions: float32 (N, A), or int64 (N,).
        rewards: float32 (N,).
        next_observations: float32 (N, D); after a timeout too, what was seen then.
        terminals: bool (N,).
        timeouts: bool (N,).
        action_low: float32 (A,); least values of actions that can't be counted, else None.
        action_high: float32 (A,); their greatest.
        action_count: how many actions there are, if they can be counted.

    Raises:
        TransitionError: if arrays do not fit together, a number is not finite, an action is out of bounds, or there is
            but one action: nothing can be learnt about a choice that was never made.
    """

    observations: Array
    actions: Array
    rewards: Array
    next_observations: Array
    terminals: Array
    timeouts: Array
    action_low: Array | None = None
    action_high: Array | None = None
    action_count: int | None = None

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_numbers(self)
        _check_actions(self)

    def __len__(self) -> int:
        return len(self.rewards)

    @classmethod
    def from_arrays(
        cls,
        observations: Any,
        actions: Any,
        rewards: Any,
        terminals: Any,
        timeouts: Any,
        *,
        next_observations: Any = None,
        action_space: gym.Space[Any] | None = None,
    ) -> Self:
        """A log from arrays with a row a step.

        Args:
            observations: (N, …); flattened.
            actions: integers (N,), or real numbers (N, A) or (N,).
            rewards: (N,).
            terminals: (N,).
            timeouts: (N,).
            next_observations: (N, …). If None, those of the row below; a last step whose next observation the log does
                not have is then left out unless it is terminal, since its value can't be known.
            action_space: of the environment: bounds or the number of actions. If None, those in the log.

        Raises:
            TransitionError: see the class.
        """
        seen, ended = _rows(observations), np.asarray(terminals, bool)
        cut, kept = np.array(timeouts, bool), np.ones(len(ended), bool)
        done, earned = np.asarray(actions), np.asarray(rewards, np.float32)
        if next_observations is None:
            if not len(seen) == len(ended) == len(cut):
                raise TransitionError(f"there are {len(seen)} observations and {len(ended)} marks of ends")
            after = np.roll(seen, -1, axis=0)
            cut[-1:] = True
            kept = ended | ~cut
            # What comes before a step that is left out is the last that is known of its episode.
            cut[:-1] |= ~kept[1:] & ~ended[:-1]
        else:
            after = _rows(next_observations)
        columns: tuple[Array, ...] = (seen, _numbers(done), earned, after, ended, cut & ~ended)
        if len({len(column) for column in columns}) > 1:
            lengths = dict(zip([entry.name for entry in fields(cls)], map(len, columns), strict=False))
            raise TransitionError(f"columns have different lengths: {lengths}")
        seen, done, earned, after, ended, cut = (column[kept] for column in columns)
        return cls(seen, done, earned, after, ended, cut, **_bounds(done, action_space))

    @classmethod
    def from_minari(cls, dataset: Any) -> Self:
        """A log from a Minari dataset of numbers; needs the extra ``offline``.

        Args:
            dataset: a ``minari.MinariDataset``, or the id of a local one.

        Raises:
            ImportError: if Minari is not installed.
            TransitionError: if its observations are no arrays, or see the class.
        """
        if isinstance(dataset, str):
            try:
                dataset = import_module("minari").load_dataset(dataset)
            except ImportError as error:
                raise ImportError("Minari is not installed: pip install 'stateset-gym[offline]'") from error
        parts: list[list[Array]] = []
        for episode in dataset.iterate_episodes():
            if not isinstance(episode.observations, np.ndarray) or episode.observations.dtype.kind not in "fiub":
                raise TransitionError(
                    "the observations of this Minari dataset are no arrays of numbers; conversations are read by "
                    "ConversationDataset.from_minari"
                )
            steps = [episode.observations[:-1], episode.actions, episode.rewards]
            steps += [episode.observations[1:], episode.terminations, episode.truncations]
            parts.append([np.asarray(step) for step in steps])
        if not parts:
            raise TransitionError("the Minari dataset has no episodes")
        seen, done, earned, after, ended, cut = (np.concatenate(column) for column in zip(*parts, strict=True))
        return cls.from_arrays(
            seen, done, earned, ended, cut, next_observations=after, action_space=dataset.action_space
        )

    @classmethod
    def from_npz(cls, path: str | Path) -> Self:
        """A log that ``save`` wrote.

        Raises:
            FileNotFoundError: if there is none.
            TransitionError: if a column is missing, or see the class.
        """
        with np.load(path, allow_pickle=False) as file:
            missing = [entry.name for entry in fields(cls) if entry.name not in file and entry.default is not None]
            if missing:
                raise TransitionError(f"'{path}' has no {', '.join(missing)}")
            columns: dict[str, Any] = {entry.name: file[entry.name] for entry in fields(cls) if entry.name in file}
        if "action_count" in columns:
            columns["action_count"] = int(columns["action_count"])
        return cls(**columns)

    def save(self, path: str | Path) -> None:
        """Writes the log as compressed arrays; the file is replaced as a whole."""
        target = Path(path)
        partial = target.with_name(f"{target.name}.partial.npz")
        columns = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        np.savez_compressed(partial, **{name: column for name, column in columns.items() if column is not None})
        partial.replace(target)

    @property
    def spaces(self) -> Spaces:
        """What networks have to know."""
        count = self.action_count
        size = self.actions.shape[1] if count is None else count
        return Spaces(self.observations.shape[1], size, count is not None)

    @property
    def starts(self) -> Array:
        """Where an episode begins, bool (N,)."""
        return np.concatenate([[True], (self.terminals | self.timeouts)[:-1]])

    @property
    def returns(self) -> Array:
        """What each episode earned, float64 (E,)."""
        return np.add.reduceat(self.rewards.astype(np.float64), np.flatnonzero(self.starts))

    def tensors(self) -> TransitionBatch:
        """All steps, with actions scaled to [-1, 1] where they have bounds."""
        actions = self.actions
        if self.action_low is not None and self.action_high is not None:
            actions = 2 * (actions - self.action_low) / (self.action_high - self.action_low) - 1
        columns = (self.observations, actions, self.rewards, self.next_observations, self.terminals)
        return TransitionBatch(*(torch.from_numpy(np.ascontiguousarray(column)) for column in columns))


def concatenate(logs: Sequence[Transitions]) -> Transitions:
    """One log after the other.

    Raises:
        TransitionError: if there is none, or they are of different environments.
    """
    if not logs:
        raise TransitionError("there is no log to join")
    if len({log.spaces for log in logs}) > 1:
        raise TransitionError(f"logs of different environments can't be joined: {[log.spaces for log in logs]}")
    joined: dict[str, Any] = {}
    for entry in fields(Transitions):
        columns = [getattr(log, entry.name) for log in logs]
        whole = entry.name.startswith("action_")
        joined[entry.name] = columns[0] if whole else np.concatenate(columns)
        if whole and not all(np.array_equal(columns[0], column) for column in columns):
            raise TransitionError(f"logs with different {entry.name} can't be joined: {columns}")
    return Transitions(**joined)


def _rows(values: Any) -> Array:
    array = np.asarray(values, np.float32)
    return array.reshape(len(array), -1)


def _numbers(actions: Array) -> Array:
    """Actions that can be counted as int64 (N,), others as float32 (N, A)."""
    if actions.dtype.kind in "iub":
        return actions.reshape(len(actions), -1)[:, 0].astype(np.int64) if actions.ndim < 3 else actions
    if actions.dtype.kind != "f":
        raise TransitionError(f"actions must be numbers of one kind, not {actions.dtype}: {actions[:1]!r:.100}")
    return actions.astype(np.float32).reshape(len(actions), -1)


def _bounds(actions: Array, space: gym.Space[Any] | None) -> dict[str, Any]:
    if isinstance(space, gym.spaces.Discrete):
        if space.start != 0:
            raise TransitionError(f"actions must be counted from 0, and those of {space} are not")
        return {"action_count": int(space.n)}
    if isinstance(space, gym.spaces.Box):
        if not space.is_bounded():
            raise TransitionError(f"actions of {space} have no bounds to scale them by")
        return {"action_low": space.low.reshape(-1), "action_high": space.high.reshape(-1)}
    if space is not None:
        raise TransitionError(f"actions of {space} are neither counted nor bounded numbers")
    if not len(actions) or actions.dtype.kind != "f":
        return {"action_count": int(actions.max(initial=0)) + 1}
    return {"action_low": actions.min(0), "action_high": actions.max(0)}


def _check_shapes(log: Transitions) -> None:
    lengths = {entry.name: len(getattr(log, entry.name)) for entry in fields(log)[:6]}
    if len(set(lengths.values())) > 1:
        raise TransitionError(f"columns have different lengths: {lengths}")
    if not len(log):
        raise TransitionError("the log has no steps")
    if log.observations.shape != log.next_observations.shape or log.observations.ndim != 2:
        shapes = f"{log.observations.shape} and {log.next_observations.shape}"
        raise TransitionError(f"observations must be (N, D) before and after a step, not {shapes}")


def _check_numbers(log: Transitions) -> None:
    for name in ("observations", "actions", "rewards", "next_observations"):
        column = getattr(log, name)
        wrong = ~np.isfinite(column.reshape(len(column), -1)).all(1)
        if wrong.any():
            raise TransitionError(f"{name} of step {int(wrong.argmax())} (of {int(wrong.sum())}) are not finite")


def _check_actions(log: Transitions) -> None:
    count, low, high = log.action_count, log.action_low, log.action_high
    if (count is None) == (low is None or high is None):
        raise TransitionError("give action_count, or action_low and action_high")
    if count is not None:
        if log.actions.ndim != 1 or log.actions.dtype.kind != "i":
            raise TransitionError(f"actions that are counted must be integers (N,), not {log.actions.dtype}")
        outside = (log.actions < 0) | (log.actions >= count)
        if outside.any():
            step = int(outside.argmax())
            raise TransitionError(f"action {log.actions[step]} of step {step} is not from 0 to {count - 1}")
        alike = bool((log.actions == log.actions[0]).all())
    else:
        if log.actions.ndim != 2 or log.actions.dtype.kind != "f":
            raise TransitionError(f"actions with bounds must be real numbers (N, A), not {log.actions.dtype}")
        _check_box(log)
        alike = bool((log.actions == log.actions[0]).all())
    if alike:
        raise TransitionError(f"all {len(log)} steps have the same action {log.actions[0]}: there is nothing to choose")


def _check_box(log: Transitions) -> None:
    assert log.action_low is not None and log.action_high is not None
    if not (log.action_low.shape == log.action_high.shape == log.actions.shape[1:]):
        raise TransitionError("action_low and action_high must have a number for each component of an action")
    slack = 1e-5 * (log.action_high - log.action_low)
    if (slack <= 0).any():
        raise TransitionError(f"component {int((slack <= 0).argmax())} of the actions has no room to vary")
    outside = ((log.actions < log.action_low - slack) | (log.actions > log.action_high + slack)).any(1)
    if outside.any():
        step = int(outside.argmax())
        raise TransitionError(f"action {log.actions[step]} of step {step} is outside its bounds")
