"""Batch-constrained Q-learning against loops over numbers, and how far from the log it goes."""

import math

import pytest
import torch

from ss_trainers.offline.bcq import BCQConfig
from tests.ss_trainers.offline.chain import BEST, GAMMA, RIGHT, SEEN, STATES, WAIT, choices, trained
from tests.ss_trainers.offline.learners import assert_goes_on_exactly, made, said, valued
from tests.ss_trainers.offline.proposals import (
    apart,
    assert_learns_from,
    assert_targets_follow,
    autoencoder_loss,
    earned,
    gradients,
    proposed,
)

N, D, CANDIDATES, BOUND = 7, 2, 3, 0.05
SMALL = {"candidates": CANDIDATES, "gamma": 0.8}


def saturated(learner):
    """Makes it move actions as far as it may."""
    with torch.no_grad():
        learner.modules["perturbation"].biases[-1].copy_(torch.tensor([30.0, -30.0]))
    return learner


def judged(learner, sign):
    """Makes the first critic value actions by their sum, or by its negative, and the second the other way round."""
    network = learner.modules["critics"].network
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        # Units of the first layer see components shifted above 0, those of the second take their sum.
        network.weights[0][:, -D:, :D] = torch.eye(D, dtype=torch.float64)
        network.biases[0][:, 0, :D] = 2.0
        network.weights[1][:, :D, 0] = 1.0
        network.weights[2][:, 0, 0] = torch.tensor([sign, -sign], dtype=torch.float64)
    return learner


# --- actions that can't be counted ---------------------------------------------------------------


def moved(learner, prefix, observation, latent):
    """An action that is proposed, and then moved a little."""
    action = proposed(learner.modules["autoencoder"], observation, latent).tanh().detach()
    shift = said(learner.modules[f"{prefix}perturbation"], torch.cat([observation, action])).tanh()
    return (action + BOUND * shift).clamp(-1, 1)


def losses(learner, batch, noise, latent_dim, minimum_weight):
    """The three losses, with noise in the order in which an update draws it."""
    encoding = torch.randn((N, latent_dim), generator=noise)
    after = torch.randn((N, CANDIDATES, latent_dim), generator=noise).clamp(-0.5, 0.5)
    now = torch.randn((N, 1, latent_dim), generator=noise).clamp(-0.5, 0.5)
    critics, critic_loss, actor_loss = learner.modules["critics"], 0.0, 0.0
    for row in range(N):
        seen, following, best = batch.observations[row], batch.next_observations[row], -math.inf
        for latent in after[row]:
            action = moved(learner, "target_", following, latent)
            values = [
                valued(learner.modules["target_critics"], member, following, action).item() for member in range(2)
            ]
            best = max(best, minimum_weight * min(values) + (1 - minimum_weight) * max(values))
        expected = batch.rewards[row].item() + (0.0 if batch.terminals[row] else 0.8 * best)
        for member in range(2):
            critic_loss = critic_loss + (valued(critics, member, seen, batch.actions[row]) - expected) ** 2 / N
        actor_loss = actor_loss - valued(critics, 0, seen, moved(learner, "", seen, now[row, 0])) / N
    return autoencoder_loss(learner.modules["autoencoder"], batch, encoding, 0.5), critic_loss, actor_loss


@pytest.mark.parametrize(("latent_dim", "minimum_weight"), [(None, 0.75), (3, 1.0)])
def test_an_update_has_the_losses_and_gradients_of_loops_over_numbers(latent_dim, minimum_weight):
    learner, batch, noise = made(BCQConfig(latent_dim=latent_dim, minimum_weight=minimum_weight, **SMALL), N)
    assert batch.terminals.any() and not batch.terminals.all()
    found = losses(apart(learner), batch, noise, latent_dim or 2 * D, minimum_weight)
    # The actor's loss is in the gradients of no critic, and nothing but its own loss in the autoencoder's.
    expected = gradients(learner, **dict(zip(("autoencoder", "critics", "perturbation"), found, strict=True)))
    metrics = learner.update(batch, 0)
    for name, loss in zip(("autoencoder_loss", "critic_loss", "actor_loss"), found, strict=True):
        assert metrics[name].item() == pytest.approx(loss.item())
    assert_learns_from(learner, expected)


def test_targets_follow():
    assert_targets_follow(BCQConfig(target_rate=0.25, **SMALL), ("critics", "perturbation"))


@pytest.mark.parametrize("bound", [0.05, 0.2])
def test_what_is_proposed_is_moved_by_no_more_than_the_bound(bound):
    still, moving = (
        saturated(made(BCQConfig(perturbation=each, acting_candidates=1))[0]).actor(50) for each in (0.0, bound)
    )
    seen = torch.randn(50, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = still.act(seen) + torch.tensor([bound, -bound])
    torch.testing.assert_close(moving.act(seen), expected)


def test_actions_that_are_moved_at_a_bound_stay_within_it():
    learner, batch, _ = made(BCQConfig(perturbation=1.0, acting_candidates=3))
    actions = saturated(learner).actor(N).act(batch.observations)
    assert actions.shape == (N, D) and actions.abs().max() == 1


def test_the_best_candidate_is_done_and_the_more_there_are_the_better_it_is():
    sums = {}
    for sign in (1.0, -1.0):
        for candidates in (1, 100):
            learner, batch, _ = made(BCQConfig(acting_candidates=candidates))
            sums[sign, candidates] = judged(learner, sign).actor(N).act(batch.observations).sum(1)
    assert (sums[1.0, 100] > sums[1.0, 1]).all() and (sums[-1.0, 100] < sums[-1.0, 1]).all()


def test_the_same_is_done_in_the_same_state_and_acting_takes_no_noise_from_training():
    learner, batch, noise = made(BCQConfig(**SMALL))
    actor = learner.actor(N)
    actions = actor.act(batch.observations)
    assert not actions.requires_grad and torch.equal(learner._noise.get_state(), noise.get_state())
    torch.testing.assert_close(actor.act(batch.observations.flip(0)).flip(0), actions)
    torch.testing.assert_close(actor.act(batch.observations[2:3])[0], actions[2])


def test_many_states_are_acted_in_a_part_after_the_other():
    learner, _, _ = made(BCQConfig(acting_candidates=2))
    seen = torch.randn(1200, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    together = learner.actor(1200).act(seen)
    assert together.shape == (1200, D)
    torch.testing.assert_close(together[1100:], learner.actor(100).act(seen[1100:]))


@pytest.mark.parametrize("size", [1, 2])
def test_it_does_better_than_the_log(size):
    config = BCQConfig(hidden_dim=32, learning_rate=2e-3, kl_weight=0.01, candidates=2)
    found, before = earned(config, size, updates=200)
    assert before < -0.25 and found > -0.15


def test_the_documented_settings_are_those_of_a_run():
    learner, batch, _ = made(BCQConfig(hidden_dim=256, latent_dim=64, num_epochs=100))
    assert math.isfinite(learner.update(batch, 0)["autoencoder_loss"].item())
    assert learner.modules["autoencoder"].latent_size == 64


# --- actions that can ----------------------------------------------------------------------------


def counted_losses(learner, batch, threshold):
    """The error of values, whose targets the value network chooses within the support, and that of the logits."""
    networks, target, critic_loss, behavior_loss = learner.modules["networks"], learner.modules["target"], 0.0, 0.0
    for row in range(N):
        following, seen, action = batch.next_observations[row], batch.observations[row], batch.actions[row]
        values, likelihood = said(networks, following, 0), said(networks, following, 1).softmax(-1)
        supported = [each for each in range(3) if likelihood[each] / likelihood.max() > threshold]
        after = said(target, following, 0)[max(supported, key=values.__getitem__)].item()
        error = said(networks, seen, 0)[action] - batch.rewards[row].item()
        error = error if batch.terminals[row] else error - 0.8 * after
        critic_loss = critic_loss + (error**2 / 2 if abs(error) < 1 else abs(error) - 0.5) / N
        behavior_loss = behavior_loss - said(networks, seen, 1).log_softmax(-1)[action] / N
    return critic_loss, behavior_loss


def penalty(learner, batch):
    return sum((said(learner.modules["networks"], seen, 1) ** 2).mean() for seen in batch.observations) / N


@pytest.mark.parametrize("threshold", [0.0, 0.8, 0.97])
def test_counted_actions_have_the_losses_and_gradients_of_loops_over_numbers(threshold):
    # A threshold of 0 leaves double Q-learning.
    learner, batch, _ = made(BCQConfig(threshold=threshold, gamma=0.8), discrete=True)
    critic_loss, behavior_loss = counted_losses(apart(learner), batch, threshold)
    expected = gradients(learner, networks=critic_loss + behavior_loss + 0.01 * penalty(learner, batch))
    metrics = learner.update(batch, 0)
    assert metrics["critic_loss"].item() == pytest.approx(critic_loss.item())
    assert metrics["behavior_loss"].item() == pytest.approx(behavior_loss.item())
    assert_learns_from(learner, expected)


def test_the_target_of_counted_actions_follows():
    learner, batch, _ = made(BCQConfig(target_rate=0.25), discrete=True)
    networks, target = learner.modules["networks"], learner.modules["target"]
    before = [value.clone() for value in networks.parameters()]
    learner.update(batch, 0)
    for old, now, follower in zip(before, networks.parameters(), target.parameters(), strict=True):
        torch.testing.assert_close(follower, 0.75 * old + 0.25 * now.detach())


@pytest.mark.parametrize(
    ("threshold", "expected"), [(0.0, 2), (0.049, 2), (0.3, 1), (0.59, 0), (1 - 1e-9, 0), (1.0, 0)]
)
def test_what_has_no_support_is_not_done_even_if_all_values_are_negative(threshold, expected):
    learner, batch, _ = made(BCQConfig(threshold=threshold), discrete=True)
    network = learner.modules["networks"]
    with torch.no_grad():
        network.weights[-1].zero_()
        network.biases[-1][:, 0] = torch.tensor([[-5.0, -2.0, -1.0], [0.6, 0.35, 0.05]])
        network.biases[-1][1].log_()
    assert learner.actor(N).act(batch.observations).tolist() == [expected] * N


def test_it_goes_to_the_goal_where_q_learning_waits_for_ever():
    settings = {"hidden_dim": 32, "learning_rate": 3e-3, "gamma": GAMMA, "target_rate": 0.05}
    assert choices(trained(BCQConfig(threshold=0.0, **settings), 300)) == [WAIT] * STATES
    trainer = trained(BCQConfig(**settings), 300)
    assert choices(trainer) == [RIGHT] * STATES
    values, logits = trainer._learner.modules["networks"](torch.from_numpy(SEEN)).detach()
    assert values[:, RIGHT].tolist() == pytest.approx(BEST, abs=0.3)
    assert logits.softmax(-1)[:, RIGHT].tolist() == pytest.approx([0.6] * STATES, abs=0.15)


# --- both ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("discrete", [False, True])
def test_a_run_goes_on_exactly_where_it_was_cut(tmp_path, discrete):
    assert_goes_on_exactly(BCQConfig(hidden_dim=8, num_epochs=9, candidates=2), tmp_path, discrete)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"latent_dim": 0}, "BCQConfig.latent_dim must be at least 1, not 0"),
        ({"candidates": 0}, "candidates must be at least 1, not 0"),
        ({"acting_candidates": 0}, "acting_candidates must be at least 1, not 0"),
        ({"kl_weight": -0.5}, "kl_weight must be at least 0, not -0.5"),
        ({"perturbation": 1.5}, "perturbation must be from 0 to 1, not 1.5"),
        ({"minimum_weight": -0.1}, "minimum_weight must be from 0 to 1, not -0.1"),
        ({"threshold": math.nan}, "threshold must be from 0 to 1, not nan"),
        ({"target_rate": 2.0}, "target_rate must be from 0 to 1, not 2.0"),
        ({"gamma": 1.5}, "BCQConfig.gamma must be from 0 to 1"),
    ],
)
def test_settings_that_no_run_could_mean_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        BCQConfig(**settings)
