"""How a log's numbers become those that networks see, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ss_trainers.offline.columns import Array
from ss_trainers.offline.settings import OfflineTraining
from ss_trainers.offline.transitions import TransitionBatch, Transitions

# Least standard deviation that observations are divided by: a component that hardly varies must not be blown up.
_LEAST_SPREAD = 1e-3


@dataclass(frozen=True, slots=True)
class Scaling:
    """Shifts and scales of observations, rewards and actions.

    Attributes:
        shift: float32 (D,); subtracted from observations.
        spread: float32 (D,); what they are divided by then.
        reward_scale: what rewards are multiplied by.
        action_low: float32 (A,), or None where actions are counted.
        action_high: likewise.
    """

    shift: Array
    spread: Array
    reward_scale: float
    action_low: Array | None
    action_high: Array | None

    @classmethod
    def of(cls, log: Transitions, training: OfflineTraining) -> Scaling:
        """The scaling of a log."""
        size = log.spaces.observation_size
        shift, spread = np.zeros(size, np.float32), np.ones(size, np.float32)
        if training.normalize_observations:
            shift = log.observations.mean(0, dtype=np.float64).astype(np.float32)
            spread = log.observations.std(0, dtype=np.float64).astype(np.float32)
            spread = np.where(spread < _LEAST_SPREAD, np.float32(1), spread)
        return cls(shift, spread, training.reward_scale, log.action_low, log.action_high)

    def batch(self, log: Transitions, device: torch.device) -> TransitionBatch:
        """All steps of a log, scaled, on a device."""
        whole = log.tensors()
        shift, spread = torch.from_numpy(self.shift), torch.from_numpy(self.spread)
        return TransitionBatch(
            (whole.observations - shift) / spread,
            whole.actions,
            whole.rewards * self.reward_scale,
            (whole.next_observations - shift) / spread,
            whole.terminals,
        ).to(device)

    def observations(self, values: Any, device: torch.device) -> Tensor:
        """What an environment shows, float (N, D), as networks see it."""
        rows = np.asarray(values, np.float32)
        return torch.from_numpy((rows.reshape(len(rows), -1) - self.shift) / self.spread).to(device)

    def actions(self, chosen: Tensor) -> Array:
        """What networks choose, in the environment's units: int64 (N,), or float32 (N, A), flat."""
        actions: Array = chosen.cpu().numpy()
        if self.action_low is None or self.action_high is None:
            return actions
        scaled = self.action_low + (actions + 1) / 2 * (self.action_high - self.action_low)
        within: Array = scaled.clip(self.action_low, self.action_high)
        return within
