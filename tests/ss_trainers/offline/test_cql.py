"""Conservative Q-learning against loops over numbers, and what it says of actions that were not logged."""

import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution

from ss_trainers.offline import cql
from ss_trainers.offline.cql import CQLConfig
from ss_trainers.offline.settings import OfflineTraining
from ss_trainers.offline.trainer import OfflineTrainer
from ss_trainers.offline.transitions import Transitions
from tests.ss_trainers.offline.chain import BEST, GAMMA, RIGHT, SEEN, STATES, WAIT, choices, trained
from tests.ss_trainers.offline.learners import assert_goes_on_exactly, assert_gradients, made, said, valued

N, D, SAMPLES = 7, 2, 3
SMALL = {"sampled_actions": SAMPLES, "gamma": 0.8}


def distribution(learner, observation):
    mean, log_std = said(learner.modules["policy"].network, observation).chunk(2)
    return TransformedDistribution(Independent(Normal(mean, log_std.exp()), 1), TanhTransform(cache_size=1))


def drawn(learner, observation, noise):
    """An action of the policy and its log-density."""
    policy = distribution(learner, observation)
    action = (policy.base_dist.mean + policy.base_dist.stddev * noise).tanh()
    return action, policy.log_prob(action)


class Draws:
    """The noise that an update will take, in its order."""

    def __init__(self, noise):
        self.own = torch.randn((N, 1, D), generator=noise)[:, 0].double()
        self.now, self.after = torch.randn((2 * N, SAMPLES, D), generator=noise).double().chunk(2)
        self.uniform = (torch.rand((N, SAMPLES, D), generator=noise) * 2 - 1).double()


def soft_actor_critic(learner, batch, draws, entropy_in_target):
    """The critics' loss and the actor's, each from its own state of the networks."""
    critics, target = learner.modules["critics"], learner.modules["target"]
    temperature = learner.modules["log_temperature"][0].exp().item()
    critic_loss = actor_loss = 0.0
    for row in range(N):
        seen, following = batch.observations[row], batch.next_observations[row]
        next_action, next_logprob = drawn(learner, following, draws.after[row, 0])
        after = min(valued(target, member, following, next_action).item() for member in range(2))
        after -= temperature * next_logprob.item() if entropy_in_target else 0.0
        expected = batch.rewards[row].item() + (0.0 if batch.terminals[row] else 0.8 * after)
        action, logprob = drawn(learner, seen, draws.own[row])
        said_of_it = [valued(critics, member, seen, action) for member in range(2)]
        actor_loss = actor_loss + (temperature * logprob - min(said_of_it)) / N
        for member in range(2):
            critic_loss = critic_loss + (valued(critics, member, seen, batch.actions[row]) - expected) ** 2 / N
    return critic_loss, actor_loss


def gaps(learner, batch, draws):
    """How far the soft maximum is above the logged action: of each critic, the mean over rows."""
    critics, means = learner.modules["critics"], []
    for member in range(2):
        total = 0.0
        for row in range(N):
            seen, integral = batch.observations[row], 0.0
            for sample in range(SAMPLES):
                integral += valued(critics, member, seen, draws.uniform[row, sample]).exp() * 2.0**D
                for state, noise in ((seen, draws.now), (batch.next_observations[row], draws.after)):
                    action, logprob = drawn(learner, state, noise[row, sample])
                    value = valued(critics, member, seen, action.detach())
                    integral += value.exp() / logprob.exp().item()
            soft = (integral / (3 * SAMPLES)).log()
            total = total + soft - valued(critics, member, seen, batch.actions[row])
        means.append(total / N)
    return means


# --- actions that can't be counted ---------------------------------------------------------------


@pytest.mark.parametrize("rows_at_once", [2048, 25])
@pytest.mark.parametrize("entropy_in_target", [False, True])
def test_an_update_has_the_losses_and_gradients_of_loops_over_numbers(monkeypatch, entropy_in_target, rows_at_once):
    monkeypatch.setattr(cql, "_ROWS_AT_ONCE", rows_at_once)
    learner, batch, noise = made(CQLConfig(conservative_weight=1.75, entropy_in_target=entropy_in_target, **SMALL))
    assert batch.terminals.any() and not batch.terminals.all()
    draws = Draws(noise)
    critic_loss, actor_loss = soft_actor_critic(learner, batch, draws, entropy_in_target)
    gap = gaps(learner, batch, draws)
    before = {name: module.state_dict() for name, module in learner.modules.items()}
    before = {name: {key: value.clone() for key, value in state.items()} for name, state in before.items()}
    metrics = learner.update(batch, 0)
    assert metrics["critic_loss"].item() == pytest.approx(critic_loss.item())
    assert metrics["actor_loss"].item() == pytest.approx(actor_loss.item())
    assert metrics["gap"].item() == pytest.approx(sum(gap).item() / 2)
    for name, module in learner.modules.items():
        module.load_state_dict(before[name])
    # The actor's loss is in the gradients of no critic, and the critics' in none of the actor.
    critic_loss, actor_loss = soft_actor_critic(learner, batch, draws, entropy_in_target)
    assert_gradients(learner.modules["critics"], critic_loss + 1.75 * sum(gaps(learner, batch, draws)))
    assert_gradients(learner.modules["policy"], actor_loss)
    assert all(parameter.grad is None for parameter in learner.modules["target"].parameters())


def test_without_a_weight_it_is_soft_actor_critic():
    learner, batch, noise = made(CQLConfig(conservative_weight=0.0, entropy_in_target=True, **SMALL))
    critic_loss, actor_loss = soft_actor_critic(learner, batch, Draws(noise), entropy_in_target=True)
    critics, policy = learner.modules["critics"], learner.modules["policy"]
    expected = [torch.autograd.grad(critic_loss, [*critics.parameters()], retain_graph=True)]
    expected.append(torch.autograd.grad(actor_loss, [*policy.parameters()]))
    learner.update(batch, 0)
    for module, gradients in zip((critics, policy), expected, strict=True):
        for parameter, gradient in zip(module.parameters(), gradients, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("log_std", "direction"), [(-4.0, 1), (0.0, -1)])
def test_the_temperature_rises_exactly_while_the_policy_is_surer_than_wanted(log_std, direction):
    learner, batch, noise = made(CQLConfig(**SMALL))
    policy, logarithm = learner.modules["policy"], learner.modules["log_temperature"][0]
    with torch.no_grad():
        policy.network.weights[-1].zero_()
        policy.network.biases[-1].copy_(torch.tensor([0.0, 0.0, log_std, log_std]))
    draws = Draws(noise)
    logprobs = [drawn(learner, batch.observations[row], draws.own[row])[1].item() for row in range(N)]
    excess = sum(logprobs) / N - D
    assert math.copysign(1, excess) == direction
    metrics = learner.update(batch, 0)
    assert logarithm.grad.item() == pytest.approx(-excess) and metrics["entropy"].item() == pytest.approx(-D - excess)
    # Adam's first step is as long as the learning rate.
    assert logarithm.item() == pytest.approx(direction * 1e-4, rel=1e-3)


def test_the_policy_acts_alike_in_the_same_state_and_within_bounds():
    learner, batch, _ = made(CQLConfig(**SMALL))
    actor, before = learner.actor(N), learner._noise.get_state()
    actions = actor.act(batch.observations)
    assert actions.shape == (N, D) and not actions.requires_grad and actions.abs().max() < 1
    assert torch.equal(actions, actor.act(batch.observations)) and torch.equal(learner._noise.get_state(), before)
    expected = distribution(learner, batch.observations[2]).base_dist.mean.tanh()
    torch.testing.assert_close(actions[2], expected.detach())


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_what_is_done_beyond_the_log_is_not_believed_to_be_better_still(weight):
    # The log has the lower half of what can be done, and the more, the better.
    generator, once = np.random.default_rng(0), np.ones(256, bool)
    actions = generator.uniform(-1, 0, (256, 1)).astype(np.float32)
    seen, space = generator.normal(size=(256, 1)), gym.spaces.Box(-1, 1)
    transitions = Transitions.from_arrays(seen, actions, 2 * actions[:, 0], once, ~once, action_space=space)
    config = CQLConfig(
        hidden_dim=16, learning_rate=1e-2, actor_learning_rate=1e-2, conservative_weight=weight, sampled_actions=4
    )
    trainer = OfflineTrainer(config, OfflineTraining(batch_size=64, max_updates=150)).train(transitions)
    chosen = trainer.policy().begin(5).act(np.linspace(-1, 1, 5)[:, None])
    assert (chosen > -0.5).all() and ((chosen < 0) if weight else (chosen > 0.3)).all()


# --- actions that can ----------------------------------------------------------------------------


def double_q_learning(learner, batch):
    """Huber's error, whose targets the critic chooses and the target critic values."""
    critic, target, loss = learner.modules["critic"].network, learner.modules["target"].network, 0.0
    for row in range(N):
        following = batch.next_observations[row]
        after = said(target, following, 0)[said(critic, following, 0).argmax()].item()
        expected = batch.rewards[row].item() + (0.0 if batch.terminals[row] else 0.8 * after)
        error = (said(critic, batch.observations[row], 0)[batch.actions[row]] - expected).abs()
        loss = loss + (error**2 / 2 if error < 1 else error - 0.5) / N
    return loss


def counted_gap(learner, batch):
    gap = 0.0
    for row in range(N):
        values = said(learner.modules["critic"].network, batch.observations[row], 0)
        gap = gap + (sum(value.exp() for value in values).log() - values[batch.actions[row]]) / N
    return gap


def other_target(learner):
    """Makes the target critic another one than the critic, so that it tells which of them was asked."""
    with torch.no_grad():
        for parameter in learner.modules["target"].parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5)))


@pytest.mark.parametrize("weight", [0.0, 1.75])
def test_counted_actions_have_the_losses_and_gradients_of_loops_over_numbers(weight):
    learner, batch, _ = made(CQLConfig(conservative_weight=weight, **SMALL), discrete=True)
    other_target(learner)
    error, gap = double_q_learning(learner, batch), counted_gap(learner, batch)
    parameters = list(learner.modules["critic"].parameters())
    # Without a weight it is double Q-learning.
    expected = torch.autograd.grad(error + weight * gap if weight else error, parameters)
    metrics = learner.update(batch, 0)
    assert metrics["critic_loss"].item() == pytest.approx(error.item())
    assert metrics["gap"].item() == pytest.approx(gap.item())
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-8, atol=1e-10)


def test_the_penalty_moves_values_by_the_softmax_less_the_logged_action():
    learner, batch, _ = made(CQLConfig(conservative_weight=2.0, gamma=0.0), discrete=True)
    critic = learner.modules["critic"]
    values = critic(batch.observations)[0].detach()
    # Rewards that the critic foresees leave no error.
    foreseen = values.gather(-1, batch.actions[:, None]).squeeze(-1)
    batch = type(batch)(batch.observations, batch.actions, foreseen, batch.next_observations, batch.terminals)
    metrics = learner.update(batch, 0)
    assert metrics["critic_loss"].item() == pytest.approx(0, abs=1e-20)
    expected = 2.0 * (values.softmax(-1) - torch.nn.functional.one_hot(batch.actions, 3)).mean(0)
    found = critic.network.biases[-1].grad[0, 0]
    torch.testing.assert_close(found, expected)
    assert found.sum().item() == pytest.approx(0, abs=1e-12)


def test_naive_q_learning_waits_for_ever_since_nobody_told_it_what_waiting_costs():
    config = CQLConfig(hidden_dim=32, learning_rate=3e-3, gamma=GAMMA, conservative_weight=0.0, target_rate=0.05)
    assert choices(trained(config, 300)) == [WAIT] * STATES


def test_conservative_q_learning_goes_to_the_goal():
    config = CQLConfig(hidden_dim=32, learning_rate=3e-3, gamma=GAMMA, conservative_weight=0.1, target_rate=0.05)
    trainer = trained(config, 300)
    assert choices(trainer) == [RIGHT] * STATES
    values = trainer._learner.modules["critic"](torch.from_numpy(SEEN))[0].detach()
    assert values[:, RIGHT].tolist() == pytest.approx(BEST, abs=0.3)
    assert bool((values[:, WAIT] < values[:, RIGHT] - 1).all())


# --- both ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("discrete", [False, True])
@pytest.mark.parametrize(("limit", "direction"), [(-50.0, 1), (50.0, -1)])
def test_the_multiplier_rises_exactly_while_the_gap_is_above_its_limit(discrete, limit, direction):
    config = CQLConfig(conservative_weight=3.0, gap_limit=limit, learning_rate=1e-3, **SMALL)
    learner, batch, _ = made(config, discrete=discrete)
    logarithm = learner.modules["gap_weight"].log_multiplier
    first = learner.update(batch, 0)
    assert first["gap_weight"].item() == pytest.approx(3.0)
    assert logarithm.grad.item() == pytest.approx(-3.0 * (first["gap"].item() - limit))
    second = learner.update(batch, 1)
    assert second["gap_weight"].item() == pytest.approx(3.0 * math.exp(direction * 1e-3), rel=1e-5)


@pytest.mark.parametrize("discrete", [False, True])
def test_a_multiplier_weighs_the_gap_as_a_fixed_weight_does(discrete):
    gradients = []
    for limit in (None, 1.0):
        learner, batch, _ = made(CQLConfig(conservative_weight=3.0, gap_limit=limit, **SMALL), discrete=discrete)
        learner.update(batch, 0)
        critics = learner.modules["critic" if discrete else "critics"]
        gradients.append([parameter.grad for parameter in critics.parameters()])
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("discrete", [False, True])
def test_target_critics_follow(discrete):
    learner, batch, _ = made(CQLConfig(target_rate=0.25, **SMALL), discrete=discrete)
    critics = learner.modules["critic" if discrete else "critics"]
    before = [parameter.detach().clone() for parameter in critics.parameters()]
    learner.update(batch, 0)
    for old, new, target in zip(before, critics.parameters(), learner.modules["target"].parameters(), strict=True):
        torch.testing.assert_close(target, 0.75 * old + 0.25 * new.detach())
        assert not torch.equal(old, new)


@pytest.mark.parametrize("limit", [None, 0.5])
@pytest.mark.parametrize("discrete", [False, True])
def test_a_run_goes_on_exactly_where_it_was_cut(tmp_path, discrete, limit):
    config = CQLConfig(hidden_dim=8, num_epochs=9, sampled_actions=2, gap_limit=limit)
    assert_goes_on_exactly(config, tmp_path, discrete)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"conservative_weight": -1.0}, "conservative_weight must be 0 or more, not -1.0"),
        ({"conservative_weight": math.inf}, "conservative_weight must be 0 or more, not inf"),
        ({"gap_limit": math.nan}, "gap_limit must be a finite number, not nan"),
        ({"gap_limit": 1.0, "conservative_weight": 0.0}, "gap_limit needs a conservative_weight above 0"),
        ({"sampled_actions": 0}, "sampled_actions must be at least 1, not 0"),
        ({"actor_learning_rate": 0.0}, "actor_learning_rate must be positive, not 0.0"),
        ({"target_rate": 1.5}, "target_rate must be from 0 to 1, not 1.5"),
        ({"gamma": 1.5}, "CQLConfig.gamma must be from 0 to 1"),
    ],
)
def test_settings_that_no_run_could_mean_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        CQLConfig(**settings)
