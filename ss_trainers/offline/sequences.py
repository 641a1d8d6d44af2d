"""Windows of a log: the last steps up to each step, with what was still to be earned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ss_trainers.functional.returns import episode_returns
from ss_trainers.offline.transitions import TransitionBatch


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """Windows of K successive steps of an episode, the newest last; shorter ones are padded in front, with zeros.

    Attributes:
        returns: float (B, K); what was still to be earned before each step.
        observations: float (B, K, D).
        actions: float (B, K, A) within [-1, 1], or int64 (B, K).
        timesteps: int64 (B, K), counted from the beginning of the episode.
        mask: bool (B, K); false for padding.
    """

    returns: Tensor
    observations: Tensor
    actions: Tensor
    timesteps: Tensor
    mask: Tensor

    def followed_by(self, steps: WindowBatch, length: int) -> WindowBatch:
        """The same windows some steps later.

        Args:
            steps: what came next in each.
            length: how many steps of a window are kept at most, the newest.
        """
        joined = (torch.cat([getattr(self, entry.name), getattr(steps, entry.name)], 1) for entry in fields(self))
        return WindowBatch(*(column[:, -length:] for column in joined))


@dataclass(frozen=True, slots=True)
class Windows:
    """All windows of a log, one for each step, which is its last; none reaches into another episode.

    The log is held once, and windows are cut from it when they are asked for.

    Attributes:
        returns: float (N,); what was still to be earned before each step.
        observations: float (N, D).
        actions: float (N, A) within [-1, 1], or int64 (N,).
        firsts: int64 (N,); the place of the first step of each step's episode.
        length: K.
    """

    returns: Tensor
    observations: Tensor
    actions: Tensor
    firsts: Tensor
    length: int

    @classmethod
    def of(cls, log: TransitionBatch, timeouts: Tensor, length: int, gamma: float = 1.0) -> Windows:
        """The windows of a log.

        Args:
            log: all steps, on the device.
            timeouts: bool (N,), there too; what could have been earned after one is not in the returns.
            length: K.
            gamma: discount of a step.
        """
        returns = episode_returns(log.rewards, log.terminals, timeouts, gamma)
        ends, places = log.terminals | timeouts, torch.arange(len(log), device=timeouts.device)
        firsts = torch.where(ends.roll(1), places, 0).cummax(0).values
        return cls(returns, log.observations, log.actions, firsts, length)

    def __len__(self) -> int:
        return len(self.returns)

    def at(self, places: Tensor) -> WindowBatch:
        """The windows that end with the steps in some places.

        Args:
            places: int64 (B,).
        """
        steps = places[:, None] + torch.arange(1 - self.length, 1, device=places.device)
        firsts = self.firsts[places][:, None]
        mask, steps = steps >= firsts, torch.maximum(steps, firsts)
        observations, actions = self.observations[steps] * mask[..., None], self.actions[steps]
        actions = actions * (mask if actions.ndim == 2 else mask[..., None])
        return WindowBatch(self.returns[steps] * mask, observations, actions, steps - firsts, mask)

    def batches(self, order: Tensor, size: int) -> Iterator[WindowBatch]:
        """The windows that end with the steps in an order, some at a time.

        Args:
            order: int64 (N,), their places.
            size: windows of a batch; the last one has those that are left.
        """
        return (self.at(places) for places in torch.split(order, size))
