"""The chat service in front of a real model: requests of many in one batch."""

import asyncio

import pytest

from ss_gym.agents import AgentConfig, Conversation, MultiTurnAgent, Sampling
from ss_gym.agents.backends import ConcurrentBackend, MeasuringBackend, SteppingBackend
from ss_gym.serving.engines import NoRoomError, SteppingEngine, engine_of
from ss_gym.serving.inbox import Reply
from ss_gym.types import Completion

QUESTIONS = ["I want my money back.", "Hi!", "My order 48213 never came, and I am angry about it.", "Thanks, bye."] * 3


@pytest.fixture(scope="module")
def agent():
    agent = MultiTurnAgent(AgentConfig("tiny", max_new_tokens=24))
    agent.load()
    return agent


async def answers(engine, conversations, samplings, listening=False):
    """The pieces and the completion of each."""
    told = asyncio.Queue()
    replies = [
        Reply(conversation, sampling, told, listening=listening)
        for conversation, sampling in zip(conversations, samplings, strict=True)
    ]
    for reply in replies:
        engine.ask(reply)
    pieces, completions = {reply: [] for reply in replies}, {}
    while len(completions) < len(replies):
        reply, each = await asyncio.wait_for(told.get(), 60)
        if isinstance(each, Exception):
            raise each
        if isinstance(each, Completion):
            completions[reply] = each
        else:
            pieces[reply].append(each)
    return [("".join(pieces[reply]), completions[reply], reply) for reply in replies]


def asked(*texts):
    return [Conversation([{"role": "user", "content": text}]) for text in texts]


def test_local_models_go_on_a_token_at_a_time(agent):
    assert isinstance(agent.backend, SteppingBackend)
    assert isinstance(agent.backend, MeasuringBackend)
    assert not isinstance(agent.backend, ConcurrentBackend)
    assert isinstance(engine_of(agent.backend, 8), SteppingEngine)


def test_what_is_answered_together_is_what_is_answered_alone(agent):
    samplings = [Sampling(24, 1.0, seed=number) for number in range(len(QUESTIONS))]
    alone = [
        agent.backend.generate(asked(text), sampling)[0] for text, sampling in zip(QUESTIONS, samplings, strict=True)
    ]

    async def scenario():
        engine = SteppingEngine(agent.backend, 5)
        together = await answers(engine, asked(*QUESTIONS), samplings, listening=True)
        await engine.close(10)
        return together

    for expected, (text, completion, reply) in zip(alone, asyncio.run(scenario()), strict=True):
        assert completion.token_ids == expected.token_ids
        assert text == completion.text == expected.text
        assert completion.logprobs == pytest.approx(expected.logprobs, abs=1e-4)
        assert reply.prompt_tokens >= 5


def test_those_that_share_a_seed_differ_by_their_place(agent):
    async def scenario():
        engine = SteppingEngine(agent.backend, 8)
        told = asyncio.Queue()
        for place in range(4):
            (conversation,) = asked("Hi!")
            engine.ask(Reply(conversation, Sampling(24, 1.5, seed=1), told, place))
        completions = [(await told.get())[1] for _ in range(4)]
        await engine.close(10)
        return completions

    assert len({completion.token_ids for completion in asyncio.run(scenario())}) > 1


def test_a_conversation_that_fills_the_context_is_refused():
    agent = MultiTurnAgent(AgentConfig("tiny", backend_options={"max_context": 40}))
    agent.load()

    async def scenario():
        engine = SteppingEngine(agent.backend, 8)
        try:
            await answers(engine, asked("word " * 60), [Sampling(4)])
        finally:
            await engine.close(10)

    with pytest.raises(NoRoomError, match="the model's context 40"):
        asyncio.run(scenario())


def test_with_trimmed_histories_it_is_answered():
    agent = MultiTurnAgent(AgentConfig("tiny", 4, trim_history=True, backend_options={"max_context": 60}))
    agent.load()
    history = [{"role": "user", "content": "word " * 40}, {"role": "assistant", "content": "Yes?"}]

    async def scenario():
        engine = engine_of(agent.backend, 8, agent.fitted)
        given = await answers(engine, [Conversation([*history, {"role": "user", "content": "Hi!"}])], [Sampling(4)])
        await engine.close(10)
        return given

    ((_, completion, reply),) = asyncio.run(scenario())
    assert completion.token_ids
    assert reply.prompt_tokens < 40
