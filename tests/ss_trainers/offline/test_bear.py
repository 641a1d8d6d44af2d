"""BEAR against loops over numbers, and what its warm-up, its limit and its multiplier are for."""

import math
from dataclasses import replace

import pytest
import torch

from ss_trainers.offline.bear import BEARConfig
from ss_trainers.offline.settings import OfflineTraining
from ss_trainers.offline.trainer import OfflineTrainer
from tests.ss_trainers.offline.learners import assert_goes_on_exactly, made, said, valued
from tests.ss_trainers.offline.logs import log
from tests.ss_trainers.offline.proposals import (
    apart,
    assert_learns_from,
    assert_targets_follow,
    autoencoder_loss,
    earned,
    gradients,
    proposed,
)

N, D, SAMPLES, CANDIDATES = 7, 2, 4, 10
SMALL = {"gamma": 0.8, "warmup_updates": 0}
LAPLACE = {"mmd_sigma": 0.7}
GAUSSIAN = {"mmd_kernel": "gaussian", "mmd_sigma": 0.7, "mmd_samples": 5}


class Draws:
    """The noise that an update will take, in its order."""

    def __init__(self, noise, samples=SAMPLES):
        self.encoding = torch.randn((N, 2 * D), generator=noise)
        self.after = torch.randn((N, CANDIDATES, D), generator=noise)
        self.own = torch.randn((N, samples, D), generator=noise)
        self.latents = torch.randn((N, samples, 2 * D), generator=noise).clamp(-0.5, 0.5)


def sampled(policy, observation, noise):
    """An action of the policy before the tanh."""
    mean, log_std = said(policy.network, observation).chunk(2)
    return mean + log_std.exp() * noise


def critic_loss(learner, batch, draws):
    loss = 0.0
    for row in range(N):
        seen, following, best = batch.observations[row], batch.next_observations[row], -math.inf
        for noise in draws.after[row]:
            action = sampled(learner.modules["target_policy"], following, noise).tanh()
            values = [
                valued(learner.modules["target_critics"], member, following, action).item() for member in range(2)
            ]
            best = max(best, 0.75 * min(values) + 0.25 * max(values))
        expected = batch.rewards[row].item() + (0.0 if batch.terminals[row] else 0.8 * best)
        for member in range(2):
            error = valued(learner.modules["critics"], member, seen, batch.actions[row]) - expected
            loss = loss + error**2 / N
    return loss


def similarity(one, other, gaussian):
    if gaussian:
        return (-sum((one - other) ** 2) / (2 * 0.7**2)).exp()
    return (-sum(abs(one - other)) / (2 * 0.7)).exp()


def discrepancy(learner, batch, draws, gaussian=False):
    """Of the policy from what the autoencoder proposes, mean over rows."""
    total = 0.0
    for row, seen in enumerate(batch.observations):
        policy = [sampled(learner.modules["policy"], seen, noise) for noise in draws.own[row]]
        model = [proposed(learner.modules["autoencoder"], seen, latent).detach() for latent in draws.latents[row]]
        squared = 0.0
        for ones, others, sign in ((policy, policy, 1), (model, model, 1), (policy, model, -2)):
            alike = sum(similarity(one, other, gaussian) for one in ones for other in others)
            squared = squared + sign * alike / len(policy) ** 2
        total = total + (squared.clamp(min=0) + 1e-6).sqrt() / N
    return total


def worth(learner, batch, draws):
    """The least that critics say of an action of the policy, mean over rows."""
    total = 0.0
    for row, seen in enumerate(batch.observations):
        action = sampled(learner.modules["policy"], seen, draws.own[row, 0]).tanh()
        one, other = (valued(learner.modules["critics"], member, seen, action) for member in range(2))
        total = total + (one if one < other else other) / N
    return total


def with_multiplier(learner, logarithm):
    with torch.no_grad():
        learner.modules["log_multiplier"][0].fill_(logarithm)
    return learner


@pytest.mark.parametrize("step", [0, 5])
@pytest.mark.parametrize("settings", [LAPLACE, GAUSSIAN])
def test_an_update_has_the_losses_and_gradients_of_loops_over_numbers(settings, step):
    # The first five updates are a warm-up: what critics say does not enter the policy's gradient.
    learner, batch, noise = made(BEARConfig(gamma=0.8, warmup_updates=5, **settings), N)
    assert batch.terminals.any() and not batch.terminals.all()
    apart(with_multiplier(learner, 0.3))
    draws = Draws(noise, settings.get("mmd_samples", SAMPLES))
    error = critic_loss(learner, batch, draws)
    distance = discrepancy(learner, batch, draws, "mmd_kernel" in settings)
    actor_loss = math.exp(0.3) * distance - (worth(learner, batch, draws) if step == 5 else 0.0)
    model_loss = autoencoder_loss(learner.modules["autoencoder"], batch, draws.encoding, 0.5)
    # The actor's loss is in the gradients of no critic, nor of the autoencoder.
    expected = gradients(learner, autoencoder=model_loss, critics=error, policy=actor_loss)
    metrics = learner.update(batch, step)
    assert metrics["autoencoder_loss"].item() == pytest.approx(model_loss.item())
    assert metrics["critic_loss"].item() == pytest.approx(error.item())
    assert metrics["mmd"].item() == pytest.approx(distance.item())
    assert metrics["actor_loss"].item() == pytest.approx(actor_loss.item())
    assert_learns_from(learner, expected)


@pytest.mark.parametrize(("limit", "direction"), [(0.0, 1), (10.0, -1)])
def test_the_multiplier_rises_exactly_while_the_discrepancy_is_above_its_limit(limit, direction):
    learner, batch, _ = made(BEARConfig(mmd_limit=limit, **SMALL))
    logarithm = learner.modules["log_multiplier"][0]
    first = learner.update(batch, 0)
    assert first["multiplier"].item() == 1
    assert logarithm.grad.item() == pytest.approx(limit - first["mmd"].item())
    # Adam's first step is as long as the learning rate.
    second = learner.update(batch, 1)
    assert second["multiplier"].item() == pytest.approx(math.exp(direction * 1e-3), rel=1e-5)


def test_in_the_warm_up_the_multiplier_rests_and_no_critic_moves_the_policy():
    moved = []
    for disturbed in (False, True):
        learner, batch, _ = made(BEARConfig(warmup_updates=2))
        with torch.no_grad():
            for parameter in learner.modules["critics"].parameters() if disturbed else ():
                parameter.mul_(3).add_(1)
        seen = [[], []]
        for step in range(3):
            metrics = learner.update(batch, step)
            seen[0].append([parameter.detach().clone() for parameter in learner.modules["policy"].parameters()])
            seen[1].append(metrics["multiplier"].item())
        assert seen[1] == [1, 1, 1] and learner.modules["log_multiplier"][0].item() != 0
        moved.append(seen[0])
    torch.testing.assert_close(moved[0][:2], moved[1][:2], rtol=0, atol=0)
    assert not all(torch.equal(*pair) for pair in zip(moved[0][2], moved[1][2], strict=True))


def test_targets_follow():
    assert_targets_follow(BEARConfig(target_rate=0.25, **SMALL), ("critics", "policy"))


def test_what_is_done_is_what_the_first_critic_values_most_of_the_policys_actions():
    learner, batch, noise = made(BEARConfig(acting_candidates=6))
    actor = learner.actor(N)
    actions = actor.act(batch.observations)
    assert actions.shape == (N, D) and not actions.requires_grad and actions.abs().max() <= 1
    for seen, action in zip(batch.observations, actions, strict=True):
        candidates = [sampled(learner.modules["policy"], seen, drawn).tanh() for drawn in learner._acting_noise]
        best = max(candidates, key=lambda each: valued(learner.modules["critics"], 0, seen, each).item())
        torch.testing.assert_close(action, best.detach())
    # The same in the same state, and with no noise from training.
    torch.testing.assert_close(actor.act(batch.observations.flip(0)).flip(0), actions)
    assert torch.equal(learner._noise.get_state(), noise.get_state())


def test_actions_stay_within_bounds_however_sure_of_itself_the_policy_is():
    learner, batch, _ = made(BEARConfig(acting_candidates=6))
    assert learner.actor(N).act(1e4 * batch.observations).abs().max() <= 1


@pytest.mark.parametrize("size", [1, 2])
def test_it_does_better_than_the_log(size):
    config = BEARConfig(hidden_dim=32, learning_rate=2e-3, kl_weight=0.01, mmd_sigma=1.0, warmup_updates=100)
    found, before = earned(config, size, updates=250)
    assert before < -0.25 and found > -0.15


@pytest.mark.parametrize("warmup_updates", [0, 3, 5])
def test_a_run_goes_on_exactly_where_it_was_cut(tmp_path, warmup_updates):
    config = BEARConfig(hidden_dim=8, num_epochs=9, warmup_updates=warmup_updates)
    assert_goes_on_exactly(config, tmp_path, discrete=False)


@pytest.mark.parametrize(("most", "warned"), [(4, True), (5, True), (6, False)])
def test_a_run_that_never_leaves_the_warm_up_begins_with_a_warning(most, warned, caplog):
    heard = []
    trainer = OfflineTrainer(BEARConfig(hidden_dim=8, warmup_updates=5), OfflineTraining(max_updates=most))
    learner, _ = trainer._begin(log(discrete=False))
    take = learner.update
    learner.update = lambda batch, step: heard.append(len(caplog.messages)) or take(batch, step)
    trainer.train(log(discrete=False))
    # Once, and before the first update.
    assert heard == most * [int(warned)] and len(caplog.messages) == int(warned)
    told = f"BEAR warms up for 5 updates and this run has {most}, so its policy only comes near to the log"
    assert all(message.startswith(told) and "lower BEARConfig.warmup_updates" in message for message in caplog.messages)


def test_a_run_that_is_over_or_gets_past_the_warm_up_is_not_warned_of(caplog):
    training = OfflineTraining(max_updates=4)
    trainer = OfflineTrainer(BEARConfig(hidden_dim=8, warmup_updates=5), training).train(log(discrete=False))
    caplog.clear()
    trainer.train(log(discrete=False))
    trainer.training = replace(training, max_updates=6)
    assert trainer.train(log(discrete=False)).updates == 6 and caplog.messages == []


def test_the_default_warm_up_is_told_of_where_the_epochs_are_too_few(caplog):
    OfflineTrainer(BEARConfig(hidden_dim=8, num_epochs=3), OfflineTraining(batch_size=10)).train(log(discrete=False))
    (message,) = caplog.messages
    assert message.startswith("BEAR warms up for 40,000 updates and this run has 6, ")


def test_actions_that_are_counted_are_refused_with_what_to_use_instead():
    with pytest.raises(ValueError, match="are counted: use bcq or cql"):
        OfflineTrainer(BEARConfig(), OfflineTraining(max_updates=1)).train(log(discrete=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kl_weight": -1.0}, "BEARConfig.kl_weight must be at least 0, not -1.0"),
        ({"mmd_limit": -0.1}, "mmd_limit must be at least 0, not -0.1"),
        ({"mmd_samples": 0}, "mmd_samples must be at least 1, not 0"),
        ({"mmd_kernel": "linear"}, "mmd_kernel must be one of .*'laplace', 'gaussian'.*, not 'linear'"),
        ({"mmd_sigma": 0.0}, "mmd_sigma must be positive, not 0.0"),
        ({"mmd_sigma": math.inf}, "mmd_sigma must be positive, not inf"),
        ({"warmup_updates": -1}, "warmup_updates must be at least 0, not -1"),
        ({"acting_candidates": 0}, "acting_candidates must be at least 1, not 0"),
        ({"target_rate": math.nan}, "target_rate must be from 0 to 1, not nan"),
    ],
)
def test_settings_that_no_run_could_mean_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        BEARConfig(**settings)
