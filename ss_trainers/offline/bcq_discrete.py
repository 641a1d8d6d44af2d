"""Batch-constrained Q-learning where actions can be counted: the best of those that the log's policy might take."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, smooth_l1_loss

from ss_trainers.functional.returns import bellman_target
from ss_trainers.functional.support import supported_actions, supported_values
from ss_trainers.offline.bcq import BCQConfig
from ss_trainers.offline.learner import Actor, Memoryless, Setup
from ss_trainers.offline.networks import Perceptrons, follow, target_of
from ss_trainers.offline.optimizers import Adam
from ss_trainers.offline.transitions import TransitionBatch, Transitions

# Weight of the behaviour policy's squared logits, which keeps it from certainty; as in the authors' code.
_LOGIT_WEIGHT = 0.01


class DiscreteBatchConstrainedLearner:
    """Discrete BCQ, Fujimoto et al. 2019, arXiv:1910.01708.

    The values of actions and the behaviour policy are two networks with the same sizes, computed together. They share
    no layer, as in the authors' code where observations are no images: with common layers values were useless on
    CartPole logs of poor policies. The value network chooses in the next state, within the support of the behaviour
    policy, and a target network says what the choice is worth: double Q-learning.

    Args:
        config: the settings.
        setup: what it is made of.
    """

    def __init__(self, config: BCQConfig, setup: Setup) -> None:
        spaces = setup.spaces
        self._config = config
        sizes = (spaces.observation_size, *setup.hidden, spaces.action_size)
        self._networks = Perceptrons(sizes, setup.initial, members=2)
        self._target = target_of(self._networks)
        self.modules = nn.ModuleDict({"networks": self._networks, "target": self._target}).to(setup.device)
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {
            "all": Adam(self._networks.parameters(), config.learning_rate)
        }

    def examples(self, log: TransitionBatch, transitions: Transitions) -> TransitionBatch:
        """Single steps."""
        return log

    def update(self, batch: TransitionBatch, step: int) -> Mapping[str, Tensor]:
        """One step of values and behaviour policy."""
        targets = self._targets(batch)
        action_values, logits = self._networks(batch.observations)
        values = action_values.gather(-1, batch.actions[:, None]).squeeze(-1)
        critic_loss = smooth_l1_loss(values, targets)
        behavior_loss = cross_entropy(logits, batch.actions)
        self.optimizers["all"].zero_grad()
        (critic_loss + behavior_loss + _LOGIT_WEIGHT * logits.square().mean()).backward()
        self.optimizers["all"].step()
        follow(self._target, self._networks, self._config.target_rate)
        figures = {"critic_loss": critic_loss, "behavior_loss": behavior_loss, "value": values.mean()}
        return {name: figure.detach() for name, figure in figures.items()}

    def actor(self, rows: int) -> Actor:
        """The best action that has support."""
        return Memoryless(self._choose)

    @torch.no_grad()
    def _targets(self, batch: TransitionBatch) -> Tensor:
        """What steps are worth, (N,)."""
        seen = batch.next_observations
        chosen = self._choose(seen)[:, None]
        values = self._target(seen, first=1)[0].gather(-1, chosen).squeeze(-1)
        return bellman_target(batch.rewards, values, batch.terminals, self._config.gamma)

    @torch.no_grad()
    def _choose(self, observations: Tensor) -> Tensor:
        action_values, logits = self._networks(observations)
        return supported_values(action_values, supported_actions(logits, self._config.threshold)).argmax(-1)
