"""Implicit Q-learning against loops over numbers: an expectile, capped weights, and no action but the logged ones."""

import math
from dataclasses import replace

import pytest
import torch
from torch.distributions import Categorical, Normal

from ss_trainers.offline.iql import IQLConfig
from tests.ss_trainers.offline.chain import BEST, GAMMA, RIGHT, SEEN, STATES, choices, trained
from tests.ss_trainers.offline.learners import assert_goes_on_exactly, assert_gradients, made, said, valued

N = 7
CONFIG = IQLConfig(gamma=0.8, expectile=0.75, beta=4.0, weight_cap=1.5)


def spread_out(learner, batch):
    """Makes targets differ from the critics, and advantages from one another, about a mean of 0."""
    with torch.no_grad():
        for parameter in learner.modules["target"].parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5)))
        best = learner._logged(learner.modules["target"], batch).amin(0)
        learner.modules["value"].biases[-1].add_((best - learner.modules["value"](batch.observations)[:, 0]).mean())


def worth(critics, member, observation, action):
    if action.ndim:
        return valued(critics, member, observation, action)
    return said(critics.network, observation, member)[action]


def logprob(learner, observation, action):
    found = said(learner.modules["policy"], observation)
    if not action.ndim:
        return Categorical(logits=found).log_prob(action)
    return Normal(found.tanh(), learner.modules["spread"][0].exp()).log_prob(action).sum()


def losses(learner, batch, config):
    """Of value, critics and actor, and the weights of the logged actions."""
    critics, target, value = (learner.modules[name] for name in ("critics", "target", "value"))
    value_loss = critic_loss = actor_loss = 0.0
    weights = []
    for row in range(N):
        seen, action = batch.observations[row], batch.actions[row]
        now = said(value, seen)[0]
        error = min(worth(target, member, seen, action).item() for member in range(2)) - now
        value_loss = value_loss + (config.expectile if error > 0 else 1 - config.expectile) * error**2 / N
        weights.append(min(math.exp(config.beta * error.item()), config.weight_cap))
        actor_loss = actor_loss - weights[-1] * logprob(learner, seen, action) / N
        after = 0.0 if batch.terminals[row] else said(value, batch.next_observations[row])[0].item()
        for member in range(2):
            foreseen = batch.rewards[row].item() + config.gamma * after
            critic_loss = critic_loss + (worth(critics, member, seen, action) - foreseen) ** 2 / N
    return value_loss, critic_loss, actor_loss, weights


@pytest.mark.parametrize("discrete", [False, True])
def test_an_update_has_the_losses_and_gradients_of_loops_over_numbers(discrete):
    learner, batch, _ = made(CONFIG, discrete=discrete)
    spread_out(learner, batch)
    assert batch.terminals.any() and not batch.terminals.all()
    value_loss, critic_loss, actor_loss, weights = losses(learner, batch, CONFIG)
    assert min(weights) < 1.5 == max(weights)
    before = {name: value.clone() for name, value in learner.modules.state_dict().items()}
    metrics = learner.update(batch, 0)
    for name, expected in (("value_loss", value_loss), ("critic_loss", critic_loss), ("actor_loss", actor_loss)):
        assert metrics[name].item() == pytest.approx(expected.item())
    assert metrics["advantage_weight"].item() == pytest.approx(sum(weights) / N)
    learner.modules.load_state_dict(before)
    # Each network has the gradient of its own loss and of no other's.
    value_loss, critic_loss, actor_loss, _ = losses(learner, batch, CONFIG)
    assert_gradients(learner.modules["value"], value_loss)
    assert_gradients(learner.modules["critics"], critic_loss)
    assert_gradients(learner.modules["policy"], actor_loss)
    if not discrete:
        assert_gradients(learner.modules["spread"], actor_loss)
    assert all(parameter.grad is None for parameter in learner.modules["target"].parameters())


def test_critics_are_asked_about_the_logged_actions_alone():
    learner, batch, _ = made(CONFIG)
    asked = []
    for name in ("critics", "target"):
        learner.modules[name].register_forward_pre_hook(lambda _, arguments: asked.append(arguments))
    learner.update(batch, 0)
    learner.actor(N).act(batch.observations)
    assert len(asked) == 2
    for observations, actions in asked:
        assert torch.equal(observations, batch.observations) and torch.equal(actions, batch.actions)


def test_what_critics_say_of_a_counted_action_that_was_not_logged_changes_nothing():
    found = []
    for shift in (0.0, 1e6):
        learner, batch, _ = made(CONFIG, discrete=True)
        batch = replace(batch, actions=batch.actions.clamp(max=1))
        with torch.no_grad():
            for name in ("critics", "target"):
                learner.modules[name].network.biases[-1][..., 2] += shift
        metrics = learner.update(batch, 0)
        gradient = learner.modules["critics"].network.weights[-1].grad
        assert not gradient[..., 2].any() and gradient[..., :2].any()
        found.append([metrics, [parameter.grad for parameter in learner.modules["policy"].parameters()]])
    torch.testing.assert_close(*found, rtol=0, atol=0)


@pytest.mark.parametrize(("value", "weight"), [(-1e6, 1.5), (1e6, 0.0)])
def test_weights_are_capped_and_do_not_overflow(value, weight):
    learner, batch, _ = made(CONFIG)
    with torch.no_grad():
        learner.modules["value"].biases[-1].fill_(value)
    metrics = learner.update(batch, 0)
    assert metrics["advantage_weight"].item() == weight
    assert all(math.isfinite(metric) for metric in metrics.values())


def test_without_beta_it_clones():
    learner, batch, _ = made(replace(CONFIG, beta=0.0))
    cloning = -sum(logprob(learner, batch.observations[row], batch.actions[row]) for row in range(N)) / N
    expected = torch.autograd.grad(cloning, [*learner.modules["policy"].parameters()])
    learner.update(batch, 0)
    for parameter, gradient in zip(learner.modules["policy"].parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("discrete", [False, True])
def test_target_critics_follow_and_nothing_is_drawn(discrete):
    learner, batch, noise = made(replace(CONFIG, target_rate=0.25), discrete=discrete)
    critics, target = learner.modules["critics"], learner.modules["target"]
    before = [parameter.detach().clone() for parameter in critics.parameters()]
    metrics = [learner.update(batch, 0)]
    for old, new, followed in zip(before, critics.parameters(), target.parameters(), strict=True):
        torch.testing.assert_close(followed, 0.75 * old + 0.25 * new.detach())
    again, _, _ = made(replace(CONFIG, target_rate=0.25), discrete=discrete)
    noise.manual_seed(9)
    metrics.append(again.update(batch, 0))
    assert metrics[0] == metrics[1]


def test_the_policy_does_what_it_finds_likeliest_within_bounds():
    learner, batch, _ = made(CONFIG)
    actions = learner.actor(N).act(batch.observations)
    assert not actions.requires_grad and actions.abs().max() < 1
    torch.testing.assert_close(actions[2], said(learner.modules["policy"], batch.observations[2]).tanh().detach())
    learner, batch, _ = made(CONFIG, discrete=True)
    likeliest = [said(learner.modules["policy"], seen).argmax().item() for seen in batch.observations]
    assert learner.actor(N).act(batch.observations).tolist() == likeliest


def test_the_chain_is_walked_to_its_end():
    config = IQLConfig(hidden_dim=32, learning_rate=3e-3, gamma=GAMMA, expectile=0.9, target_rate=0.05)
    trainer = trained(config, 300)
    assert choices(trainer) == [RIGHT] * STATES
    values = trainer._learner.modules["value"](torch.from_numpy(SEEN))[:, 0].tolist()
    # An expectile of what is usual: less than the best that can be done, and nearer to it than what is usual.
    assert values == sorted(values) and all(-6 < value < best + 0.1 for value, best in zip(values, BEST, strict=True))


@pytest.mark.parametrize("discrete", [False, True])
def test_a_run_goes_on_exactly_where_it_was_cut(tmp_path, discrete):
    assert_goes_on_exactly(IQLConfig(hidden_dim=8, num_epochs=9), tmp_path, discrete)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"expectile": 1.0}, "expectile must be between 0 and 1, not 1.0"),
        ({"beta": -1.0}, "beta must be 0 or more, not -1.0"),
        ({"beta": math.inf}, "beta must be 0 or more, not inf"),
        ({"weight_cap": 0.0}, "weight_cap must be positive, not 0.0"),
        ({"target_rate": 1.5}, "target_rate must be from 0 to 1, not 1.5"),
        ({"learning_rate": 0.0}, "IQLConfig.learning_rate must be positive"),
    ],
)
def test_settings_that_no_run_could_mean_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        IQLConfig(**settings)
