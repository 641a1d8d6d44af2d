"""Behaviour cloning: do what the log did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from ss_trainers.offline.learner import Actor, Memoryless, Setup
from ss_trainers.offline.networks import Perceptrons
from ss_trainers.offline.optimizers import Adam
from ss_trainers.offline.settings import OfflineConfig
from ss_trainers.offline.transitions import TransitionBatch, Transitions


@dataclass(frozen=True, slots=True)
class BCConfig(OfflineConfig):
    """Behaviour cloning has no settings of its own, and ``gamma`` changes nothing."""


class BehaviorCloningLearner:
    """Maximum likelihood of the logged actions; of those that can't be counted, with equal noise about their mean.

    Pomerleau 1991, "Efficient Training of Artificial Neural Networks for Autonomous Navigation".

    Args:
        config: the settings.
        setup: what it is made of.
    """

    def __init__(self, config: BCConfig, setup: Setup) -> None:
        spaces = setup.spaces
        self._discrete = spaces.discrete
        self._policy = Perceptrons((spaces.observation_size, *setup.hidden, spaces.action_size), setup.initial)
        self.modules = nn.ModuleDict({"policy": self._policy}).to(setup.device)
        self.optimizers = {"policy": Adam(self._policy.parameters(), config.learning_rate)}

    def examples(self, log: TransitionBatch, transitions: Transitions) -> TransitionBatch:
        """Single steps."""
        return log

    def update(self, batch: TransitionBatch, step: int) -> Mapping[str, Tensor]:
        """One step on the likelihood."""
        said = self._policy(batch.observations)
        loss = cross_entropy(said, batch.actions) if self._discrete else mse_loss(said.tanh(), batch.actions)
        self.optimizers["policy"].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizers["policy"].step()
        return {"loss": loss.detach()}

    def actor(self, rows: int) -> Actor:
        """The likeliest action."""
        return Memoryless(self._choose)

    @torch.no_grad()
    def _choose(self, observations: Tensor) -> Tensor:
        said: Tensor = self._policy(observations)
        return said.argmax(-1) if self._discrete else said.tanh()


def learner(config: BCConfig, setup: Setup) -> BehaviorCloningLearner:
    """The algorithm for a log."""
    return BehaviorCloningLearner(config, setup)
