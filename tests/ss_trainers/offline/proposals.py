"""What an autoencoder of a log proposes, as loops over numbers, and a log of which half is as good as can be."""

import gymnasium as gym
import numpy as np
import torch
from torch.distributions import Normal, kl_divergence

from ss_trainers.offline.settings import OfflineTraining
from ss_trainers.offline.trainer import OfflineTrainer
from ss_trainers.offline.transitions import Transitions
from tests.ss_trainers.offline.learners import made, said, seeded

BEST = 0.5


def logged(size, steps=1000):
    """One step from anywhere. Half of the actions are about the best, the others about 0."""
    generator, ends = np.random.default_rng(0), np.ones(steps, bool)
    seen, about = generator.uniform(-1, 1, (steps, 2)), BEST * generator.integers(0, 2, (steps, 1))
    actions = (about + 0.05 * generator.standard_normal((steps, size))).clip(-1, 1)
    box = gym.spaces.Box(-1, 1, (size,))
    return Transitions.from_arrays(
        seen, actions, rewards(actions), ends, ~ends, next_observations=seen, action_space=box
    )


def rewards(actions):
    return -np.abs(actions - BEST).mean(1)


def earned(config, size, updates):
    """Mean rewards: of a policy that was trained on the log, and of the log."""
    log = logged(size)
    trainer = OfflineTrainer(config, OfflineTraining(batch_size=100, max_updates=updates)).train(log)
    seen = np.random.default_rng(1).uniform(-1, 1, (200, 2))
    return rewards(trainer.policy().begin(200).act(seen)).mean(), log.rewards.mean()


def proposed(autoencoder, observation, latent):
    """An action before the tanh."""
    return said(autoencoder.decoder, torch.cat([observation, latent]))


def autoencoder_loss(autoencoder, batch, noise, kl_weight):
    total = 0.0
    for row, drawn in enumerate(noise):
        mean, log_std = said(autoencoder.encoder, torch.cat([batch.observations[row], batch.actions[row]])).chunk(2)
        std = log_std.clamp(-4, 15).exp()
        again = proposed(autoencoder, batch.observations[row], mean + std * drawn).tanh()
        divergence = kl_divergence(Normal(mean, std), Normal(0.0, 1.0))
        total = total + ((again - batch.actions[row]) ** 2).mean() + kl_weight * divergence.mean()
    return total / len(batch)


def apart(learner, spread=0.3):
    """Moves targets away from the networks, so that it shows which of them was asked."""
    generator = seeded(5)
    for name, module in learner.modules.items():
        for parameter in module.parameters() if name.startswith("target") else ():
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator))
    return learner


def assert_targets_follow(config, names):
    """In an update the networks of these names move, and their targets a quarter of the way to where they are then."""
    learner, batch, _ = made(config)
    before = {name: [value.clone() for value in module.parameters()] for name, module in learner.modules.items()}
    learner.update(batch, 0)
    for name in names:
        new, target = (learner.modules[each].parameters() for each in (name, f"target_{name}"))
        for old, now, follower in zip(before[name], new, target, strict=True):
            torch.testing.assert_close(follower, 0.75 * old + 0.25 * now.detach())
            assert not torch.equal(old, now)


def gradients(learner, **losses):
    """Of each network's own loss."""
    return {
        name: torch.autograd.grad(loss, list(learner.modules[name].parameters()), retain_graph=True)
        for name, loss in losses.items()
    }


def assert_learns_from(learner, expected):
    """The gradients that an update left are those of each network's own loss, and targets have none."""
    for name, module in learner.modules.items():
        found = [parameter.grad for parameter in module.parameters()]
        if name.startswith("target"):
            assert found == [None] * len(found)
        elif name in expected:
            torch.testing.assert_close(tuple(found), expected[name], rtol=1e-8, atol=1e-10)
