import gc
import weakref

import pytest

from ss_gym.agents import Conversation
from ss_gym.agents.conversation import content_of
from ss_gym.types import Completion

USER = {"role": "user", "content": "Where is my parcel?"}
TOOL = {"type": "function", "function": {"name": "get_shipment"}}


def test_an_episode_begins_with_the_system_prompt_then_the_environments_messages():
    info = {"system_prompt": "Be kind.", "tools": (TOOL,), "messages": [USER]}
    conversation = Conversation.begin("Where is my parcel?", info)
    assert conversation == [{"role": "system", "content": "Be kind."}, USER]
    assert conversation.tools == (TOOL,)
    assert conversation.system_prompt == "Be kind."


def test_an_environment_without_messages_speaks_as_the_user():
    conversation = Conversation.begin("Guess a number", {})
    assert conversation == [{"role": "user", "content": "Guess a number"}]
    assert conversation.system_prompt == ""
    conversation.record(Completion("7"), "too low", {})
    assert conversation[1:] == [{"role": "assistant", "content": "7"}, {"role": "user", "content": "too low"}]


def test_a_step_keeps_the_environments_reading_of_the_action_and_the_completion_itself():
    conversation = Conversation.begin("Hi", {"messages": [USER]})
    completion = Completion("<tool_call>{}</tool_call>", token_ids=(4, 5, 2))
    own = {"role": "assistant", "content": "", "tool_calls": [{"id": "call_1"}]}
    answer = {"role": "tool", "content": "{}", "tool_call_id": "call_1"}
    conversation.record(completion, "{}", {"messages": [own, answer]})
    assert conversation == [USER, own, answer]
    assert conversation.completions == {1: completion}


def test_a_system_prompt_put_in_later_shifts_the_completions():
    conversation = Conversation([USER])
    conversation.record(Completion("Let me see."), "Thanks", {})
    conversation.insert_system_prompt("Be kind.")
    assert conversation[0]["content"] == "Be kind."
    assert conversation[2]["content"] == "Let me see."
    assert set(conversation.completions) == {2}


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ("Hi!", r"a conversation is a list of messages such as .*, and one of these is 'H'"),
        (USER, "and one of these is 'role'"),
        ([USER, "Hi!"], "and one of these is 'Hi!'"),
        ([{"content": "Hi!"}], "and one of these is {'content': 'Hi!'}"),
        ([{"role": "user", "text": "Hi!"}], "a message without tool_calls needs a content, and this one has none"),
    ],
)
def test_what_is_no_message_is_refused(messages, error):
    with pytest.raises(TypeError, match=error):
        Conversation(messages)


def test_a_call_needs_no_words_and_words_may_be_in_parts():
    assert content_of(Conversation([{"role": "assistant", "tool_calls": [{"id": "call_1"}]}])[0]) == ""
    assert content_of({"role": "tool", "content": None}) == ""
    parts = [{"type": "text", "text": "Look:"}, {"type": "image_url"}, {"type": "text", "text": "broken"}]
    assert content_of({"role": "user", "content": parts}) == "Look:\n\nbroken"
    assert Conversation([{"role": "system", "content": parts[:1]}]).system_prompt == "Look:"


def test_what_a_backend_keeps_goes_with_the_conversation():
    class Cache:
        pass

    conversation, cache = Conversation([USER]), Cache()
    conversation.state = cache
    alive = weakref.ref(cache)
    del conversation, cache
    gc.collect()
    assert alive() is None
