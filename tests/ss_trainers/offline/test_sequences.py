"""Windows of a log: each step ends one, none reaches into another episode, and what is missing in front is padding."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ss_trainers.offline.sequences import WindowBatch, Windows
from ss_trainers.offline.transitions import TransitionBatch, Transitions


def windows_of(rewards, terminals, timeouts, length, gamma=1.0, actions=None):
    """Windows of a log in which each step shows its place."""
    places = torch.arange(len(rewards), dtype=torch.float32)
    done = places.long() + 1 if actions is None else actions
    log = TransitionBatch(
        places[:, None] + 1, done, torch.tensor(rewards), places[:, None] + 2, torch.tensor(terminals)
    )
    return Windows.of(log, torch.tensor(timeouts), length, gamma)


@st.composite
def logs(draw):
    """The lengths of a few episodes, how each ended (1: the task, 2: a timeout), and whether the last has ended."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    kinds = draw(st.lists(st.sampled_from([1, 2]), min_size=len(lengths), max_size=len(lengths)))
    ends = [
        kind if step == length - 1 else 0 for length, kind in zip(lengths, kinds, strict=True) for step in range(length)
    ]
    if draw(st.booleans()):
        ends[-1] = 0
    rewards = draw(st.lists(st.floats(-2, 2, width=16), min_size=len(ends), max_size=len(ends)))
    return lengths, rewards, [end == 1 for end in ends], [end == 2 for end in ends]


def test_returns_to_go_of_three_steps():
    batch = windows_of([0.0, 0.5, 1.0], [False, False, True], [False] * 3, 3).at(torch.tensor([2]))
    assert batch.returns.tolist() == [[1.5, 1.5, 1.0]]
    assert batch.timesteps.tolist() == [[0, 1, 2]]
    # .5 (.5 + .5 * 1) = .5.
    halved = windows_of([0.0, 0.5, 1.0], [False, False, True], [False] * 3, 3, gamma=0.5)
    assert halved.returns.tolist() == [0.5, 1.0, 1.0]


def test_windows_of_two_episodes_are_padded_in_front():
    windows = windows_of([1.0, 2.0, 4.0, 8.0], [False, False, False, True], [False, True, False, False], 3)
    batch = windows.at(torch.tensor([3, 0, 1, 2]))
    assert batch.observations[..., 0].tolist() == [[0, 3, 4], [0, 0, 1], [0, 1, 2], [0, 0, 3]]
    assert batch.actions.tolist() == [[0, 3, 4], [0, 0, 1], [0, 1, 2], [0, 0, 3]]
    assert batch.returns.tolist() == [[0, 12, 8], [0, 0, 3], [0, 3, 2], [0, 0, 12]]
    assert batch.timesteps.tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert batch.mask.int().tolist() == [[0, 1, 1], [0, 0, 1], [0, 1, 1], [0, 0, 1]]


def test_windows_of_one_step_are_the_steps():
    windows = windows_of([1.0, 2.0], [False, True], [False, False], 1)
    batch = windows.at(torch.arange(2))
    assert batch.observations[:, 0].tolist() == [[1], [2]] and batch.timesteps.tolist() == [[0], [1]]
    assert bool(batch.mask.all())


@given(logs(), st.integers(1, 8))
def test_each_step_ends_one_window_of_its_own_episode(log, length):
    lengths, rewards, terminals, timeouts = log
    windows = windows_of(rewards, terminals, timeouts, length)
    assert len(windows) == len(rewards)
    batch = windows.at(torch.arange(len(windows)))
    assert (batch.observations[:, -1, 0] - 1).tolist() == list(range(len(rewards)))
    steps = [(episode, step) for episode, count in enumerate(lengths) for step in range(count)]
    for place, (_, step) in enumerate(steps):
        known = min(length, step + 1)
        assert batch.mask[place].tolist() == [False] * (length - known) + [True] * known
        assert (batch.observations[place, -known:, 0] - 1).tolist() == list(range(place - known + 1, place + 1))
        assert batch.timesteps[place, -known:].tolist() == list(range(step - known + 1, step + 1))
        assert not batch.observations[place, :-known].any() and not batch.returns[place, :-known].any()


@given(logs(), st.integers(2, 8))
def test_within_a_window_a_return_is_the_reward_and_the_next_return(log, length):
    _, rewards, terminals, timeouts = log
    batch = windows_of(rewards, terminals, timeouts, length).at(torch.arange(len(rewards)))
    earned = torch.tensor(rewards)[(batch.actions - 1).clamp(min=0)]
    both = batch.mask[:, :-1]
    torch.testing.assert_close(batch.returns[:, :-1][both], (earned[:, :-1] + batch.returns[:, 1:])[both])


def test_actions_that_can_not_be_counted_keep_their_components():
    actions = torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    batch = windows_of([1.0, 1.0, 1.0], [False, True, True], [False] * 3, 2, actions=actions).at(torch.arange(3))
    zeros = torch.zeros(2)
    torch.testing.assert_close(
        batch.actions,
        torch.stack(
            [torch.stack(pair) for pair in ((zeros, actions[0]), (actions[0], actions[1]), (zeros, actions[2]))]
        ),
    )


def test_windows_that_go_on_forget_their_oldest_steps():
    whole = windows_of([1.0] * 4, [False] * 3 + [True], [False] * 4, 4).at(torch.tensor([3]))
    columns = [whole.returns, whole.observations, whole.actions, whole.timesteps, whole.mask]
    first, last = (WindowBatch(*(column[:, part] for column in columns)) for part in (slice(0, 3), slice(3, 4)))
    newest = first.followed_by(last, 2)
    assert newest.observations[0, :, 0].tolist() == [3, 4] and newest.timesteps.tolist() == [[2, 3]]
    assert first.followed_by(last, 9).observations[0, :, 0].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("length", [1, 3])
def test_windows_hold_the_log_once(length):
    log = Transitions.from_arrays(
        np.ones((50, 4)), np.arange(50) % 2, np.ones(50), np.arange(50) % 10 == 9, np.zeros(50)
    )
    whole = log.tensors()
    windows = Windows.of(whole, torch.from_numpy(log.timeouts), length)
    assert windows.observations is whole.observations and windows.actions is whole.actions
