import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ss_trainers.functional.advantages import generalized_advantage_estimation, group_relative, returns_to_go
from ss_trainers.functional.turns import at_first_tokens, group_in_group, multi_turn_relative, to_last_tokens, to_tokens

# The first row has two turns with the environment's words between them, the second one turn.
TURN_IDS = torch.tensor([[-1, 0, 0, -1, 1], [-1, -1, 0, 0, -1]])
PER_TURN = torch.tensor([[2.0, 3.0], [5.0, 7.0]], dtype=torch.float64)
BOTH = torch.tensor([[True, True]])


def test_a_turn_is_credited_at_its_end_or_all_along() -> None:
    assert to_last_tokens(PER_TURN, TURN_IDS).tolist() == [[0, 0, 2, 0, 3], [0, 0, 0, 5, 0]]
    assert to_tokens(PER_TURN, TURN_IDS).tolist() == [[0, 2, 2, 0, 3], [0, 0, 5, 5, 0]]


def test_a_turn_is_valued_where_it_begins() -> None:
    values = torch.arange(10.0).view(2, 5)
    assert at_first_tokens(values, TURN_IDS, 2).tolist() == [[1, 4], [7, 0]]


def test_turns_that_follow_each_other_are_told_apart() -> None:
    ids = torch.tensor([[0, 0, 1, 2]])
    values = torch.tensor([[1.0, 2.0, 3.0]])
    assert to_last_tokens(values, ids).tolist() == [[0, 1, 2, 3]]
    assert at_first_tokens(torch.tensor([[4.0, 5.0, 6.0, 7.0]]), ids, 3).tolist() == [[4, 6, 7]]


def test_gae_over_turns() -> None:
    rewards, values = torch.tensor([[0.2, 1.0]]).double(), torch.tensor([[0.4, 0.7]]).double()
    advantages = generalized_advantage_estimation(rewards, values, BOTH, 0.9, 0.8)
    assert advantages[0].tolist() == pytest.approx([0.646, 0.3], abs=1e-6)


def test_discounted_returns_of_turns() -> None:
    rewards = torch.tensor([[1.0, 2.0, 4.0], [3.0, 9.0, 9.0]]).double()
    mask = torch.tensor([[True, True, True], [True, False, False]])
    # 1 + .5 (2 + .5 * 4) = 3. What stands where there is no turn came after the last one.
    assert returns_to_go(torch.where(mask, rewards, 0.0), mask, 0.5).tolist() == [[3.0, 4.0, 4.0], [3.0, 0.0, 0.0]]


def test_multi_turn_advantages_of_a_group_of_four() -> None:
    turn_rewards = torch.tensor([[1, 0], [0, 0], [1, 0], [0, 0]], dtype=torch.float64)
    outcomes = torch.tensor([1, 1, 0, 0], dtype=torch.float64)
    mask, group = torch.ones(4, 2, dtype=torch.bool), torch.zeros(4, dtype=torch.int64)
    advantages = multi_turn_relative(turn_rewards, outcomes, group, mask)
    assert advantages[:, 0].tolist() == pytest.approx([2, 0, 0, -2])
    assert advantages[:, 1].tolist() == pytest.approx([1, 1, -1, -1])
    halved = multi_turn_relative(turn_rewards, outcomes, group, mask, turn_weight=0.5, outcome_weight=2.0)
    assert halved[:, 0].tolist() == pytest.approx([2.5, 1.5, -1.5, -2.5])


def test_multi_turn_with_one_turn_is_the_outcomes_advantage() -> None:
    outcomes, groups = torch.tensor([1.0, 0.0, 0.0, 4.0]), torch.tensor([0, 0, 0, 1])
    advantages = multi_turn_relative(torch.ones(4, 1), outcomes, groups, torch.ones(4, 1, dtype=torch.bool))
    torch.testing.assert_close(advantages[:, 0], group_relative(outcomes, groups))


def test_a_turn_is_compared_with_those_that_have_it_only() -> None:
    turn_rewards = torch.tensor([[1, 5, 0], [0, 0, 0], [3, 1, 0]], dtype=torch.float64)
    mask = torch.tensor([[True, True, True], [True, False, False], [True, True, True]])
    advantages = multi_turn_relative(turn_rewards, torch.zeros(3).double(), torch.zeros(3, dtype=torch.int64), mask)
    # The second row's only turn is its last.
    assert advantages.tolist() == [[-1, 1, 0], [0, 0, 0], [1, -1, 0]]


def test_step_groups_of_one_state() -> None:
    # One state, reached with two, one and no steps to go to the reward of 1.
    rewards = torch.tensor([[0, 0, 1], [0, 1, 0], [0, 0, 0]], dtype=torch.float64)
    mask = torch.tensor([[True, True, True], [True, True, False], [True, False, False]])
    anchors = torch.tensor([[0, 1, 2], [0, 3, -9], [0, -9, -9]])
    groups = torch.zeros(3, dtype=torch.int64)
    credit = group_in_group(rewards, groups, mask, anchors, 0.95, scale="none")
    episode = torch.tensor([1 / 3, 1 / 3, -2 / 3], dtype=torch.float64)
    assert (credit[:, 0] - episode).tolist() == pytest.approx([0.285, 0.3325, -0.6175])
    assert credit[0].tolist()[1:] == pytest.approx([1 / 3, 1 / 3]) and not credit[~mask].any()


def test_the_same_state_of_another_scenario_is_another_state() -> None:
    rewards = torch.tensor([[1.0], [0.0]])
    credit = group_in_group(
        rewards, torch.tensor([3, 4]), torch.ones(2, 1, dtype=torch.bool), torch.zeros(2, 1, dtype=torch.int64)
    )
    assert not credit.any()


@st.composite
def turn_rows(draw):
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    lengths = torch.tensor(draw(st.lists(st.integers(0, columns), min_size=rows, max_size=rows)))
    numbers = st.lists(st.integers(-3, 3), min_size=rows * columns, max_size=rows * columns)
    groups = st.lists(st.integers(0, 2), min_size=rows, max_size=rows)
    rewards = torch.tensor(draw(numbers), dtype=torch.float64).view(rows, columns)
    return rewards, torch.arange(columns) < lengths[:, None], torch.tensor(draw(groups))


@given(turn_rows())
def test_without_repeated_states_it_is_the_episodes_advantage(row) -> None:
    rewards, mask, groups = row
    anchors = torch.arange(rewards.numel()).view_as(rewards)
    credit = group_in_group(rewards, groups, mask, anchors)
    episode = group_relative(torch.where(mask, rewards, 0.0).sum(1), groups)
    torch.testing.assert_close(credit, torch.where(mask, episode[:, None], 0.0))


@given(turn_rows())
def test_rewards_of_turns_add_up_to_the_same_whether_by_turn_or_by_token(row) -> None:
    rewards, mask, _ = row
    ids = torch.where(mask, torch.arange(rewards.shape[1]), -1).repeat_interleave(2, 1)
    placed = to_last_tokens(rewards, ids)
    torch.testing.assert_close(placed.sum(1), torch.where(mask, rewards, 0.0).sum(1))
    tokens = returns_to_go(placed, ids >= 0)
    turns = returns_to_go(torch.where(mask, rewards, 0.0), mask)
    torch.testing.assert_close(at_first_tokens(tokens, ids, rewards.shape[1]), turns)
