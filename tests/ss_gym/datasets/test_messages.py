"""Messages of every kind of log come into one form, and what is none is named."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.actions import action_message, parse_action
from ss_gym.datasets.messages import action_text, chat_message, logged
from ss_gym.datasets.records import RecordError
from tests.ss_gym.datasets.logs import call, said


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"role": "developer", "content": "x"}, {"role": "system", "content": "x"}),
        (
            {"role": "user", "content": "x", "audio": None, "name": "Ann"},
            {"role": "user", "content": "x", "name": "Ann"},
        ),
        ({"role": "user", "content": [{"type": "text", "text": "a"}, "b"]}, {"role": "user", "content": "a\nb"}),
        ({"role": "assistant", "content": None, "refusal": "No."}, {"role": "assistant", "content": "No."}),
        (
            {"role": "assistant", "content": None, "tool_calls": [{"name": "f", "arguments": {"a": 1}}]},
            {"role": "assistant", "content": "", "tool_calls": [call("f", '{"a":1}', "call_3_0")]},
        ),
        (
            {"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": ""}},
            {"role": "assistant", "content": "", "tool_calls": [call("f", "{}", "call_3_0")]},
        ),
        # As the datasets library fills in what a row does not have.
        (
            {"role": "assistant", "content": "x", "tool_calls": None, "name": None, "tool_call_id": None},
            {"role": "assistant", "content": "x"},
        ),
        (
            {"role": "function", "name": "f", "content": {"ok": True}},
            {"role": "tool", "content": '{"ok":true}', "tool_call_id": "", "name": "f"},
        ),
        ({"role": "tool", "content": None, "tool_call_id": 7}, {"role": "tool", "content": "", "tool_call_id": "7"}),
    ],
)
def test_messages_come_into_one_form(given: Any, message: Any) -> None:
    assert chat_message(given, 3) == message


@pytest.mark.parametrize(
    ("given", "reason", "says"),
    [
        ("Hi!", "no message", "message 3 must be an object with a role, got 'Hi!'"),
        ({"content": "x"}, "missing role", "message 3 has no role"),
        ({"role": "customer", "content": "x"}, "unknown role", "message 3 has the role 'customer'; known are system"),
        ({"role": ["user"], "content": "x"}, "unknown role", r"message 3 has the role \['user'\]"),
        ({"role": "user"}, "missing content", "message 3 of the user has neither a content nor tool calls"),
        ({"role": "user", "content": 3}, "missing content", "message 3 has a content that is no text: 3"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {}}]},
            "content without text",
            "message 3 has a part that is no text, but 'image_url'",
        ),
        ({"role": "assistant", "tool_calls": [{}]}, "broken tool call", "a tool call of message 3 has no name"),
        ({"role": "assistant", "tool_calls": "f"}, "broken tool call", "tool_calls of message 3 must be a list"),
    ],
)
def test_what_is_no_message_is_named(given: Any, reason: str, says: str) -> None:
    with pytest.raises(RecordError, match=says) as caught:
        chat_message(given, 3)
    assert caught.value.reason == reason


def test_what_the_agent_says_before_the_customer_is_none_of_its_actions() -> None:
    conversation = logged([{"role": "assistant", "content": "Welcome!"}, *said("Hi!", "Yes?", "Bye!")], rewards=1.0)
    assert conversation.actions == ("Yes?",) and conversation.rewards == (1.0,)
    assert [turn.reward for turn in conversation.trajectory().turns] == [0.0, 0.0, 1.0, 0.0]


def test_results_that_name_no_call_are_those_of_the_calls_before_them() -> None:
    calls = {"role": "assistant", "content": None, "tool_calls": [call("f", call_id="a"), call("g", call_id="b")]}
    results = [{"role": "tool", "content": text} for text in "12"]
    conversation = logged([*said("Hi!"), calls, *results])
    assert [message.get("tool_call_id") for message in conversation.messages[2:]] == ["a", "b"]


def test_rewards_stand_in_the_record_or_the_messages_or_follow_from_success() -> None:
    messages = said("Hi!", "Yes?", "Help!", "Done.")
    assert logged(messages, rewards=0.5).rewards == (0.0, 0.5)
    assert logged(messages, rewards=[1, -1]).rewards == (1.0, -1.0)
    paid = [dict(message) for message in messages]
    paid[1]["reward"] = 0.25
    assert logged(paid).rewards == (0.25, 0.0)
    assert (logged(messages, success=True).rewards, logged(messages, success=False).rewards) == ((0.0, 1.0), (0.0, 0.0))
    silent = logged(messages)
    assert not silent.rewarded and silent.rewards == (0.0, 0.0) and logged(messages, success=False).rewarded


def test_log_probabilities_are_kept_where_all_actions_have_one() -> None:
    messages = [dict(message) for message in said("Hi!", "Yes?", "Help!", "Done.")]
    messages[1]["logprob"] = -1.5
    assert logged(messages).behavior_logprobs is None
    messages[3]["logprobs"] = {"content": [{"token": "Do", "logprob": -0.5}, {"token": "ne.", "logprob": -0.25}]}
    assert logged(messages).behavior_logprobs == (-1.5, -0.75)
    messages[3]["logprobs"] = [-0.5, float("nan")]
    with pytest.raises(RecordError, match="a log-probability must be a finite number, got nan"):
        logged(messages)
    messages[3]["logprobs"] = [float("inf"), float("-inf")]
    with pytest.raises(RecordError, match="a log-probability must be a finite number, got inf"):
        logged(messages)


@pytest.mark.parametrize("told", [{"logprob": 3.0}, {"logprobs": [-5.0, 0.5]}, {"logprob": 1e-5}])
def test_the_log_probability_of_a_probability_above_1_is_refused(told: Any) -> None:
    user, agent = said("Hi!", "Yes?")
    with pytest.raises(RecordError, match=r"a log-probability must be at most 0, got [0-9.e-]+: is it a") as caught:
        logged([user, agent | told])
    assert caught.value.reason == "log-probability above 0"
    # What rounding adds is none of that.
    assert logged([user, agent | {"logprobs": [-1.0, 1e-7]}]).behavior_logprobs == (pytest.approx(-1.0 + 1e-7),)


@pytest.mark.parametrize(
    ("messages", "settings", "reason", "says"),
    [
        ([], {}, "empty conversation", "the conversation has no messages"),
        (said("Hi!"), {}, "no reply", "the agent replies to nothing in the conversation"),
        ([{"role": "assistant", "content": "Hi!"}], {}, "no reply", "replies to nothing"),
        (said("Hi!", "Yes?"), {"rewards": [1, 2]}, "rewards of another number", "there are 2 rewards for 1 actions"),
        (
            said("Hi!", "Yes?"),
            {"rewards": float("nan")},
            "reward not finite",
            "a reward must be a finite number, got nan",
        ),
        (said("Hi!", "Yes?"), {"rewards": ["1"]}, "reward not finite", "a reward must be a finite number, got '1'"),
    ],
)
def test_what_is_no_conversation_is_named(messages: Any, settings: Any, reason: str, says: str) -> None:
    with pytest.raises(RecordError, match=says) as caught:
        logged(messages, **settings)
    assert caught.value.reason == reason


_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
_ARGUMENTS = st.dictionaries(
    _TEXT, st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | _TEXT, st.lists, max_leaves=3), max_size=3
)


@given(_TEXT, st.lists(st.tuples(_TEXT.filter(bool), _ARGUMENTS), max_size=3))
def test_an_action_is_read_by_environments_as_the_message_that_it_stands_for(
    content: str, calls: list[tuple[str, dict[str, Any]]]
) -> None:
    if "<" in content:
        content = content.replace("<", "")
    listed = [call(name, json.dumps(arguments), f"call_{place}") for place, (name, arguments) in enumerate(calls)]
    message = chat_message({"role": "assistant", "content": content.strip(), "tool_calls": listed}, 1)
    read = action_message(parse_action(action_text(message)))
    assert read["content"] == message["content"]
    assert [
        (one["id"], one["function"]["name"], json.loads(one["function"]["arguments"]))
        for one in read.get("tool_calls", ())
    ] == [(f"call_{place}", name, arguments) for place, (name, arguments) in enumerate(calls)]
