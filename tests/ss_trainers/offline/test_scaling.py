"""Numbers of a log as networks see them, and actions on their way back."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ss_trainers.offline.scaling import Scaling
from ss_trainers.offline.settings import OfflineTraining
from ss_trainers.offline.transitions import Transitions
from tests.ss_trainers.offline.logs import columns, log

CPU = torch.device("cpu")
FLOATS = st.floats(-1e6, 1e6, width=32)


def test_observations_have_mean_0_and_deviation_1_as_far_as_they_vary():
    given_as = columns(400)
    given_as["observations"] = given_as["observations"] * [1e3, 1e-2, 0] + [1e6, -5, 7]
    made = Transitions.from_arrays(**given_as)
    scaling = Scaling.of(made, OfflineTraining())
    seen = scaling.batch(made, CPU).observations.double()
    assert seen.mean(0).tolist() == pytest.approx([0, 0, 0], abs=1e-3)
    assert seen.std(0, correction=0).tolist() == pytest.approx([1, 1, 0], abs=1e-3)
    assert scaling.spread[2] == 1


def test_mean_and_deviation_are_those_of_the_log_and_not_of_rounding():
    # The sum of these has more digits than single precision.
    given_as = columns(40_000)
    given_as["observations"] = np.tile([[4096.0], [4096.25]], (20_000, 3))
    scaling = Scaling.of(Transitions.from_arrays(**given_as), OfflineTraining())
    assert scaling.shift.tolist() == [4096.125] * 3 and scaling.spread.tolist() == [0.125] * 3


def test_next_observations_are_scaled_as_observations_and_rewards_by_their_factor():
    made = log()
    scaling = Scaling.of(made, OfflineTraining(reward_scale=0.5))
    batch = scaling.batch(made, CPU)
    assert batch.rewards.tolist() == [step / 2 for step in range(20)]
    wanted = (made.next_observations - made.observations.mean(0)) / made.observations.std(0)
    np.testing.assert_allclose(batch.next_observations, wanted, rtol=1e-5, atol=1e-6)
    assert batch.actions.tolist() == made.actions.tolist() and batch.terminals.tolist() == made.terminals.tolist()


def test_without_normalization_observations_are_as_they_are():
    made = log()
    batch = Scaling.of(made, OfflineTraining(normalize_observations=False)).batch(made, CPU)
    assert np.array_equal(batch.observations, made.observations)


def test_what_an_environment_shows_is_scaled_as_the_log():
    made = log()
    scaling = Scaling.of(made, OfflineTraining())
    shown = made.observations.astype(np.float64).reshape(20, 3, 1)
    assert torch.equal(scaling.observations(list(shown), CPU), scaling.batch(made, CPU).observations)


def test_actions_that_are_counted_stay_as_they_are():
    chosen = Scaling.of(log(), OfflineTraining()).actions(torch.tensor([2, 0]))
    assert chosen.tolist() == [2, 0] and chosen.dtype == np.int64


@pytest.mark.parametrize(("low", "high"), [(-0.1, 0.2), (-0.7, 0.1), (-1.1, 2.3), (-2.3, 0.6)])
def test_the_greatest_action_is_not_above_its_bound_by_rounding(low, high):
    low, high = np.float32([low]), np.float32([high])
    assert low + (high - low) > high
    scaling = Scaling(np.zeros(3), np.ones(3), 1.0, low, high)
    assert scaling.actions(torch.tensor([[-1.0], [1.0]])).tolist() == [low.tolist(), high.tolist()]


@given(FLOATS, st.floats(1, 1e6, width=32), st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=5))
def test_actions_go_to_their_bounds_and_never_beyond(low, width, chosen):
    space = gym.spaces.Box(low, np.float32(low + width), (1,))
    made = Transitions.from_arrays(np.eye(2), [space.low, space.high], [0, 0], [0, 1], [0, 0], action_space=space)
    scaling = Scaling.of(made, OfflineTraining())
    assert scaling.batch(made, CPU).actions.tolist() == [[-1], [1]]
    actions = scaling.actions(torch.tensor([-1, 1, *chosen], dtype=torch.float32)[:, None])
    assert actions.dtype == np.float32 and all(space.contains(action) for action in actions)
    assert actions[:2].tolist() == [space.low.tolist(), pytest.approx(space.high.tolist(), rel=1e-6)]
    middle = low + (np.array(chosen, np.float64) + 1) / 2 * (float(space.high[0]) - low)
    np.testing.assert_allclose(actions[2:, 0], middle, rtol=1e-4, atol=1e-6 * (abs(low) + width))
