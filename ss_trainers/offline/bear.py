"""BEAR: the best policy whose actions are no farther from the log's than a limit, by maximum mean discrepancy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from ss_trainers.algorithms.checks import require_between, require_choice
from ss_trainers.functional.discrepancies import Kernel, gaussian_kernel, laplace_kernel, mmd
from ss_trainers.functional.gaussians import reparameterized
from ss_trainers.functional.lagrangian import lagrange_dual_loss, lagrange_multiplier
from ss_trainers.functional.returns import bellman_target
from ss_trainers.functional.support import soft_clipped_minimum
from ss_trainers.offline.autoencoder import ActionAutoencoder
from ss_trainers.offline.learner import Actor, Memoryless, Setup
from ss_trainers.offline.networks import Critics, GaussianActor, follow, target_of
from ss_trainers.offline.optimizers import Adam
from ss_trainers.offline.settings import OfflineConfig
from ss_trainers.offline.transitions import TransitionBatch, Transitions

# Actions of the policy in the next state for a target; as in the authors' code, which has them from BCQ.
_CANDIDATES = 10
# Learning rate of the multiplier's logarithm; as in the authors' code.
_MULTIPLIER_RATE = 1e-3
# States that are acted in at once, each with all its candidates.
_ROWS = 512
_KERNELS = {"laplace": laplace_kernel, "gaussian": gaussian_kernel}


@dataclass(frozen=True, slots=True)
class BEARConfig(OfflineConfig):
    """Settings of BEAR, for actions that can't be counted.

    One learning rate serves all networks.

    Attributes:
        kl_weight: of the autoencoder's divergence: the less, the better it tells apart what the log does in a state.
        mmd_limit: epsilon, that the discrepancy of the policy from the log is to stay below.
        mmd_samples: actions of the policy, and as many of the log's model, that are compared in a state; the authors
            have from 4 to 10.
        mmd_kernel: what they are compared by: ``"laplace"`` or ``"gaussian"``.
        mmd_sigma: the kernel's; see ``ss_trainers.functional.discrepancies`` for what other libraries mean by it.
        warmup_updates: updates at the beginning in which the policy only comes near to the log. A run that has no more
            never asks the critics what to do but when it acts, and begins with a warning.
        acting_candidates: actions of the policy of which the best is done.
        target_rate: how far target networks move towards the networks in an update.
    """

    kl_weight: float = 0.5
    mmd_limit: float = 0.05
    mmd_samples: int = 4
    mmd_kernel: Literal["laplace", "gaussian"] = "laplace"
    mmd_sigma: float = 20.0
    warmup_updates: int = 40_000
    acting_candidates: int = 100
    target_rate: float = 0.005

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        OfflineConfig.__post_init__(self)
        require_choice(self, mmd_kernel=tuple(_KERNELS))
        require_between(self, 1, float("inf"), "mmd_samples", "acting_candidates")
        require_between(self, 0, float("inf"), "kl_weight", "mmd_limit", "warmup_updates")
        require_between(self, 0, 1, "target_rate")
        if not 0 < self.mmd_sigma < float("inf"):
            raise ValueError(f"BEARConfig.mmd_sigma must be positive, not {self.mmd_sigma}")


class BEARLearner:
    """Bootstrapping error accumulation reduction, Kumar et al. 2019, arXiv:1906.00949.

    The policy's actions and those that an autoencoder of the log proposes are compared before the tanh, where they do
    not saturate. What the policy is worth in a state is the least that critics say of one of these actions, which on
    average is what it is of all of them in the authors' code. All losses are minimised at once: none has a gradient in
    another's parameters. The noise of the actions of which the best is done is drawn once, so that the same is done in
    the same state.

    Args:
        config: the settings.
        setup: what it is made of.
    """

    def __init__(self, config: BEARConfig, setup: Setup) -> None:
        hidden, initial = setup.hidden, setup.initial
        self._config, self._noise, self._size = config, setup.noise, setup.spaces.action_size
        self._kernel: Kernel = partial(_KERNELS[config.mmd_kernel], sigma=config.mmd_sigma)
        seen, done = setup.spaces.observation_size, setup.spaces.action_size
        self._autoencoder = ActionAutoencoder(seen, done, 2 * done, hidden, initial)
        self._policy = GaussianActor(seen, done, hidden, initial)
        self._critics = Critics(seen, done, hidden, initial)
        self._target_policy, self._target_critics = target_of(self._policy), target_of(self._critics)
        self._log_multiplier = nn.Parameter(torch.zeros(()))
        self._acting_noise = torch.randn(config.acting_candidates, done, generator=initial).to(setup.device)
        learnt = {"autoencoder": self._autoencoder, "policy": self._policy, "critics": self._critics}
        targets = {"target_policy": self._target_policy, "target_critics": self._target_critics}
        multiplier = {"log_multiplier": nn.ParameterList([self._log_multiplier])}
        self.modules = nn.ModuleDict({**learnt, **targets, **multiplier}).to(setup.device)
        parameters = [parameter for module in learnt.values() for parameter in module.parameters()]
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {
            "all": Adam(parameters, config.learning_rate),
            "multiplier": Adam([self._log_multiplier], _MULTIPLIER_RATE),
        }

    def examples(self, log: TransitionBatch, transitions: Transitions) -> TransitionBatch:
        """Single steps."""
        return log

    def update(self, batch: TransitionBatch, step: int) -> Mapping[str, Tensor]:
        """One step of autoencoder, critics and policy, and after the warm-up of the multiplier."""
        config, seen = self._config, batch.observations
        autoencoder_loss = self._autoencoder.loss(
            seen, batch.actions, self._drawn(len(batch), 2 * self._size), config.kl_weight
        )
        values = self._critics(seen, batch.actions)
        critic_loss = (values - self._targets(batch)).square().mean(1).sum()
        sampled = self._sampled(self._policy, seen, self._drawn(len(batch), config.mmd_samples, self._size))
        discrepancy = mmd(sampled, self._proposed(seen), self._kernel).mean()
        multiplier = lagrange_multiplier(self._log_multiplier)
        actor_loss, dual_loss = multiplier * discrepancy, torch.zeros_like(discrepancy)
        if step >= config.warmup_updates:
            actor_loss = actor_loss - self._critics(seen, sampled[:, 0].tanh(), frozen=True).amin(0).mean()
            dual_loss = lagrange_dual_loss(self._log_multiplier, discrepancy, config.mmd_limit)
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        (autoencoder_loss + critic_loss + actor_loss + dual_loss).backward()
        for optimizer in self.optimizers.values():
            optimizer.step()
        follow(self._target_policy, self._policy, config.target_rate)
        follow(self._target_critics, self._critics, config.target_rate)
        losses = {"autoencoder_loss": autoencoder_loss, "critic_loss": critic_loss, "actor_loss": actor_loss}
        figures = {"value": values.mean(), "mmd": discrepancy, "multiplier": multiplier}
        return {name: figure.detach() for name, figure in {**losses, **figures}.items()}

    def too_short(self, updates: int) -> str | None:
        """What a run that is over before the warm-up is never comes to."""
        warmup = self._config.warmup_updates
        if updates > warmup:
            return None
        return (
            f"BEAR warms up for {warmup:,} updates and this run has {updates:,}, so its policy only comes near to the "
            "log and learns nothing of rewards: lower BEARConfig.warmup_updates, or train for longer"
        )

    def actor(self, rows: int) -> Actor:
        """The best of the policy's actions."""
        return Memoryless(self._choose)

    @torch.no_grad()
    def _targets(self, batch: TransitionBatch) -> Tensor:
        """What steps are worth, (N,)."""
        seen = batch.next_observations
        noise = self._drawn(len(batch), _CANDIDATES, self._size)
        candidates = self._sampled(self._target_policy, seen, noise).tanh()
        values = soft_clipped_minimum(self._target_critics(seen, candidates)).amax(1)
        return bellman_target(batch.rewards, values, batch.terminals, self._config.gamma)

    @torch.no_grad()
    def _proposed(self, observations: Tensor) -> Tensor:
        """Actions like the log's before the tanh, (N, S, A)."""
        latents = self._autoencoder.latents(len(observations), self._config.mmd_samples, generator=self._noise)
        proposed: Tensor = self._autoencoder(observations, latents)
        return proposed

    def _sampled(self, policy: nn.Module, observations: Tensor, noise: Tensor) -> Tensor:
        """The policy's actions before the tanh, (N, S, A)."""
        mean, log_std = policy(observations)
        return reparameterized(mean[:, None], log_std[:, None], noise)

    def _drawn(self, *shape: int) -> Tensor:
        """Standard normal noise."""
        return torch.randn(*shape, generator=self._noise, device=self._noise.device)

    @torch.no_grad()
    def _choose(self, observations: Tensor) -> Tensor:
        return torch.cat([self._best(rows) for rows in torch.split(observations, _ROWS)])

    def _best(self, observations: Tensor) -> Tensor:
        candidates = self._sampled(self._policy, observations, self._acting_noise).tanh()
        return self._critics.best(observations, candidates)


def learner(config: BEARConfig, setup: Setup) -> BEARLearner:
    """The algorithm for a log.

    Raises:
        ValueError: if its actions are counted.
    """
    if setup.spaces.discrete:
        raise ValueError("BEAR compares real-valued actions, and those of this log are counted: use bcq or cql")
    return BEARLearner(config, setup)
