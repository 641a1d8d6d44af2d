from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ss_trainers.functional.advantages import returns_to_go
from ss_trainers.functional.returns import (
    bellman_target,
    episode_returns,
    remaining_return,
    return_buckets,
    return_thresholds,
)

THREE = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
NO = torch.zeros(3, dtype=torch.bool)
LAST = torch.tensor([False, False, True])


@st.composite
def logs(draw):
    """Rewards, terminals, timeouts and the value after each step, of a few episodes: (N,) each."""
    size = draw(st.integers(0, 12))
    numbers = st.lists(st.floats(-5, 5), min_size=size, max_size=size)
    flags = st.lists(st.sampled_from([0, 0, 1, 2]), min_size=size, max_size=size)
    rewards, values = (torch.tensor(draw(numbers), dtype=torch.float64) for _ in range(2))
    ends = torch.tensor(draw(flags), dtype=torch.int64)
    return rewards, ends == 1, ends == 2, values


# --- targets -------------------------------------------------------------------------------------


def test_only_the_end_of_the_task_ends_what_can_be_earned() -> None:
    rewards, next_values = torch.tensor([1.0, 1.0]).double(), torch.tensor([10.0, 10.0]).double()
    assert bellman_target(rewards, next_values, torch.tensor([False, True]), 0.9).tolist() == [10.0, 1.0]


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_what_is_valued_after_the_end_has_no_part(value) -> None:
    target = bellman_target(torch.ones(1), torch.tensor([value]), torch.tensor([True]))
    assert target.tolist() == [1.0]


# --- returns -------------------------------------------------------------------------------------


def test_returns_to_go_of_three_steps() -> None:
    assert episode_returns(THREE, LAST, NO).tolist() == [1.5, 1.5, 1.0]
    # .5 (.5 + .5 * 1) = .5.
    assert episode_returns(THREE, LAST, NO, gamma=0.5).tolist() == [0.5, 1.0, 1.0]


def test_an_episode_that_was_cut_goes_on_from_the_value_of_its_last_state() -> None:
    values = torch.tensor([float("nan"), float("nan"), 8.0], dtype=torch.float64)
    assert episode_returns(THREE, NO, LAST, 0.5, values).tolist() == [1.5, 3.0, 5.0]
    assert episode_returns(THREE, LAST, NO, 0.5, values).tolist() == [0.5, 1.0, 1.0]
    # A log that stops in the middle of an episode was cut there.
    assert episode_returns(THREE, NO, NO, 0.5, values).tolist() == [1.5, 3.0, 5.0]
    # What was seen alone, for a return-to-go.
    assert episode_returns(THREE, NO, LAST, 0.5).tolist() == [0.5, 1.0, 1.0]


def test_nothing_is_carried_from_one_episode_to_the_one_before() -> None:
    rewards = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0])
    ends = torch.tensor([False, True, True, False, False])
    assert episode_returns(rewards, ends, ends & False).tolist() == [3.0, 2.0, 4.0, 24.0, 16.0]


@given(logs(), st.floats(0, 1))
def test_a_return_is_the_reward_and_the_discounted_next_return(log, gamma) -> None:
    rewards, terminal, timeout, values = log
    returns = episode_returns(rewards, terminal, timeout, gamma, values)
    for step in range(len(rewards)):
        after = 0.0 if terminal[step] else values[step]
        if not (terminal | timeout)[step] and step + 1 < len(rewards):
            after = returns[step + 1]
        assert returns[step].item() == pytest.approx(float(rewards[step] + gamma * after), abs=1e-9)


@given(logs(), st.floats(0, 1))
def test_a_table_with_a_row_an_episode_has_the_same_returns(log, gamma) -> None:
    rewards, terminal, timeout, _ = log
    ends = (terminal | timeout).nonzero()[:, 0].tolist()
    bounds = sorted({0, len(rewards), *(end + 1 for end in ends)})
    rows = [rewards[start:end] for start, end in pairwise(bounds)]
    if rows:
        table = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        mask = torch.arange(table.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]
        expected = returns_to_go(table, mask, gamma)[mask]
        torch.testing.assert_close(episode_returns(rewards, terminal, timeout, gamma), expected)


def test_what_is_left_of_a_target() -> None:
    targets, rewards = torch.tensor([3.0, 3.0, -1.0]).double(), torch.tensor([1.0, 4.0, 0.0]).double()
    assert remaining_return(targets, rewards).tolist() == [2.0, -1.0, -1.0]
    # (3 - 1) / .5 = 4.
    assert remaining_return(targets, rewards, 0.5).tolist() == [4.0, -2.0, -2.0]


def test_what_is_left_of_a_return_is_the_return_of_the_next_step() -> None:
    for gamma in (1.0, 0.5):
        returns = episode_returns(THREE, LAST, NO, gamma)
        assert remaining_return(returns, THREE, gamma).tolist() == [*returns[1:].tolist(), 0.0]


def test_the_log_is_left_as_it_was() -> None:
    rewards, terminal, timeout = THREE.clone(), NO.clone(), NO.clone()
    episode_returns(rewards, terminal, timeout)
    assert torch.equal(rewards, THREE) and not terminal.any() and not timeout.any()


# --- classes of returns --------------------------------------------------------------------------


def test_quarters_of_eight_returns() -> None:
    returns = torch.tensor([8.0, 1.0, 7.0, 2.0, 6.0, 3.0, 5.0, 4.0])
    thresholds = return_thresholds(returns, 4)
    assert thresholds.tolist() == [2.0, 4.0, 6.0]
    assert return_buckets(returns, thresholds).tolist() == [3, 0, 3, 0, 2, 1, 2, 1]
    assert return_buckets(torch.tensor([[-9.0, 2.5], [6.0, 99.0]]), thresholds).tolist() == [[0, 1], [2, 3]]


def test_successes_and_failures_are_two_classes_however_many_are_asked_for() -> None:
    returns = torch.tensor([0.0, 1.0, 0.0, 0.0, 1.0])
    for buckets in (2, 4, 9):
        thresholds = return_thresholds(returns, buckets)
        assert return_buckets(returns, thresholds).tolist() == [0, 1, 0, 0, 1]


def test_one_class_needs_no_threshold() -> None:
    assert return_thresholds(torch.tensor([3.0, 1.0]), 1).shape == (0,)
    assert return_thresholds(torch.full((4,), 0.1), 3).shape == (0,)
    with pytest.raises(ValueError, match="at least one episode"):
        return_thresholds(torch.zeros(0), 4)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40, unique=True), st.integers(1, 9))
def test_classes_of_different_returns_are_of_about_the_same_size(numbers, buckets) -> None:
    returns = torch.tensor(numbers, dtype=torch.float64)
    sizes = return_buckets(returns, return_thresholds(returns, buckets)).bincount()
    assert len(sizes) == min(buckets, len(numbers))
    assert sizes.max() - sizes.min() <= 1


@given(st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0]), min_size=1, max_size=30), st.integers(1, 9))
def test_classes_rise_with_the_return_and_none_is_empty(numbers, buckets) -> None:
    returns = torch.tensor(numbers, dtype=torch.float64).sort().values
    thresholds = return_thresholds(returns, buckets)
    classes = return_buckets(returns, thresholds)
    assert bool((classes.diff() >= 0).all()) and len(thresholds) < buckets
    assert classes.unique().tolist() == list(range(len(thresholds) + 1))
