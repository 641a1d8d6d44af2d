"""Conversations as numbers: one step for each action, with what it answers and what came next."""

import numpy as np
import pytest

from ss_gym.datasets.messages import logged
from ss_trainers import BCTrainer, CQLConfig, CQLTrainer, OfflineTraining, turn_log
from ss_trainers.off_policy.features import HashedText
from ss_trainers.offline.transitions import TransitionError
from ss_trainers.offline.turns import kind_of
from tests.ss_trainers.offline_text.talks import dataset, talk

TEXT = HashedText(64)


def call(*tools):
    calls = [
        {"id": str(number), "type": "function", "function": {"name": tool, "arguments": "{}"}}
        for number, tool in enumerate(tools)
    ]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def refund(ask, tool, reward):
    """A customer asks, the agent calls a tool or says no, and says good-bye."""
    answer = [call(tool), {"role": "tool", "tool_call_id": "0", "content": "done"}] if tool else []
    said = [{"role": "user", "content": ask}, *answer, {"role": "assistant", "content": "Good-bye."}]
    return logged(said, rewards=[reward] * (1 + bool(tool)))


def test_a_step_is_an_action_between_what_it_answers_and_what_the_next_answers():
    conversations = [refund("A refund, please", "issue_refund", 0.5), refund("Hello", None, 1.0)]
    log = turn_log(conversations, TEXT)
    first, second = (conversation.messages for conversation in conversations)
    steps = log.transitions
    before = [TEXT(first[:1]), TEXT(first[:3]), TEXT(second[:1])]
    after = [TEXT(first[:3]), TEXT(first), TEXT(second)]
    np.testing.assert_allclose(steps.observations, before, atol=1e-6)
    np.testing.assert_allclose(steps.next_observations, after, atol=1e-6)
    assert log.action_names == ("issue_refund", "message")
    assert steps.actions.tolist() == [0, 1, 1] and steps.rewards.tolist() == [0.5, 0.5, 1.0]
    assert steps.terminals.tolist() == [False, True, True] and not steps.timeouts.any()
    assert steps.action_count == 2


def test_any_embedding_will_do():
    own, given = turn_log(dataset(), TEXT, "vectors"), turn_log(dataset(), lambda messages: TEXT(messages), "vectors")
    for name in ("observations", "actions", "next_observations"):
        np.testing.assert_allclose(getattr(own.transitions, name), getattr(given.transitions, name), atol=1e-6)


def test_vectors_of_actions_are_those_of_their_messages():
    conversations = dataset()
    log = turn_log(conversations, TEXT, "vectors")
    said = [each.messages[place] for each in conversations for place in each.episode.own_places]
    np.testing.assert_allclose(log.transitions.actions, [TEXT([message]) for message in said], atol=1e-6)
    assert log.action_names == () and (np.abs(log.transitions.actions) <= log.transitions.action_high).all()
    trainer = BCTrainer(training=OfflineTraining(max_updates=2)).train(log.transitions)
    chosen = trainer.policy().begin(3).act(log.transitions.observations[:3])
    assert chosen.shape == (3, 64) and np.isfinite(chosen).all()


def test_a_critic_finds_the_tool_that_the_request_wants():
    asks = {"I want my money back": "issue_refund", "Please call my order off": "cancel_order"}
    conversations = [
        refund(ask, tool, float(wanted == tool))
        for ask, wanted in asks.items()
        for tool in asks.values()
        for _ in "abc"
    ]
    log = turn_log(3 * conversations, TEXT)
    training = OfflineTraining(batch_size=12, max_updates=150)
    config = CQLConfig(hidden_dim=16, learning_rate=1e-2, conservative_weight=0.1, gamma=0.5)
    policy = CQLTrainer(config, training).train(log.transitions).policy()
    chosen = policy.begin(2).act(np.stack([TEXT([{"role": "user", "content": ask}]) for ask in asks]))
    assert [log.action_names[place] for place in chosen] == [*asks.values()]


def test_several_tools_at_once_are_a_kind_of_their_own():
    assert kind_of(call("get_order", "get_user")) == "get_order+get_user"
    assert kind_of(call()) == "message"


@pytest.mark.parametrize(
    ("conversations", "text", "actions", "error", "told"),
    [
        ([talk("hi", "hello", id="case 7")], TEXT, "kinds", TransitionError, "no rewards of conversation 'case 7'"),
        ([], TEXT, "kinds", TransitionError, "no action of the agent"),
        ([talk("hi", "hello", rewards=[1.0])], TEXT, "kinds", TransitionError, "there is nothing to choose"),
        ([refund("hi", None, 1.0)], TEXT, "words", ValueError, "'kinds' or 'vectors', not 'words'"),
        ([refund("hi", "x", 1.0)], lambda said: np.zeros(len(said)), "kinds", TransitionError, "of the same length"),
        ([refund("hi", "x", 1.0)], lambda said: 1.0, "kinds", TransitionError, "of the same length"),
    ],
)
def test_what_can_not_be_made_numbers_is_told(conversations, text, actions, error, told):
    with pytest.raises(error, match=told):
        turn_log(conversations, text, actions)
