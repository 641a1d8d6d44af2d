"""Conservative Q-learning: values of actions that were not logged are held down to those of the logged ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ss_trainers.algorithms.checks import require_between
from ss_trainers.functional.conservatism import sampled_logsumexp
from ss_trainers.functional.gaussians import reparameterized, squashed_logprob
from ss_trainers.functional.lagrangian import lagrange_dual_loss, lagrange_multiplier
from ss_trainers.functional.returns import bellman_target
from ss_trainers.offline.learner import Actor, Learner, Memoryless, Setup
from ss_trainers.offline.networks import Critics, GaussianActor, follow, target_of
from ss_trainers.offline.optimizers import Adam
from ss_trainers.offline.settings import OfflineConfig
from ss_trainers.offline.transitions import TransitionBatch, Transitions

# Rows that the critics take at once on a processor, which is a few megabytes for each layer: of more, little stays in
# the cache until the backward pass.
_ROWS_AT_ONCE = 2048


@dataclass(frozen=True, slots=True)
class CQLConfig(OfflineConfig):
    """Settings of conservative Q-learning, for actions that can be counted and for those that can't.

    Attributes:
        conservative_weight: alpha; of the gap in the critics' loss, beside the squared error (not its half), or Huber's
            where actions are counted. 0 is soft actor-critic, or double Q-learning. With a ``gap_limit``, what it
            begins at. All actions.
        gap_limit: the weight is a multiplier that rises while the mean gap is above this and falls while it is below,
            from exp(-5) to exp(10). Values that are the same for all actions have a gap of log(A) for A actions that
            are counted, and of d log(2) for d components. If None, the weight stays as it is. All actions.
        target_rate: tau; how far target critics move towards the critics in an update. All actions.
        sampled_actions: n; the soft maximum is estimated from n actions each of the uniform distribution, of the policy
            in the state and of the policy in the next one. Actions that can't be counted only.
        actor_learning_rate: Adam's, of actor and temperature. Actions that can't be counted only.
        entropy_in_target: whether the policy's entropy to come is part of an action's value, as in soft actor-critic,
            or not, as in the authors' experiments. Actions that can't be counted only.
    """

    conservative_weight: float = 5.0
    gap_limit: float | None = None
    target_rate: float = 0.005
    sampled_actions: int = 10
    actor_learning_rate: float = 1e-4
    entropy_in_target: bool = False

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        OfflineConfig.__post_init__(self)
        require_between(self, 0, 1, "target_rate")
        require_between(self, 1, math.inf, "sampled_actions")
        if not 0 < self.actor_learning_rate < math.inf:
            raise ValueError(f"CQLConfig.actor_learning_rate must be positive, not {self.actor_learning_rate}")
        if not 0 <= self.conservative_weight < math.inf:
            raise ValueError(f"CQLConfig.conservative_weight must be 0 or more, not {self.conservative_weight}")
        if self.gap_limit is not None and not math.isfinite(self.gap_limit):
            raise ValueError(f"CQLConfig.gap_limit must be a finite number, not {self.gap_limit}")
        if self.gap_limit is not None and self.conservative_weight == 0:
            raise ValueError("CQLConfig.gap_limit needs a conservative_weight above 0 to begin at")


class GapWeight(nn.Module):
    """How much the gap counts in the critics' loss: always the same, or as much as it takes to keep to a limit.

    Args:
        config: the settings.
    """

    def __init__(self, config: CQLConfig) -> None:
        super().__init__()
        self._limit = config.gap_limit
        weight = torch.tensor(float(config.conservative_weight))
        self.register_buffer("_fixed", weight, persistent=False)
        self.log_multiplier = None if self._limit is None else nn.Parameter(weight.log())

    def weight(self) -> Tensor:
        """A scalar without gradient."""
        return self.get_buffer("_fixed") if self.log_multiplier is None else lagrange_multiplier(self.log_multiplier)

    def loss(self, gap: Tensor) -> Tensor:
        """What a multiplier is learnt from, a scalar; 0 if there is none.

        Args:
            gap: float (...), of a batch.
        """
        if self.log_multiplier is None or self._limit is None:
            return gap.new_zeros(())
        return lagrange_dual_loss(self.log_multiplier, gap, self._limit)


class ConservativeQLearner:
    """CQL(H) on soft actor-critic, for actions that can't be counted.

    Kumar et al. 2020, arXiv:2006.04779. As in the authors' code, what the policy would do in the next state is valued
    in this one too. The gap is to the integral over all actions, whatever the number of samples. The authors' is to the
    sum over samples, and is weighted before it is compared with a limit: a threshold t of theirs is a ``gap_limit`` of
    t / conservative_weight - log(3n). No loss has a gradient in another's parameters.

    Args:
        config: the settings.
        setup: what it is made of.
    """

    def __init__(self, config: CQLConfig, setup: Setup) -> None:
        spaces, hidden, initial = setup.spaces, setup.hidden, setup.initial
        self._config, self._noise, self._size = config, setup.noise, spaces.action_size
        self._critics = Critics(spaces.observation_size, spaces.action_size, hidden, initial)
        self._policy = GaussianActor(spaces.observation_size, spaces.action_size, hidden, initial)
        self._log_temperature = nn.Parameter(torch.zeros(()))
        self._gap_weight = GapWeight(config)
        self.modules = nn.ModuleDict(
            {
                "critics": self._critics,
                "target": target_of(self._critics),
                "policy": self._policy,
                "log_temperature": nn.ParameterList([self._log_temperature]),
                "gap_weight": self._gap_weight,
            }
        ).to(setup.device)
        valuing = [*self._critics.parameters(), *self._gap_weight.parameters()]
        acting = [*self._policy.parameters(), self._log_temperature]
        self.optimizers = {
            "critics": Adam(valuing, config.learning_rate),
            "policy": Adam(acting, config.actor_learning_rate),
        }

    def examples(self, log: TransitionBatch, transitions: Transitions) -> TransitionBatch:
        """Single steps."""
        return log

    def update(self, batch: TransitionBatch, step: int) -> Mapping[str, Tensor]:
        """One step of critics, actor, temperature and multiplier."""
        count = len(batch)
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        temperature, weight = lagrange_multiplier(self._log_temperature, -math.inf), self._gap_weight.weight()
        mean, log_std = self._policy(torch.cat([batch.observations, batch.next_observations]))
        own, logprobs = (drawn[:, 0] for drawn in self._drawn(mean[:count], log_std[:count], 1))
        with torch.no_grad():
            free, densities = self._drawn(mean, log_std, self._config.sampled_actions)
        targets = self._targets(batch, free[count:, 0], temperature * densities[count:, 0])
        values, gap = self._learn_values(batch, targets, free, densities, weight)
        # The actor's loss goes through critics that it does not move.
        best = self._critics(batch.observations, own, frozen=True).amin(0)
        actor_loss = (temperature * logprobs - best).mean()
        # An entropy of at least -d is a mean log-probability of at most d.
        temperature_loss = lagrange_dual_loss(self._log_temperature, logprobs, self._size, -math.inf)
        (actor_loss + temperature_loss + self._gap_weight.loss(gap)).backward()
        for optimizer in self.optimizers.values():
            optimizer.step()
        follow(self.modules["target"], self._critics, self._config.target_rate)
        critic_loss = (values - targets).square().mean(1).sum()
        losses = {"critic_loss": critic_loss, "actor_loss": actor_loss, "gap": gap.mean(), "gap_weight": weight}
        figures = {"value": values.mean(), "entropy": -logprobs.mean(), "temperature": temperature}
        return {name: figure.detach() for name, figure in {**losses, **figures}.items()}

    def actor(self, rows: int) -> Actor:
        """The action in the middle of the distribution."""
        return Memoryless(self._choose)

    def _drawn(self, mean: Tensor, log_std: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        """Actions of the policy, (B, S, A), and their log-probabilities, (B, S)."""
        noise = torch.randn((len(mean), samples, self._size), generator=self._noise, device=mean.device)
        mean, log_std = mean[:, None], log_std[:, None]
        unsquashed = reparameterized(mean, log_std, noise)
        return unsquashed.tanh(), squashed_logprob(unsquashed, mean, log_std)

    @torch.no_grad()
    def _targets(self, batch: TransitionBatch, actions: Tensor, costs: Tensor) -> Tensor:
        """What the logged actions should be worth, (N,).

        Args:
            batch: what was logged.
            actions: (N, A); what the policy does next.
            costs: (N,); of their entropy.
        """
        after = self.modules["target"](batch.next_observations, actions).amin(0)
        after = after - costs if self._config.entropy_in_target else after
        return bellman_target(batch.rewards, after, batch.terminals, self._config.gamma)

    def _learn_values(
        self, batch: TransitionBatch, targets: Tensor, free: Tensor, densities: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Gives the critics their gradients.

        Args:
            batch: what was logged.
            targets: (N,); of the logged actions.
            free: (2N, n, A); the policy's actions in the states and in the next ones.
            densities: (2N, n); their log-probabilities.
            weight: of the gap.

        Returns:
            values of the logged actions and the gap of the soft maximum above them, (K, N) each.
        """
        count, samples, size = len(batch), self._config.sampled_actions, self._size
        uniform = torch.rand((count, samples, size), generator=self._noise, device=free.device) * 2 - 1
        actions = torch.cat([batch.actions[:, None], uniform, *free.chunk(2)], 1)
        densities = torch.cat([torch.full_like(uniform[..., 0], -size * math.log(2)), *densities.chunk(2)], 1)
        at_once = count if free.is_cuda else max(1, _ROWS_AT_ONCE // actions.shape[1])
        found = []
        columns = (batch.observations, actions, densities, targets)
        for seen, done, density, target in zip(*(torch.split(column, at_once) for column in columns), strict=True):
            values = self._critics(seen, done)
            logged = values[..., 0]
            gap = sampled_logsumexp(values[..., 1:], density) - logged
            (((logged - target).square() + weight * gap).sum() / count).backward()
            found.append((logged.detach(), gap.detach()))
        logged, gap = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
        return logged, gap

    @torch.no_grad()
    def _choose(self, observations: Tensor) -> Tensor:
        mean: Tensor = self._policy(observations)[0]
        return mean.tanh()


def learner(config: CQLConfig, setup: Setup) -> Learner[TransitionBatch]:
    """The algorithm for a log."""
    from ss_trainers.offline.cql_discrete import DiscreteConservativeQLearner

    return DiscreteConservativeQLearner(config, setup) if setup.spaces.discrete else ConservativeQLearner(config, setup)
