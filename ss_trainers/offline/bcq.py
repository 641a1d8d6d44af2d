"""Batch-constrained Q-learning: a critic that asks only about actions that the log's policy might have taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ss_trainers.algorithms.checks import require_between
from ss_trainers.functional.returns import bellman_target
from ss_trainers.functional.support import perturbed_actions, soft_clipped_minimum
from ss_trainers.offline.autoencoder import ActionAutoencoder
from ss_trainers.offline.learner import Actor, Learner, Memoryless, Setup
from ss_trainers.offline.networks import Critics, Perceptrons, follow, side_by_side, target_of
from ss_trainers.offline.optimizers import Adam
from ss_trainers.offline.settings import OfflineConfig
from ss_trainers.offline.transitions import TransitionBatch, Transitions

# States that are acted in at once, each with all its candidates.
_ROWS = 512


@dataclass(frozen=True, slots=True)
class BCQConfig(OfflineConfig):
    """Settings of batch-constrained Q-learning.

    One learning rate serves all networks; the authors' code has .0003 for actions that can be counted, and .001 for
    those that can't.

    Attributes:
        latent_dim: numbers in the autoencoder's latents; if None, twice those in an action. Actions that can't be
            counted only.
        kl_weight: of the autoencoder's divergence; the less, the better it tells apart what the log does in a state.
            Actions that can't be counted only.
        perturbation: Phi; how far a proposed action is moved at most, in halves of its range. Actions that can't be
            counted only.
        minimum_weight: lambda; of the least that critics say of an action in a target, the rest being of the most.
            Actions that can't be counted, and replies.
        candidates: how many actions are proposed in the next state, of which the best is in the target. Actions that
            can't be counted only.
        acting_candidates: how many are proposed to act. Actions that can't be counted only.
        threshold: tau; how likely an action has to be to the behaviour policy, compared with its likeliest. Actions
            that can be counted, and replies.
        target_rate: how far target networks move towards the networks in an update. All actions.
    """

    latent_dim: int | None = None
    kl_weight: float = 0.5
    perturbation: float = 0.05
    minimum_weight: float = 0.75
    candidates: int = 10
    acting_candidates: int = 100
    threshold: float = 0.3
    target_rate: float = 0.005

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        OfflineConfig.__post_init__(self)
        require_between(self, 1, float("inf"), "latent_dim", "candidates", "acting_candidates")
        require_between(self, 0, float("inf"), "kl_weight")
        require_between(self, 0, 1, "perturbation", "minimum_weight", "threshold", "target_rate")


class BatchConstrainedLearner:
    """BCQ for actions that can't be counted, Fujimoto et al. 2018, arXiv:1812.02900.

    An autoencoder of the log proposes actions, a network moves them a little to where the first critic values them
    more, and the best of them is what is done. All three losses are minimised at once: none has a gradient in another's
    parameters. The latents of the actions that are proposed to act are drawn once, so that the same is done in the
    same state.

    Args:
        config: the settings.
        setup: what it is made of.
    """

    def __init__(self, config: BCQConfig, setup: Setup) -> None:
        hidden, initial = setup.hidden, setup.initial
        self._config, self._noise = config, setup.noise
        seen, done = setup.spaces.observation_size, setup.spaces.action_size
        self._autoencoder = ActionAutoencoder(seen, done, config.latent_dim or 2 * done, hidden, initial)
        self._perturbation = Perceptrons((seen + done, *hidden, done), initial)
        self._critics = Critics(seen, done, hidden, initial)
        self._target_perturbation, self._target_critics = target_of(self._perturbation), target_of(self._critics)
        self._latents = self._autoencoder.latents(config.acting_candidates, generator=initial).to(setup.device)
        learnt = {"autoencoder": self._autoencoder, "perturbation": self._perturbation, "critics": self._critics}
        targets = {"target_perturbation": self._target_perturbation, "target_critics": self._target_critics}
        self.modules = nn.ModuleDict({**learnt, **targets}).to(setup.device)
        parameters = [parameter for module in learnt.values() for parameter in module.parameters()]
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {"all": Adam(parameters, config.learning_rate)}

    def examples(self, log: TransitionBatch, transitions: Transitions) -> TransitionBatch:
        """Single steps."""
        return log

    def update(self, batch: TransitionBatch, step: int) -> Mapping[str, Tensor]:
        """One step of autoencoder, critics and perturbation."""
        config, seen = self._config, batch.observations
        noise = torch.randn(len(batch), self._autoencoder.latent_size, generator=self._noise, device=seen.device)
        autoencoder_loss = self._autoencoder.loss(seen, batch.actions, noise, config.kl_weight)
        targets = self._targets(batch)
        values = self._critics(seen, batch.actions)
        critic_loss = (values - targets).square().mean(1).sum()
        proposed = self._moved(self._perturbation, seen, self._proposed(seen, 1))
        actor_loss = -self._critics(seen, proposed, frozen=True, first=1).mean()
        self.optimizers["all"].zero_grad()
        (autoencoder_loss + critic_loss + actor_loss).backward()
        self.optimizers["all"].step()
        follow(self._target_perturbation, self._perturbation, config.target_rate)
        follow(self._target_critics, self._critics, config.target_rate)
        losses = {"autoencoder_loss": autoencoder_loss, "critic_loss": critic_loss, "actor_loss": actor_loss}
        return {name: figure.detach() for name, figure in {**losses, "value": values.mean()}.items()}

    def actor(self, rows: int) -> Actor:
        """The best of what is proposed."""
        return Memoryless(self._choose)

    @torch.no_grad()
    def _targets(self, batch: TransitionBatch) -> Tensor:
        """What steps are worth, (N,)."""
        config, seen = self._config, batch.next_observations
        proposed = self._moved(self._target_perturbation, seen, self._proposed(seen, config.candidates))
        values = soft_clipped_minimum(self._target_critics(seen, proposed), config.minimum_weight)
        return bellman_target(batch.rewards, values.amax(1), batch.terminals, config.gamma)

    @torch.no_grad()
    def _proposed(self, observations: Tensor, candidates: int) -> Tensor:
        """Actions like the log's, (N, S, A)."""
        latents = self._autoencoder.latents(len(observations), candidates, generator=self._noise)
        proposed: Tensor = self._autoencoder(observations, latents).tanh()
        return proposed

    def _moved(self, perturbation: nn.Module, observations: Tensor, proposed: Tensor) -> Tensor:
        """Actions that have been moved a little, (N, S, A)."""
        moves: Tensor = perturbation(side_by_side(observations, proposed))
        return perturbed_actions(proposed, moves.tanh().reshape(proposed.shape), self._config.perturbation)

    @torch.no_grad()
    def _choose(self, observations: Tensor) -> Tensor:
        return torch.cat([self._best(rows) for rows in torch.split(observations, _ROWS)])

    def _best(self, observations: Tensor) -> Tensor:
        proposed = self._autoencoder(observations, self._latents.expand(len(observations), -1, -1)).tanh()
        return self._critics.best(observations, self._moved(self._perturbation, observations, proposed))


def learner(config: BCQConfig, setup: Setup) -> Learner[TransitionBatch]:
    """The algorithm for a log."""
    from ss_trainers.offline.bcq_discrete import DiscreteBatchConstrainedLearner

    if setup.spaces.discrete:
        return DiscreteBatchConstrainedLearner(config, setup)
    return BatchConstrainedLearner(config, setup)
