"""Behaviour cloning: the gradient of the likelihood, and doing what the log did most or on average."""

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from ss_trainers.offline.bc import BCConfig
from ss_trainers.offline.settings import OfflineTraining
from ss_trainers.offline.trainer import OfflineTrainer
from ss_trainers.offline.transitions import Transitions
from tests.ss_trainers.offline.chain import LEFT, RIGHT, SEEN, STATES, WAIT, choices, logged, trained
from tests.ss_trainers.offline.learners import assert_goes_on_exactly, assert_gradients, made, said

N = 7


def mean_loss(learner, batch):
    """Squared error of the squashed output, or the negative log-likelihood."""
    total = 0.0
    for row in range(N):
        found, action = said(learner.modules["policy"], batch.observations[row]), batch.actions[row]
        if action.ndim:
            total = total + sum((float(a) - f.tanh()) ** 2 for a, f in zip(action, found, strict=True)) / len(action)
        else:
            total = total - Categorical(logits=found).log_prob(action)
    return total / N


@pytest.mark.parametrize("discrete", [False, True])
def test_an_update_has_the_loss_and_gradient_of_loops_over_numbers(discrete):
    learner, batch, _ = made(BCConfig(), discrete=discrete)
    before = {name: value.clone() for name, value in learner.modules.state_dict().items()}
    metrics = learner.update(batch, 0)
    learner.modules.load_state_dict(before)
    loss = mean_loss(learner, batch)
    assert metrics["loss"].item() == pytest.approx(loss.item())
    assert_gradients(learner.modules["policy"], loss)


@pytest.mark.parametrize("discrete", [False, True])
def test_rewards_and_what_came_next_are_not_looked_at(discrete):
    policies = []
    for scale in (1.0, 100.0):
        learner, batch, _ = made(BCConfig(gamma=0.5 if scale > 1 else 0.99), discrete=discrete)
        columns = (batch.observations, batch.actions, scale * batch.rewards, -scale * batch.next_observations)
        learner.update(type(batch)(*columns, batch.terminals == (scale > 1)), 0)
        policies.append(learner.modules.state_dict())
    torch.testing.assert_close(*policies, rtol=0, atol=0)


def test_the_likeliest_action_is_done_and_likelihoods_are_the_logs_shares():
    config = BCConfig(hidden_dim=16, learning_rate=1e-2)
    trainer, log = trained(config, 200), logged()
    # The log goes right more often than left in each state, which is all that cloning knows.
    assert choices(trainer) == [RIGHT] * STATES
    found = trainer._learner.modules["policy"](torch.from_numpy(SEEN)).softmax(-1).detach()
    for state in range(STATES):
        there = log.actions[log.observations[:, state] == 1]
        assert found[state, RIGHT].item() == pytest.approx((there == RIGHT).mean(), abs=0.06)
        assert found[state, LEFT].item() == pytest.approx((there == LEFT).mean(), abs=0.06)
        assert found[state, WAIT] < 0.01


def test_of_real_numbers_the_mean_of_what_was_done_is_done():
    # In one state half of what was done is 0 and half 8; in the other, 7. Bounds are those of the log.
    seen = np.repeat([[-1.0], [-1.0], [1.0]], 40, 0)
    actions = np.repeat([[0.0], [8.0], [7.0]], 40, 0)
    log = Transitions.from_arrays(seen, actions, np.zeros(120), np.ones(120), np.zeros(120))
    config, training = BCConfig(hidden_dim=16, learning_rate=1e-2), OfflineTraining(batch_size=40, max_updates=200)
    policy = OfflineTrainer(config, training).train(log).policy()
    assert policy.begin(2).act([[-1.0], [1.0]]).ravel().tolist() == pytest.approx([4.0, 7.0], abs=0.3)


@pytest.mark.parametrize("discrete", [False, True])
def test_a_run_goes_on_exactly_where_it_was_cut(tmp_path, discrete):
    assert_goes_on_exactly(BCConfig(hidden_dim=8, num_epochs=9), tmp_path, discrete)


def test_settings_that_no_run_could_mean_are_refused():
    with pytest.raises(ValueError, match=r"BCConfig.learning_rate must be positive, not -1.0"):
        BCConfig(learning_rate=-1.0)
