from ss_gym.serving.memory import ConversationMemory
from ss_gym.types import Completion

SYSTEM = {"role": "system", "content": "Be brief."}
TOOLS = ({"type": "function", "function": {"name": "find", "parameters": {}}},)


def user(text):
    return {"role": "user", "content": text}


def own(text):
    return {"role": "assistant", "content": text}


def answered(memory, asked, answer, tools=()):
    conversation = memory.recall(asked, tools)
    memory.keep(conversation, asked, own(answer), Completion(answer, (1, 2), (-0.1, -0.2)))
    return conversation


def test_a_conversation_that_goes_on_is_taken_up_with_what_was_sampled():
    memory = ConversationMemory(4)
    first = answered(memory, [SYSTEM, user("a")], "b")
    asked = [SYSTEM, user("a"), own("b"), user("c")]
    again = memory.recall(asked)
    assert again is first
    assert again == asked
    assert again.completions[2].token_ids == (1, 2)


def test_instructions_that_were_put_before_it_do_not_hide_a_conversation():
    memory = ConversationMemory(4)
    conversation = memory.recall([user("a")])
    conversation.insert_system_prompt("Be brief.")
    memory.keep(conversation, [user("a")], own("b"), Completion("b"))
    again = memory.recall([user("a"), own("b"), user("c")])
    assert again is conversation
    assert [message["role"] for message in again] == ["system", "user", "assistant", "user"]


def test_it_is_taken_up_by_one_only():
    memory = ConversationMemory(4)
    first = answered(memory, [user("a")], "b")
    asked = [user("a"), own("b"), user("c")]
    assert memory.recall(asked) is first
    assert memory.recall(asked) is not first


def test_another_answer_other_tools_or_other_instructions_are_another_conversation():
    memory = ConversationMemory(4)
    answered(memory, [SYSTEM, user("a")], "b", TOOLS)
    asked = [SYSTEM, user("a"), own("b"), user("c")]
    others = [
        ([SYSTEM, user("a"), own("B"), user("c")], TOOLS),
        (asked, ()),
        (asked[1:], TOOLS),
        ([SYSTEM, user("a"), own("b")], TOOLS),
    ]
    for messages, tools in others:
        assert not memory.recall(messages, tools).completions
    assert memory.recall(asked, TOOLS).completions


def test_what_was_kept_for_one_key_is_not_found_with_another():
    memory = ConversationMemory(4)
    conversation = memory.recall([user("a")], holder="key-1")
    memory.keep(conversation, [user("a")], own("b"), Completion("b"), "key-1")
    asked = [user("a"), own("b"), user("c")]
    for holder in ("", "key-2"):
        assert not memory.recall(asked, holder=holder).completions
    assert memory.recall(asked, holder="key-1") is conversation


def test_a_branch_at_an_earlier_answer_is_taken_up_there():
    memory = ConversationMemory(4)
    first = answered(memory, [user("a")], "b")
    branch = [user("a"), own("b"), user("c"), own("never said here"), user("d")]
    assert memory.recall(branch) is first


def test_the_one_that_rested_longest_goes_first():
    memory = ConversationMemory(2)
    for text in "abc":
        answered(memory, [user(text)], "x")
    assert len(memory) == 2
    assert [bool(memory.recall([user(text), own("x"), user("more")]).completions) for text in "abc"] == [
        False,
        True,
        True,
    ]
    forgetful = ConversationMemory(0)
    answered(forgetful, [user("a")], "x")
    assert len(forgetful) == 0
