"""A log as numbers: what was seen, done and earned, step after step.

Steps of an episode stand one after the other. An episode ends with a step that is *terminal*, after which nothing can
be earned, or with a *timeout*, after which more could have been; only the first stops bootstrapping (Pardo et al. 2018,
arXiv:1712.00378).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from ss_gym.whole_file import whole_file
from ss_trainers.offline import columns as given
from ss_trainers.offline.columns import FLOAT, INT, KINDS, Array, check_lengths, described
from ss_trainers.offline.columns import TransitionError as TransitionError

# Batches that are gathered at once: enough to save the time, and no second copy of the log.
_GATHERED = 32
# What NumPy raises for a file that is damaged, or was never one of its archives.
_DAMAGE = (ValueError, TypeError, EOFError, BadZipFile, zlib.error, NotImplementedError)


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
        return TransitionBatch(
            self.observations.index_select(0, places),
            self.actions.index_select(0, places),
            self.rewards.index_select(0, places),
            self.next_observations.index_select(0, places),
            self.terminals.index_select(0, places),
        )

    def batches(self, order: Tensor, size: int) -> Iterator[TransitionBatch]:
        """The steps in an order, some at a time.

        They are gathered for many batches at once, which are parts of it: that takes a third of the time.

        Args:
            order: int64 (N,), their places.
            size: steps of a batch; the last one has those that are left.
        """
        for places in torch.split(order, _GATHERED * size):
            gathered = self.at(places)
            columns = (torch.split(getattr(gathered, entry.name), size) for entry in fields(self))
            yield from (TransitionBatch(*parts) for parts in zip(*columns, strict=True))

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
        TransitionError: if arrays do not fit together, a number is not finite, the last episode has no end, an action
            is out of bounds, or there is but one action: nothing can be learnt about a choice that was never made.
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
            actions: integers (N,) or (N, 1), or real numbers (N, …) or (N,).
            rewards: (N,) or (N, 1).
            terminals: likewise; true and false, or 1 and 0.
            timeouts: likewise. A last step that is neither counts as one.
            next_observations: (N, …). If None, those of the row below; a last step whose next observation the log does
                not have is then left out unless it is terminal, since its value can't be known. The step before it
                counts as a timeout.
            action_space: of the environment: bounds or the number of actions. If None, those in the log.

        Raises:
            TransitionError: see the class.
        """
        seen, done = given.rows("observations", observations), given.actions(actions, action_space)
        earned = given.numbers("rewards", rewards)
        ended, cut = given.marks("terminals", terminals), given.marks("timeouts", timeouts)
        after = seen if next_observations is None else given.rows("next_observations", next_observations)
        columns: dict[str, Any] = dict(
            zip([entry.name for entry in fields(cls)], (seen, done, earned, after, ended, cut), strict=False)
        )
        check_lengths(columns)
        cut[-1:] = True
        cut &= ~ended
        if next_observations is None:
            # Nothing is ever made of what follows a terminal step.
            columns["next_observations"] = np.where(ended[:, None], seen, np.roll(seen, -1, axis=0))
            kept = ~cut
            if not kept.any():
                raise TransitionError("no step has a next observation: each is the last that is known of its episode")
            cut[:-1] |= cut[1:] & ~ended[:-1]
            columns = {name: column[kept] for name, column in columns.items()}
        return cls(**columns, **given.bounds(columns["actions"], action_space))

    @classmethod
    def from_minari(cls, dataset: Any) -> Self:
        """A log from a Minari dataset of numbers; needs the extra ``offline``.

        Args:
            dataset: a ``minari.MinariDataset``, or the id of a local one.

        Raises:
            ImportError: if Minari is not installed.
            TransitionError: if its observations or actions are no arrays, or see the class.
        """
        if isinstance(dataset, str):
            # Late, since the wrappers bring the whole suite in, which numbers alone have no need of.
            from ss_gym.wrappers.minari import minari_library

            dataset = minari_library().load_dataset(dataset)
        parts: list[list[Array]] = []
        for episode in dataset.iterate_episodes():
            for name in ("observations", "actions"):
                column = getattr(episode, name)
                if not isinstance(column, np.ndarray) or column.dtype.kind not in "fiub":
                    raise TransitionError(
                        f"the {name} of this Minari dataset are no arrays of numbers; conversations are read by "
                        "ConversationDataset.from_minari"
                    )
            cut = np.array(episode.truncations, bool)
            cut[-1:] = True
            steps = [episode.observations[:-1], episode.actions, episode.rewards]
            parts.append([np.asarray(step) for step in (*steps, episode.observations[1:], episode.terminations, cut)])
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
            TransitionError: if it is damaged, a column is missing, or see the class.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                columns: dict[str, Any] = {entry.name: file[entry.name] for entry in fields(cls) if entry.name in file}
            if "action_count" in columns:
                columns["action_count"] = int(columns["action_count"])
        except _DAMAGE as error:
            raise TransitionError(f"'{path}' is damaged, or no log that Transitions.save wrote: {error}") from error
        missing = [entry.name for entry in fields(cls) if entry.name not in columns and entry.default is not None]
        if missing:
            raise TransitionError(f"'{path}' has no {', '.join(missing)}")
        return cls(**columns)

    def save(self, path: str | Path) -> None:
        """Writes the log as compressed arrays; the file is replaced as a whole, missing folders above it are made.

        Raises:
            OSError: if it can't be written; what was there before is as it was.
        """
        columns = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        with whole_file(path) as stream:
            np.savez_compressed(stream, **{name: column for name, column in columns.items() if column is not None})

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
            actions = actions.clip(-1, 1)
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


def _check_shapes(log: Transitions) -> None:
    for name, (kind, dimensions) in KINDS.items():
        column = getattr(log, name)
        if column.dtype != kind or column.ndim != dimensions:
            told = f"{name} must be {kind} {'(N, D)' if dimensions == 2 else '(N,)'}, not {described(column)}"
            raise TransitionError(f"{told}: Transitions.from_arrays makes them so")
    check_lengths({entry.name: getattr(log, entry.name) for entry in fields(log)[:6]})
    if log.observations.shape != log.next_observations.shape or not log.observations.shape[1]:
        shapes = f"{log.observations.shape} and {log.next_observations.shape}"
        raise TransitionError(f"observations must be (N, D) before and after a step, not {shapes}")
    if not log.terminals[-1] and not log.timeouts[-1]:
        raise TransitionError("the last step must be terminal or a timeout: nothing follows it")


def _check_numbers(log: Transitions) -> None:
    for name in ("observations", "actions", "rewards", "next_observations"):
        column = getattr(log, name)
        wrong = ~np.isfinite(column.reshape(len(column), -1)).all(1)
        if wrong.any():
            step, others = int(wrong.argmax()), int(wrong.sum()) - 1
            raise TransitionError(f"{name} of step {step} are not finite, nor are those of {others} other steps")


def _check_actions(log: Transitions) -> None:
    count, low, high = log.action_count, log.action_low, log.action_high
    if (count is None) == (low is None or high is None):
        raise TransitionError("give action_count, or action_low and action_high")
    if count is not None:
        if log.actions.ndim != 1 or log.actions.dtype != INT:
            raise TransitionError(f"actions that are counted must be integers (N,), not {described(log.actions)}")
        outside = (log.actions < 0) | (log.actions >= count)
        if outside.any():
            step = int(outside.argmax())
            raise TransitionError(f"action {log.actions[step]} of step {step} is not from 0 to {count - 1}")
    else:
        if log.actions.ndim != 2 or log.actions.dtype != FLOAT:
            raise TransitionError(f"actions with bounds must be float32 (N, A), not {described(log.actions)}")
        _check_box(log)
    if (log.actions == log.actions[0]).all():
        raise TransitionError(
            f"all {len(log)} steps have the same action {log.actions[0]!s:.80}: there is nothing to choose"
        )


def _check_box(log: Transitions) -> None:
    low, high = log.action_low, log.action_high
    assert low is not None and high is not None
    if not (low.shape == high.shape == log.actions.shape[1:] and low.dtype == high.dtype == FLOAT):
        raise TransitionError(
            f"action_low and action_high must be float32 ({log.actions.shape[1]},), a number for each component of an "
            f"action, not {described(low)} and {described(high)}"
        )
    with np.errstate(over="ignore"):
        slack = 1e-5 * (high - low)
    wrong = ~((slack > 0) & np.isfinite(slack))
    if wrong.any():
        place = int(wrong.argmax())
        raise TransitionError(
            f"component {place} of the actions can't be scaled: it is from {low[place]} to {high[place]}"
        )
    outside = ((log.actions < low - slack) | (log.actions > high + slack)).any(1)
    if outside.any():
        step = int(outside.argmax())
        raise TransitionError(f"action {log.actions[step]} of step {step} is outside its bounds, {low} to {high}")
