import asyncio
import re
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from ss_gym.agents import AgentConfig, Conversation, MultiTurnAgent
from ss_gym.types import Completion

PAGE = Path(__file__).parents[3] / "docs" / "pages" / "agents.md"
HELLO = [{"role": "user", "content": "Hi!"}]


class Recorder:
    """A backend that keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def generate(self, conversations, sampling):
        self.asked.append((list(conversations), sampling))
        return [Completion(f"answer {len(self.asked)}", token_ids=(1, 2)) for _ in conversations]


@pytest.fixture
def recorder():
    return Recorder()


def agent_with(recorder, **settings):
    return MultiTurnAgent(AgentConfig(model_name="recorder://", **settings), recorder)


def test_an_agent_answers_after_it_is_initialized():
    async def talk():
        agent = MultiTurnAgent(AgentConfig(model_name="stub://demo"))
        await agent.initialize()
        return await agent.generate_response(HELLO, context={"conversation_id": "c1", "tools": None})

    assert "Hi!" in asyncio.run(talk())


def test_the_blocks_of_the_page_run(capsys, tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 6
    names, configs = {"AgentConfig": AgentConfig}, {}
    for block in blocks:
        exec(block, names)
        if "config" in names:
            config = names.pop("config")
            configs[config.model_name.partition("://")[0]] = config
    assert "Hi!" in capsys.readouterr().out and configs["openai"].backend_options["concurrency"] == 64
    assert [schema["function"]["name"] for schema in names["agent"]._toolkit.schemas] == ["find_order"]
    monkeypatch.chdir(tmp_path)
    agent = MultiTurnAgent(AgentConfig("stub://demo"))
    agent.load()
    assert asyncio.run(names["save_and_load"](agent)).config == AgentConfig("stub://demo", temperature=0.0)


def test_an_agent_that_was_not_initialized_says_so():
    agent = MultiTurnAgent(AgentConfig(model_name="stub://demo"))
    with pytest.raises(RuntimeError, match=r"await agent.initialize"):
        agent.act([HELLO])


def test_a_batch_is_one_call_of_the_backend_with_the_agents_sampling(recorder):
    agent = agent_with(recorder, max_new_tokens=7, temperature=0.5)
    assert [completion.text for completion in agent.act([HELLO, HELLO])] == ["answer 1", "answer 1"]
    ((conversations, sampling),) = recorder.asked
    assert len(conversations) == 2
    assert (sampling.max_new_tokens, sampling.temperature) == (7, 0.5)
    assert agent.act([]) == []


def test_the_agents_own_instructions_are_used_where_the_conversation_has_none(recorder):
    agent = agent_with(recorder, system_prompt="Be brief.")
    other = [{"role": "system", "content": "Be long."}, *HELLO]
    agent.act([HELLO, other])
    first, second = recorder.asked[0][0]
    assert first.system_prompt == "Be brief."
    assert second.system_prompt == "Be long."
    assert HELLO == [{"role": "user", "content": "Hi!"}]


def test_the_same_conversation_object_reaches_the_backend_each_time(recorder):
    agent, conversation = agent_with(recorder), Conversation(HELLO)
    conversation.record(agent.act([conversation])[0], "Go on", {})
    agent.act([conversation])
    assert recorder.asked[0][0][0] is recorder.asked[1][0][0] is conversation


def test_a_conversation_id_continues_the_kept_conversation(recorder):
    agent = agent_with(recorder)

    async def talk():
        context = {"conversation_id": "c1"}
        reply = await agent.generate_response(HELLO, context)
        grown = [*HELLO, {"role": "assistant", "content": reply}, {"role": "user", "content": "And?"}]
        await agent.generate_response(grown, context)
        await agent.generate_response([{"role": "user", "content": "Something else"}], context)

    asyncio.run(talk())
    first, second, third = (conversations[0] for conversations, _ in recorder.asked)
    assert first is second
    assert second.completions[1].token_ids == (1, 2)
    assert third is not second


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([], "the conversation is empty"),
        ([{"role": "assistant", "content": "Hello"}], "the last message is the agent's own"),
    ],
)
def test_a_conversation_that_waits_for_no_answer_is_refused(recorder, messages, error):
    with pytest.raises(ValueError, match=error):
        agent_with(recorder).act([messages])


def test_what_is_no_conversation_is_refused(recorder):
    for given in (HELLO, ["Hi!"]):
        with pytest.raises(TypeError, match="a conversation is a list of messages such as"):
            agent_with(recorder).act(given)
    with pytest.raises(TypeError, match="one of these is 'H'"):
        asyncio.run(agent_with(recorder).generate_response("Hi!"))


class Waiting:
    """A backend whose answers take a while; how many are under way at most."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)
        self.now, self.most = 0, 0

    def generate(self, conversations, sampling):
        self.now += 1
        self.most = max(self.most, self.now)
        time.sleep(0.05)
        self.now -= 1
        for conversation in conversations:
            conversation.check_answerable()
        return [Completion("Hello.") for _ in conversations]


@pytest.mark.parametrize(("attributes", "most"), [({}, 1), ({"concurrency": 3}, 3)])
def test_as_many_conversations_are_answered_at_once_as_the_backend_takes_calls(attributes, most):
    backend = Waiting(**attributes)
    agent = MultiTurnAgent(AgentConfig("waiting://"), backend)

    async def talk():
        return await asyncio.gather(*(agent.generate_response(HELLO) for _ in range(8)))

    assert asyncio.run(talk()) == ["Hello."] * 8
    assert backend.most == most


def test_who_asks_the_same_again_before_there_is_an_answer_gets_one_too():
    agent = MultiTurnAgent(AgentConfig("waiting://"), Waiting())

    async def talk():
        return await asyncio.gather(*(agent.generate_response(HELLO, {"conversation_id": "c"}) for _ in range(3)))

    assert asyncio.run(talk()) == ["Hello."] * 3
    assert agent._remembered["c"] == [*HELLO, {"role": "assistant", "content": "Hello."}]


async def pieces_of(agent, messages, context=None):
    return [piece async for piece in agent.stream_response(messages, context)]


def test_an_answer_comes_in_pieces_and_is_remembered():
    agent = MultiTurnAgent(AgentConfig("stub://demo", stub_responses=("One  two \n", "Three.", "Four.")))
    agent.load()
    history = [*HELLO, {"role": "assistant", "content": "One  two \n"}, *HELLO]

    async def talk():
        first = await pieces_of(agent, HELLO, {"conversation_id": "c"})
        return first, await pieces_of(agent, history, {"conversation_id": "c"}), len(agent._remembered["c"])

    assert asyncio.run(talk()) == (["One", "  two \n"], ["Three."], 4)


def test_a_backend_that_does_not_stream_tells_the_whole(recorder):
    assert asyncio.run(pieces_of(agent_with(recorder), HELLO)) == ["answer 1"]


class Slow:
    """Streams until it is closed."""

    closed = 0

    def generate(self, conversations, sampling):
        return [Completion("whole") for _ in conversations]

    def stream(self, conversation, sampling):
        try:
            while True:
                time.sleep(0.01)
                yield "more "
        finally:
            self.closed += 1


def test_many_listeners_have_their_answers_one_after_the_other():
    agent = MultiTurnAgent(AgentConfig("stub://demo"))
    agent.load()

    async def talk():
        whole = [agent.generate_response(HELLO) for _ in range(40)]
        return await asyncio.wait_for(asyncio.gather(*(pieces_of(agent, HELLO) for _ in range(40)), *whole), 60)

    answers = asyncio.run(talk())
    assert {"".join(answer) for answer in answers} == {answers[-1]}


@pytest.mark.parametrize("how", ["cancelled twice", "closed", "cancelled", "cancelled while it waits"])
def test_who_stops_listening_ends_the_answer_and_lets_others_have_theirs(how):
    backend = Slow()
    agent = MultiTurnAgent(AgentConfig("slow://"), backend)

    async def listen():
        async for _ in agent.stream_response(HELLO):
            pass

    async def talk():
        if how == "closed":
            async with aclosing(agent.stream_response(HELLO)) as pieces:
                assert await anext(pieces) == "more "
        else:
            tasks = [asyncio.create_task(listen()) for _ in range(2)]
            await asyncio.sleep(0.1)
            if how == "cancelled twice":
                for task in tasks:
                    task.cancel()
                await asyncio.sleep(0)
            for task in tasks if how != "cancelled while it waits" else tasks[::-1]:  # the second waits for the first
                task.cancel()
                await asyncio.wait([task], timeout=0.2)
            await asyncio.wait(tasks)
        return await asyncio.wait_for(agent.generate_response(HELLO), 10)

    assert asyncio.run(talk()) == "whole"
    assert backend.closed >= 1
