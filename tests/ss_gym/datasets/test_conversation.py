"""A logged conversation tells its returns, its turns, and what trainers take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.datasets import ConversationDataset, ConversationDatasetConfig
from ss_gym.datasets.messages import logged
from ss_gym.datasets.native import conversation_of
from ss_gym.datasets.records import Place
from tests.ss_gym.datasets.logs import episode, said

_REWARDS = st.lists(st.floats(-3, 3), min_size=1, max_size=6)


def paid(rewards: list[float]) -> list[dict[str, str]]:
    return said(*["x"] * 2 * len(rewards))


def test_returns_to_go_are_those_of_the_worked_example() -> None:
    # Chen et al. 2021: r = [0, 0.5, 1] gives R̂ = [1.5, 1.5, 1].
    conversation = logged(paid([0, 0.5, 1]), rewards=[0, 0.5, 1])
    assert conversation.returns_to_go() == (1.5, 1.5, 1.0)
    assert conversation.returns_to_go(0.5) == (0.5, 1.0, 1.0)
    assert conversation.returns_to_go(0.0) == conversation.rewards


def test_returns_to_go_are_discounted_as_the_dataset_says_and_nothing_else_is() -> None:
    one = logged(paid([0, 0.5, 1]), rewards=[0, 0.5, 1])
    halved = ConversationDataset.from_trajectories([one], ConversationDatasetConfig(discount=0.5))
    assert halved[0].returns_to_go() == next(iter(halved)).returns_to_go() == (0.5, 1.0, 1.0)
    assert halved[0].returns_to_go(1.0) == (1.5, 1.5, 1.0) and halved.returns.tolist() == [1.5]
    # It is how a conversation is looked at, and nothing that was logged.
    again = ConversationDataset.from_trajectories(halved)
    assert again[0] == halved[0] and again[0].returns_to_go() == pytest.approx((0.99 * 1.49, 1.49, 1.0))


@given(_REWARDS, st.floats(0, 1))
def test_a_return_is_its_reward_and_the_discounted_return_after_it(rewards: list[float], discount: float) -> None:
    returns = logged(paid(rewards), rewards=rewards).returns_to_go(discount)
    for reward, first, after in zip(rewards, returns, [*returns[1:], 0.0], strict=True):
        assert first == pytest.approx(reward + discount * after)


def test_attempts_at_a_scenario_are_a_group_and_others_are_not() -> None:
    first, second, other = (
        conversation_of(episode(number), Place("log", line)) for line, number in enumerate((0, 0, 1))
    )
    alone, apart = (logged(said("Hi!", "Yes?"), source="log", line=line) for line in (1, 2))
    groups = [one.trajectory().group_id for one in (first, second, other, alone, apart)]
    assert groups[0] == groups[1] and len(set(groups)) == 4 and all(0 <= group < 2**63 for group in groups)
    assert first.trajectory().scenario_id == "refund/train/0000"


def test_what_a_call_stands_beside_is_said_to_nobody() -> None:
    conversation = conversation_of(episode(), Place("log", 1))
    assert len(conversation.actions) == 2 and conversation.turns == 1
    assert (conversation.source, conversation.line, conversation.id) == ("log", 1, "log, line 1")
