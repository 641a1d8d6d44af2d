"""Implicit Q-learning: a critic that never asks about an action that was not logged, and cloning weighed by it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ss_trainers.algorithms.checks import require_between
from ss_trainers.functional.expectiles import advantage_weights, expectile_loss
from ss_trainers.functional.gaussians import gaussian_logprob
from ss_trainers.functional.returns import bellman_target
from ss_trainers.offline.learner import Actor, Memoryless, Setup
from ss_trainers.offline.networks import Critics, Perceptrons, follow, target_of
from ss_trainers.offline.optimizers import Adam
from ss_trainers.offline.settings import OfflineConfig
from ss_trainers.offline.transitions import TransitionBatch, Transitions


@dataclass(frozen=True, slots=True)
class IQLConfig(OfflineConfig):
    """Settings of implicit Q-learning.

    Attributes:
        expectile: tau; the nearer to 1, the nearer a state's value is to that of the best logged action.
        beta: how much rather better actions are cloned; 0 is plain cloning. One that is better by 1, in rewards that
            ``OfflineTraining.reward_scale`` has scaled, has exp(beta) times the weight: where most weights are 0 or at
            the cap, that is too much.
        weight_cap: the greatest weight of a logged action.
        target_rate: how far target critics move towards the critics in an update.
    """

    expectile: float = 0.7
    beta: float = 3.0
    weight_cap: float = 100.0
    target_rate: float = 0.005

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        OfflineConfig.__post_init__(self)
        require_between(self, 0, 1, "target_rate")
        if not 0 < self.expectile < 1:
            raise ValueError(f"IQLConfig.expectile must be between 0 and 1, not {self.expectile}")
        if not 0 <= self.beta < math.inf:
            raise ValueError(f"IQLConfig.beta must be 0 or more, not {self.beta}")
        if not self.weight_cap > 0:
            raise ValueError(f"IQLConfig.weight_cap must be positive, not {self.weight_cap}")


class ImplicitQLearner:
    """Implicit Q-learning, Kostrikov et al. 2021, arXiv:2110.06169.

    The actor is a Gaussian about a tanh with a standard deviation for each component that does not depend on the
    state, as in the authors' code, or a distribution over actions that can be counted. All three losses are minimised
    at once: none has a gradient in another's parameters.

    Args:
        config: the settings.
        setup: what it is made of.
    """

    def __init__(self, config: IQLConfig, setup: Setup) -> None:
        spaces, hidden, initial = setup.spaces, setup.hidden, setup.initial
        self._config, self._discrete = config, spaces.discrete
        seen, done = spaces.observation_size, spaces.action_size
        self._critics = Critics(seen, done, hidden, initial, discrete=spaces.discrete)
        self._value = Perceptrons((seen, *hidden, 1), initial)
        self._policy = Perceptrons((seen, *hidden, done), initial)
        self._spread = nn.ParameterList([] if spaces.discrete else [nn.Parameter(torch.zeros(done))])
        learnt = {"critics": self._critics, "value": self._value, "policy": self._policy, "spread": self._spread}
        self.modules = nn.ModuleDict({**learnt, "target": target_of(self._critics)}).to(setup.device)
        parameters = [parameter for module in learnt.values() for parameter in module.parameters()]
        self.optimizers = {"all": Adam(parameters, config.learning_rate)}

    def examples(self, log: TransitionBatch, transitions: Transitions) -> TransitionBatch:
        """Single steps."""
        return log

    def update(self, batch: TransitionBatch, step: int) -> Mapping[str, Tensor]:
        """One step of value, critics and actor."""
        config = self._config
        now = self._value(batch.observations).squeeze(-1)
        with torch.no_grad():
            after = self._value(batch.next_observations).squeeze(-1)
            best = self._logged(self.modules["target"], batch).amin(0)
        value_loss = expectile_loss(now, best, config.expectile).mean()
        targets = bellman_target(batch.rewards, after, batch.terminals, config.gamma)
        critic_loss = (self._logged(self._critics, batch) - targets).square().mean(1).sum()
        weights = advantage_weights(best - now, config.beta, config.weight_cap)
        actor_loss = (weights * self._surprise(batch)).mean()
        self.optimizers["all"].zero_grad()
        (value_loss + critic_loss + actor_loss).backward()  # type: ignore[no-untyped-call]
        self.optimizers["all"].step()
        follow(self.modules["target"], self._critics, config.target_rate)
        losses = {"value_loss": value_loss, "critic_loss": critic_loss, "actor_loss": actor_loss}
        figures = {"value": now.mean(), "advantage_weight": weights.mean()}
        return {name: figure.detach() for name, figure in {**losses, **figures}.items()}

    def actor(self, rows: int) -> Actor:
        """The likeliest action."""
        return Memoryless(self._choose)

    def _logged(self, critics: nn.Module, batch: TransitionBatch) -> Tensor:
        """Values of what was done, (K, N)."""
        if not self._discrete:
            values: Tensor = critics(batch.observations, batch.actions)
            return values
        values = critics(batch.observations)
        return values.gather(-1, batch.actions.expand(len(values), -1)[..., None]).squeeze(-1)

    def _surprise(self, batch: TransitionBatch) -> Tensor:
        """Negative log-probability of what was done, (N,)."""
        said = self._policy(batch.observations)
        if self._discrete:
            return cross_entropy(said, batch.actions, reduction="none")
        return -gaussian_logprob(batch.actions, said.tanh(), self._spread[0].clamp(-5.0, 2.0))

    @torch.no_grad()
    def _choose(self, observations: Tensor) -> Tensor:
        said: Tensor = self._policy(observations)
        return said.argmax(-1) if self._discrete else said.tanh()


def learner(config: IQLConfig, setup: Setup) -> ImplicitQLearner:
    """The algorithm for a log."""
    return ImplicitQLearner(config, setup)
