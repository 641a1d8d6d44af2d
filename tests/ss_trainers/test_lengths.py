"""Conversations are encoded once, far too long ones to a part, and what can't be answered is told as such."""

import pytest

from ss_gym.agents import AgentConfig, Conversation, MultiTurnAgent, Sampling, UnanswerableError
from ss_trainers.backends.huggingface import HuggingFaceBackend
from ss_trainers.backends.models import LoadedModel
from ss_trainers.chat import ChatFormat, EncodedConversation
from tests.ss_trainers.tiny_model import CHATML, make_model, make_tokenizer

ALTERNATING = "{%- for message in messages %}{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}" + (
    "{{ raise_exception('roles must alternate') }}{% endif %}{% endfor %}" + CHATML
)
ANSWER = {"role": "assistant", "content": "Yes?"}
TOOL = {"type": "function", "function": {"name": "get_order", "parameters": {"type": "object", "properties": {}}}}


def user(text):
    return {"role": "user", "content": text}


def backend_of(template=CHATML, **options):
    """A backend, and the texts that its tokenizer encodes from now on."""
    tokenizer = make_tokenizer(template)
    loaded = LoadedModel(make_model(len(tokenizer)), tokenizer, "small")
    backend = HuggingFaceBackend("small", AgentConfig("small", 4, backend_options=options), loaded)
    encode, encoded = tokenizer.encode, []

    def noted(text, **settings):
        encoded.append(text)
        return encode(text, **settings)

    tokenizer.encode = noted
    return backend, encoded


def test_a_conversation_that_is_measured_is_not_encoded_again_when_it_is_submitted():
    backend, encoded = backend_of()
    conversation = Conversation([{"role": "system", "content": "Be brief."}, user("Hi!")])
    room = backend.room(conversation)
    assert any("Hi!" in text for text in encoded)
    encoded.clear()
    assert backend.room(conversation) == room
    (completion,) = backend.generate([conversation], Sampling(4, 0.0))
    assert encoded == []
    (expected,) = backend.generate([Conversation(conversation)], Sampling(4, 0.0))
    assert (completion.token_ids, completion.logprobs) == (expected.token_ids, pytest.approx(expected.logprobs))
    assert room == backend.max_context - len(backend.encoding(conversation).ids)


MEGABYTE = "I want my order. " * 60_000


@pytest.mark.parametrize(
    "conversation",
    [
        Conversation([user(MEGABYTE)]),
        Conversation([user("x" * 1_000_000)]),
        Conversation([{"role": "system", "content": MEGABYTE}, user("Hi!")]),
        Conversation([user("Where is it? " * 20), ANSWER] * 2000 + [user("Hi!")]),
        Conversation([user("Hi!"), {**ANSWER, "content": MEGABYTE}, user("Hi!")]),
        Conversation([user("Hi!")], [{**TOOL, "function": {**TOOL["function"], "description": MEGABYTE}}]),
    ],
    ids=["words", "one word", "instructions", "many messages", "an answer", "tools"],
)
def test_of_a_megabyte_little_more_is_encoded_than_fits(conversation):
    backend, encoded = backend_of("" if conversation.tools else CHATML)  # which then lists the tools
    assert backend.room(conversation) < 0
    assert sum(map(len, encoded)) < 40 * backend.max_context
    encoded.clear()
    conversation = Conversation([user("Hi!")])
    backend.generate([conversation], Sampling(4))
    conversation += [ANSWER, user(MEGABYTE)]
    assert backend.room(conversation) < 0
    assert sum(map(len, encoded)) < 40 * backend.max_context


@pytest.mark.parametrize("text", [" " * 30_000, "I want my order. " * 300, "x" * 5000])
def test_what_is_told_of_the_beginning_is_never_more_than_the_whole_has(text):
    backend, _ = backend_of(max_context=16)
    conversation, whole = Conversation([user(text)]), EncodedConversation(backend.chat)
    whole.update(conversation)
    assert 16 < backend.max_context - backend.room(conversation) <= len(whole.ids)


def test_tools_that_the_template_leaves_out_take_no_room():
    backend, _ = backend_of()
    tools = [{**TOOL, "function": {**TOOL["function"], "description": MEGABYTE}}]
    assert backend.room(Conversation([user("Hi!")], tools)) == backend.room(Conversation([user("Hi!")]))


def test_the_ids_of_long_prompts_are_not_kept():
    tokenizer = make_tokenizer()
    chat, encode, encoded = ChatFormat(tokenizer), tokenizer.encode, []
    tokenizer.encode = lambda text, **settings: encoded.append(len(text)) or encode(text, **settings)
    for text, times in (("Be brief. " * 4_000, 1), ("Be brief. " * 8_000, 3)):
        encoded.clear()
        assert len({chat.prompt_ids(text) for _ in range(3)}) == 1
        assert len(encoded) == times


PICTURE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}]}


@pytest.mark.parametrize(
    ("template", "messages", "reason"),
    [
        (CHATML, [user("Hi!"), ANSWER, ANSWER, user("Hi!")], "message 1 of the conversation is the agent's own"),
        (CHATML, [PICTURE], "this model reads text alone"),
        (CHATML, [{"role": "system", "content": "word " * 600}, user("Hi!")], r"the prompt has \d+ tokens"),
        (
            ALTERNATING,
            [user("Hi!"), user("Are you there?")],
            r"refuses the messages \(user, user\): roles must alternate",
        ),
        (ALTERNATING, [user("Hi!"), ANSWER, user("Well?"), user("Hm.")], r"refuses the messages \(user, user\)"),
    ],
)
def test_what_is_wrong_with_a_conversation_is_told_each_time_and_the_next_is_answered(template, messages, reason):
    backend, _ = backend_of(template)
    conversation = Conversation(messages)
    for _ in range(2):
        with pytest.raises(UnanswerableError, match=reason):
            backend.generate([conversation], Sampling(4))
    assert len(backend.generate([Conversation([user("Hi!")])], Sampling(4))) == 1


def test_a_conversation_whose_trimmed_form_was_read_has_no_ids_of_its_own():
    backend, _ = backend_of(max_context=60)
    agent = MultiTurnAgent(AgentConfig("small", 8, trim_history=True), backend)
    conversation = Conversation([user("Hi!")])
    kept = []
    for _ in range(4):
        (completion,) = agent.act([conversation])
        kept.append(backend.encoding(conversation))
        conversation.record(completion, "Where is my order, please?", {})
    assert kept[0] is not None and kept[-1] is None
    short = Conversation([user("Where is my order, please? " * 3), ANSWER, user("Hi!")])
    agent.act([short])
    assert backend.encoding(short) is None
