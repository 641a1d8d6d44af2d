"""No reward that a log tells is passed over: it is that of an action, or an error."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.datasets.messages import logged
from ss_gym.datasets.records import RecordError
from tests.ss_gym.datasets.logs import said


def paid(*rewards: Any) -> list[dict[str, Any]]:
    """Customer and agent in turns, with a reward of each message; None is not told."""
    told = said(*map(str, range(len(rewards))))
    return [one if reward is None else {**one, "reward": reward} for one, reward in zip(told, rewards, strict=True)]


TALK = said("Hi!", "Yes?", "Help!", "Done.")


@pytest.mark.parametrize(
    ("messages", "settings", "rewards"),
    [
        (TALK, {"reward": 0.5}, (0.0, 0.5)),
        (TALK, {"reward": 0.5, "success": False}, (0.0, 0.5)),
        (TALK, {"rewards": [0.25, 0.5], "reward": 0.75}, (0.25, 0.5)),
        (TALK, {"rewards": 0.5, "reward": 0.5}, (0.0, 0.5)),
        (paid(None, 0.25, None, 0.5), {}, (0.25, 0.5)),
        (paid(None, 0.25, None, 0.5), {"reward": 0.75}, (0.25, 0.5)),
        (paid(None, 0.25, None, 0.5), {"rewards": [0.25, 0.5], "reward": 0.75}, (0.25, 0.5)),
        (paid(None, None, None, 0.5), {"rewards": [0.25, 0.5]}, (0.25, 0.5)),
        (paid(None, 0.1, None, 0.2), {"reward": 0.3}, (0.1, 0.2)),  # 0.1 + 0.2 is 0.30000000000000004
        # Some logs give a reward of 0 to every message.
        (paid(0, 0, 0.0, 1), {}, (0.0, 1.0)),
        (paid(0, None, 0, None), {"reward": 1}, (0.0, 1.0)),
    ],
)
def test_rewards_may_be_told_in_several_ways_that_agree(
    messages: Any, settings: dict[str, Any], rewards: tuple[float, ...]
) -> None:
    conversation = logged(messages, **settings)
    assert conversation.rewards == rewards and conversation.rewarded


@pytest.mark.parametrize(
    ("messages", "settings", "says"),
    [
        (TALK, {"rewards": [0.5, 0.5], "reward": 0.5}, "'reward' is 0.5, and 'rewards' add up to 1: leave out what"),
        (TALK, {"rewards": 1.0, "reward": 0.5}, "'reward' is 0.5, and 'rewards' add up to 1"),
        (paid(None, 0.1, None, None), {"reward": 1.0}, "'reward' is 1, and the rewards in the messages add up to 0.1"),
        (paid(None, 0, None, 0), {"reward": 1.0}, "'reward' is 1, and the rewards in the messages add up to 0"),
        (
            paid(None, 0.1, None, None),
            {"rewards": [0.2, 0.5]},
            "'rewards' are 0.2, 0.5, those in the messages 0.1, none",
        ),
        (paid(None, 0.5, None, 0.5), {"rewards": [1.0, 0.0]}, "'rewards' are 1, 0, those in the messages 0.5, 0.5"),
    ],
)
def test_rewards_that_contradict_each_other_are_an_error(messages: Any, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(RecordError, match=says) as caught:
        logged(messages, **settings)
    assert caught.value.reason == "rewards that contradict each other"


@pytest.mark.parametrize("settings", [{}, {"success": True}, {"reward": 1.0}, {"rewards": [0, 1.0]}])
@pytest.mark.parametrize("reward", [1, -0.5, "1", True, float("nan")])
def test_a_reward_on_a_message_that_is_no_action_is_an_error(reward: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match=r"message 3 of the user has a reward, .* move it to the action") as caught:
        logged(paid(None, None, reward, None), **settings)
    assert caught.value.reason == "reward on no action"


def test_a_greeting_is_no_action_to_be_paid_for() -> None:
    greeting = {"role": "assistant", "content": "Welcome!", "reward": 0.5}
    with pytest.raises(RecordError, match=r"message 1 of the assistant has a reward, 0\.5, and is no action"):
        logged([greeting, *TALK])


@pytest.mark.parametrize("settings", [{"reward": float("nan"), "rewards": [0, 1]}, {"reward": "1"}, {"rewards": True}])
def test_each_reward_that_is_told_is_checked(settings: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match="a reward must be a finite number"):
        logged(TALK, **settings)
    with pytest.raises(RecordError, match="a reward must be a finite number, got inf"):
        logged(paid(None, float("inf"), None, 1), rewards=[0, 1])


_REWARDS = st.none() | st.integers(-2, 2)


@given(st.lists(_REWARDS, min_size=4, max_size=4), _REWARDS, st.none() | st.tuples(*[st.integers(-2, 2)] * 2))
def test_the_return_is_what_was_told_or_there_is_an_error(in_messages: Any, reward: Any, rewards: Any) -> None:
    try:
        conversation = logged(paid(*in_messages), rewards=rewards, reward=reward)
    except RecordError:
        return
    told = [one for one in in_messages if one is not None]
    assert not any(in_messages[::2])
    assert reward is None or conversation.total_reward == reward
    assert rewards is None or conversation.rewards == rewards
    assert rewards is not None or not told or conversation.total_reward == sum(told)
