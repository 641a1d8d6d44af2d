"""Conservative Q-learning of actions that can be counted."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from ss_trainers.functional.conservatism import conservative_gap
from ss_trainers.functional.returns import bellman_target
from ss_trainers.offline.cql import CQLConfig, GapWeight
from ss_trainers.offline.learner import Actor, Memoryless, Setup
from ss_trainers.offline.networks import Critics, follow, target_of
from ss_trainers.offline.optimizers import Adam
from ss_trainers.offline.transitions import TransitionBatch, Transitions


class DiscreteConservativeQLearner:
    """CQL(H) on double Q-learning, Kumar et al. 2020, arXiv:2006.04779, equation 4.

    The critic chooses the next action and the target critic values it: van Hasselt et al. 2015, arXiv:1509.06461. Its
    error counts half its square up to 1 and linearly beyond, as in DQN (Mnih et al. 2015).

    Args:
        config: the settings.
        setup: what it is made of.
    """

    def __init__(self, config: CQLConfig, setup: Setup) -> None:
        spaces = setup.spaces
        self._config = config
        self._critic = Critics(
            spaces.observation_size, spaces.action_size, setup.hidden, setup.initial, members=1, discrete=True
        )
        self._gap_weight = GapWeight(config)
        self.modules = nn.ModuleDict(
            {"critic": self._critic, "target": target_of(self._critic), "gap_weight": self._gap_weight}
        ).to(setup.device)
        parameters = [*self._critic.parameters(), *self._gap_weight.parameters()]
        self.optimizers = {"critic": Adam(parameters, config.learning_rate)}

    def examples(self, log: TransitionBatch, transitions: Transitions) -> TransitionBatch:
        """Single steps."""
        return log

    def update(self, batch: TransitionBatch, step: int) -> Mapping[str, Tensor]:
        """One step of the critic and the multiplier."""
        targets = self._targets(batch)
        values = self._critic(batch.observations)[0]
        logged = values.gather(-1, batch.actions[:, None]).squeeze(-1)
        error = smooth_l1_loss(logged, targets)
        gap = conservative_gap(values, batch.actions)
        weight = self._gap_weight.weight()
        self.optimizers["critic"].zero_grad()
        loss = error + weight * gap.mean() + self._gap_weight.loss(gap)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizers["critic"].step()
        follow(self.modules["target"], self._critic, self._config.target_rate)
        figures = {"critic_loss": error, "gap": gap.mean(), "gap_weight": weight, "value": logged.mean()}
        return {name: figure.detach() for name, figure in figures.items()}

    def actor(self, rows: int) -> Actor:
        """The best action."""
        return Memoryless(self._choose)

    @torch.no_grad()
    def _targets(self, batch: TransitionBatch) -> Tensor:
        """What the logged actions should be worth, (N,)."""
        chosen = self._choose(batch.next_observations)
        after = self.modules["target"](batch.next_observations)[0].gather(-1, chosen[:, None]).squeeze(-1)
        return bellman_target(batch.rewards, after, batch.terminals, self._config.gamma)

    @torch.no_grad()
    def _choose(self, observations: Tensor) -> Tensor:
        values: Tensor = self._critic(observations)[0]
        return values.argmax(-1)
