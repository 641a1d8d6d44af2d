"""Good attempts are imitated without a ratio, bad ones are unlearnt by at most a share of it.

Le Roux et al. 2025, "Tapered Off-Policy REINFORCE", arXiv:2503.14286.
"""

from dataclasses import dataclass

import torch

from ss_trainers.algorithms.parts import GroupRelative
from ss_trainers.algorithms.policy_optimization import PolicyOptimization


@dataclass(frozen=True)
class TaperedConfig:
    """Where the ratio of bad attempts is cut."""

    cap: float = 1.0


@dataclass(frozen=True)
class Taper:
    """The log-likelihood of good tokens, and that of bad ones by their capped ratio."""

    cap: float

    def __call__(self, ratio, advantages, logprobs):
        weight = torch.where(advantages > 0, 1.0, ratio.detach().clamp(max=self.cap))
        return weight * advantages * logprobs

    def stopped(self, ratio, advantages):
        return torch.zeros_like(ratio, dtype=torch.bool), (ratio > self.cap) & (advantages < 0)


class Tapered(PolicyOptimization):
    """Tapered off-policy REINFORCE."""

    name, config_class = "tapered", TaperedConfig

    def __init__(self, config=None):
        config = config or TaperedConfig()
        super().__init__(config, advantage=GroupRelative("none"), surrogate=Taper(config.cap))
